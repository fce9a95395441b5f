"""What a folder of transcripts looks like: its labels, dates and noise, for `hcf init`."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from hcf_pipeline.corpus.labels import label_at_start
from hcf_pipeline.corpus.manifest import scan
from hcf_pipeline.errors import CorpusError
from hcf_pipeline.settings import CorpusSettings

DATE_PATTERNS = (
    r"(?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2})",
    r"(?P<year>\d{4})[._](?P<month>\d{1,2})[._](?P<day>\d{1,2})",
    r"(?P<year>\d{4})年(?P<month>\d{1,2})月(?P<day>\d{1,2})日",
    r"(?P<year>(?:19|20)\d{2})(?P<month>\d{2})(?P<day>\d{2})",
)
NOISE_PATTERNS = (
    r"^【[^】：:]{0,20}(?:失败|错误|异常|超时)",
    r"^\[[^\]:]{0,20}(?i:error|fail|timeout)",
    r"^(?:\d+ )?(?:Client|Server) Error",
)
MAX_SURVEYED_FILES = 500
LABEL_SHARE = 0.002  # a label stands on at least this share of the labelled lines, and on three


@dataclass(frozen=True)
class Survey:
    """What was found. Labels come with the number of their lines, the host's first."""

    n_files: int
    n_bytes: int
    labels: tuple[tuple[str, int], ...]
    date_pattern: str
    n_dated: int
    noise: tuple[tuple[str, int], ...]  # pattern, lines
    without_turns: tuple[str, ...]
    include: list[str]
    refused: tuple[str, ...]

    @property
    def host(self) -> str:
        return self.labels[0][0]

    @property
    def guests(self) -> list[str]:
        return [label for label, _ in self.labels[1:]]

    def toml(self, path: str) -> str:
        """An hcf.toml for this folder."""

        def quoted(value: object) -> str:
            return json.dumps(value, ensure_ascii=False)

        noise = [pattern for pattern, _ in self.noise]
        return (
            'profile = "embedded"   # "qwen" for Qwen/Qwen1.5-4B-Chat and BAAI/bge-small-zh-v1.5\n\n[corpus]\n'
            f"path = {quoted(path)}\n"
            f"host_labels = {quoted([self.host])}\n"
            f"guest_labels = {quoted(self.guests)}\n"
            f"date_pattern = {quoted(self.date_pattern)}\n"
            + (f"include = {quoted(self.include)}\n" if self.include != ["*.md"] else "")
            + (f"noise = {quoted(noise)}\n" if noise else "")
        )


def survey(folder: Path) -> Survey:
    """Reads up to 500 files spread over the folder.

    The host is the label with the most text behind it; the other labels are guests. Raises CorpusError when there are
    not two labels: then this is no two-sided transcript, or its lines don't start with labels.
    """
    manifest = scan(folder.resolve(), CorpusSettings(include=["*.md", "*.txt"]))
    step = max(1, len(manifest.files) // MAX_SURVEYED_FILES)
    surveyed = manifest.files[::step]
    lines: Counter[str] = Counter()
    chars: Counter[str] = Counter()
    noise: Counter[str] = Counter()
    labels_of: dict[str, set[str]] = {}
    for file in surveyed:
        text = (Path(manifest.folder) / file.path).read_bytes().decode("utf-8-sig", "replace")
        labels_of[file.path] = set()
        label = ""  # whose further lines follow
        for raw in text.replace("\r", "\n").split("\n"):  # as the parser does
            line = raw.strip()
            if pattern := next((p for p in NOISE_PATTERNS if re.match(p, line)), None):
                noise[pattern] += 1
            elif found := label_at_start(line):
                label = found[1]
                lines[label] += 1
                chars[label] += len(line) - found.end()
                labels_of[file.path].add(label)
            elif label:
                chars[label] += len(line)
    least = max(3, LABEL_SHARE * lines.total())
    labels = [label for label, count in lines.items() if count >= least]
    if len(labels) < 2:
        seen = ", ".join(f"{label} ({count})" for label, count in lines.most_common(5)) or "-"
        raise CorpusError(
            zh=f"{folder} 里没有找到两方的称呼（行首的“称呼：”）；找到的有：{seen}。请在 hcf.toml 里写明 host_labels 和 guest_labels。",
            en=f"No two labels (a name and a colon at the start of lines) in {folder}; found: {seen}. "
            "Name host_labels and guest_labels in an hcf.toml yourself.",
        )
    labels.sort(key=lambda label: -chars[label])
    names = [file.path.rsplit("/", 1)[-1] for file in surveyed]
    dated = {pattern: sum(bool(re.search(pattern, name)) for name in names) for pattern in DATE_PATTERNS}
    best = max(DATE_PATTERNS, key=lambda pattern: dated[pattern])
    return Survey(
        n_files=len(manifest.files),
        n_bytes=manifest.n_bytes,
        labels=tuple((label, lines[label]) for label in labels),
        date_pattern=best,
        n_dated=dated[best],
        noise=tuple(noise.most_common()),
        without_turns=tuple(path for path, found in labels_of.items() if not found & set(labels)),
        include=sorted({"*" + Path(path).suffix for path, found in labels_of.items() if found & set(labels)}),
        refused=tuple(refused.file for refused in manifest.refused),
    )
