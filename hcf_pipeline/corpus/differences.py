"""Which transcripts came, changed, went or were renamed between two versions of an artifact that lists them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from hcf_pipeline.corpus.manifest import MANIFEST, Manifest
from hcf_pipeline.corpus.parts import TABLE, Table
from hcf_pipeline.errors import Lang
from hcf_pipeline.few import few
from hcf_pipeline.store import Artifact

N_NAMED = 3
WORDS = {
    "new": ("新增", "new"),
    "changed": ("改动", "changed"),
    "deleted": ("删除", "deleted"),
    "renamed": ("改名", "renamed"),
}


@dataclass(frozen=True)
class Differences:
    """Paths, sorted; a renamed transcript has the same content under another path."""

    new: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()  # (old, new)

    def __bool__(self) -> bool:
        return bool(self.new or self.changed or self.deleted or self.renamed)

    def text(self, lang: Lang) -> str:
        """In words, the first few by name."""
        named = {
            "new": self.new,
            "changed": self.changed,
            "deleted": self.deleted,
            "renamed": tuple(f"{old} → {new}" for old, new in self.renamed),
        }
        comma, word = ("，", 0) if lang == "zh" else (", ", 1)
        return comma.join(f"{WORDS[kind][word]} {few(paths, lang, N_NAMED)}" for kind, paths in named.items() if paths)


def differences(before: Mapping[str, str], after: Mapping[str, str]) -> Differences:
    """Between two corpora, each as path -> hash of the content."""
    came, went = sorted(after.keys() - before.keys()), sorted(before.keys() - after.keys())
    homeless: defaultdict[str, list[str]] = defaultdict(list)  # new paths by content, the first one last
    for path in reversed(came):
        homeless[after[path]].append(path)
    renamed = tuple((path, homeless[before[path]].pop()) for path in went if homeless[before[path]])
    left, taken = ({pair[side] for pair in renamed} for side in (0, 1))
    return Differences(
        new=tuple(path for path in came if path not in taken),
        changed=tuple(sorted(path for path in after.keys() & before.keys() if after[path] != before[path])),
        deleted=tuple(path for path in went if path not in left),
        renamed=renamed,
    )


def differences_of(before: Artifact, after: Artifact) -> Differences | None:
    """Between two versions of a manifest or of a table; None for anything else. Raises ArtifactError for damage."""
    old, new = _hashes(before), _hashes(after)
    return None if old is None or new is None else differences(old, new)


def _hashes(artifact: Artifact) -> dict[str, str] | None:
    if MANIFEST in artifact.files:
        return Manifest.load(artifact.file(MANIFEST)).hashes
    for name in artifact.files:
        if name.endswith(f"/{TABLE}"):
            return {entry.path: entry.digest for entry in Table(artifact.file(name).parent).entries}
    return None
