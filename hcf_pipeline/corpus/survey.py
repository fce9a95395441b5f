"""What a folder of transcripts looks like: its form, labels, dates and noise, for `hcf init`.

A first pass counts who seems to open turns, in each form; names that recur as speakers do are labels, and the form with
most of their lines is the corpus's. A second pass parses with these, so that what is shown is what a refresh will make.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

from hcf_pipeline.corpus.dates import DateOrder, year_last, years_last_in_stamps
from hcf_pipeline.corpus.encodings import decode
from hcf_pipeline.corpus.endings import ENDINGS, other_endings
from hcf_pipeline.corpus.forms.choice import form_with_fields, utterances
from hcf_pipeline.corpus.forms.heads import SHAPES_OF, Head, Shape, any_head, inline_head, without_role
from hcf_pipeline.corpus.forms.names import AUTO, LABEL
from hcf_pipeline.corpus.front_matter import split
from hcf_pipeline.corpus.furniture import without_blocks
from hcf_pipeline.corpus.grammar import Grammar, Side
from hcf_pipeline.corpus.labels import is_words, label_at_start
from hcf_pipeline.corpus.manifest import Manifest, scan
from hcf_pipeline.corpus.plausible import Reading, total, worst_of
from hcf_pipeline.corpus.short_names import short_names
from hcf_pipeline.corpus.tables import read_bytes
from hcf_pipeline.corpus.transcript import Transcript, Turn
from hcf_pipeline.errors import CorpusError
from hcf_pipeline.settings import ANYBODY, CorpusSettings

NOISE_PATTERNS = (
    r"^【[^】：:]{0,20}(?:失败|错误|异常|超时)",
    r"^\[[^\]:]{0,20}(?i:error|fail|timeout)",
    r"^(?:\d+ )?(?:Client|Server) Error",
)
MAX_SURVEYED_FILES = 500
LABEL_SHARE = 0.002  # a label stands on at least this share of the labelled lines, and on three
MAX_NAMED_GUESTS = 12  # with more of them, whoever is not the host is a guest
N_SHOWN = 3  # turns of each side

_SURE = frozenset({Shape.MARKED, Shape.TIMED, Shape.NAME_TIME, Shape.BRACKET})
_IS_HOST = re.compile(r"主播|主持|主讲|^up主|\bhost\b", re.IGNORECASE)
_IS_GUEST = re.compile(
    r"观众|觀眾|听众|聽眾|网友|網友|水友|弹幕|嘉宾|来宾|记者|^问$|^提问|^q$|\b(?:audience|caller|listener|guest|question)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Survey:
    """What was found. Labels come with the number of their turns, the host's first."""

    n_files: int
    n_bytes: int
    form: str
    forms: dict[str, int]  # files that were read in each form
    encodings: dict[str, int]  # and encoding
    labels: tuple[tuple[str, int], ...]
    anybody: bool  # there are more guests than names would be written down
    n_dated: int
    date_order: DateOrder
    noise: tuple[tuple[str, int], ...]  # pattern, lines
    without_turns: tuple[tuple[str, str], ...]  # file, why
    other_endings: tuple[tuple[str, int], ...]
    include: list[str]
    refused: tuple[str, ...]
    reading: Reading
    also: tuple[str, ...] = ()  # other names of the host, such as his first name alone
    not_taken: tuple[tuple[str, int], ...] = ()  # what begins lines as a label does, and their number
    shown: tuple[Turn, ...] = ()

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
            f"form = {quoted(self.form)}\n"
            f"host_labels = {quoted([self.host, *self.also])}\n"
            f"guest_labels = {quoted([ANYBODY] if self.anybody else self.guests)}\n"
            + ('date_order = "month"\n' if self.date_order == "month" else "")
            + (f"include = {quoted(self.include)}\n" if self.include != ["*.md"] else "")
            + (f"noise = {quoted(noise)}\n" if noise else "")
        )


class FirstTurns:
    """The first turns of each side that say something, and not the same, of the transcripts it is given; the host is who has
    one of the `names`, if given."""

    def __init__(self, names: Collection[str] = ()) -> None:
        self._names = names
        self._of_side: dict[Side, list[Turn]] = {"host": [], "guest": []}

    def add(self, turns: Iterable[Turn]) -> None:
        for turn in turns:
            side: Side = turn.side if not self._names else "host" if turn.label in self._names else "guest"
            kept = self._of_side[side]
            if len(kept) < N_SHOWN and len(turn.text) > 1 and all(turn.text != one.text for one in kept):
                kept.append(turn._replace(side=side))

    @property
    def turns(self) -> tuple[Turn, ...]:
        """Those of the host, then those of guests."""
        return (*self._of_side["host"], *self._of_side["guest"])


@dataclass
class _Found:
    """Who seems to open turns in one form."""

    lines: Counter[str] = field(default_factory=Counter)
    most_in_a_file: Counter[str] = field(default_factory=Counter)
    n_files: Counter[str] = field(default_factory=Counter)
    sure: Counter[str] = field(default_factory=Counter)  # lines whose very form says so

    def add(self, heads: Sequence[Head]) -> None:
        of_file = Counter([head.label for head in heads])
        self.lines.update(of_file)
        self.n_files.update(of_file.keys())
        self.sure.update([head.label for head in heads if head.shape in _SURE])
        for label, count in of_file.items():
            self.most_in_a_file[label] = max(self.most_in_a_file[label], count)

    @property
    def labels(self) -> list[str]:
        """The names that recur as speakers do."""
        least = max(3, LABEL_SHARE * self.lines.total())
        recurs = any(self.most_in_a_file[label] > 1 and count >= least for label, count in self.lines.items())
        found = [
            label
            for label, count in self.lines.items()
            if count >= least and (not recurs or self.most_in_a_file[label] > 1)
        ]
        if found and self.sure.total() > 0.5 * self.lines.total():
            found += [label for label in self.sure if label not in found]  # a guest of one evening, said so by the form
        return found

    @property
    def n_lines(self) -> int:
        return sum(self.lines[label] for label in self.labels)


def survey(folder: Path, host: str | None = None) -> Survey:
    """Reads up to 500 files spread over the folder.

    The host is the label with the most text behind it, or `host`; the other labels are guests. Raises CorpusError where
    there is nobody, or where most of the text is nobody's: then the form is one that is not understood.
    """
    include = [f"*.{ending}" for ending in (*ENDINGS, *(ending.upper() for ending in ENDINGS))]
    base = CorpusSettings(include=include)
    manifest = scan(folder.resolve(), base)
    step = max(1, len(manifest.files) // MAX_SURVEYED_FILES)
    data = {file.path: (Path(manifest.folder) / file.path).read_bytes() for file in manifest.files[::step]}
    texts = {path: read.text for path, raw in data.items() if not isinstance(read := decode(raw), int)}
    noise: Counter[str] = Counter()
    for text in texts.values():
        for pattern in NOISE_PATTERNS:
            noise[pattern] += len(re.findall(pattern, text, re.MULTILINE))
    form, labels, seen = _labels(texts)
    if not labels or (len(labels) == 1 and any(label != labels[0] for label in seen)):
        raise _nobody(folder, seen, texts, manifest)
    order = _date_order(texts)
    settings = base.model_copy(
        update={
            "form": form,
            "date_order": order,
            "host_labels": labels[:1],
            "guest_labels": labels[1:],
            "noise": [p for p, n in noise.items() if n],
        }
    )
    grammar = Grammar(settings)
    parsed = {path: read_bytes(raw, path, grammar) for path, raw in data.items()}
    good = {path: one for path, one in parsed.items() if isinstance(one, Transcript)}
    chars: Counter[str] = Counter()
    turns: Counter[str] = Counter()
    unknown: Counter[str] = Counter()
    for one in good.values():
        unknown.update(one.unknown_labels)
        for turn in one.turns:
            chars[turn.label] += len(turn.text)
            turns[turn.label] += 1
    ordered = sorted(turns, key=lambda label: (_role(label), -chars[label]))
    if host is not None:
        if host not in ordered:
            names = "、".join(ordered[:MAX_NAMED_GUESTS])
            raise CorpusError(
                zh=f"{folder} 里没有叫 {host} 的人；找到的有：{names}。请用 --host 给出其中一个。",
                en=f"Nobody in {folder} is called {host}; found: {names}. Give one of these as --host.",
            )
        ordered.sort(key=lambda label: label != host)
    named = [{turn.label for turn in one.turns} for one in good.values()]
    also = short_names(ordered[0], ordered, seen, named)
    ordered = [label for label in ordered if label not in also]
    turns[ordered[0]] += sum(turns[label] for label in also)
    hosts = [ordered[0], *also]
    readings = {path: Reading.of(one) for path, one in good.items()}
    reading = total(readings.values())
    if reading.is_implausible():
        raise _hardly_read(folder, reading, worst_of(readings), ordered)
    return Survey(
        n_files=len(manifest.files),
        n_bytes=manifest.n_bytes,
        form=form,
        forms=dict(Counter(one.form for one in good.values()).most_common()),
        encodings=dict(Counter(one.encoding for one in good.values()).most_common()),
        labels=tuple((label, turns[label]) for label in ordered),
        anybody=len(ordered) - 1 > MAX_NAMED_GUESTS,
        n_dated=sum(bool(grammar.date_of(path) or one.date) for path, one in good.items()),
        date_order=order,
        noise=tuple((pattern, count) for pattern, count in noise.most_common() if count),
        without_turns=tuple((path, one.reason) for path, one in parsed.items() if not isinstance(one, Transcript)),
        other_endings=other_endings(folder, include),
        include=sorted({"*" + Path(path).suffix for path in good}),
        refused=tuple(refused.file for refused in manifest.refused),
        reading=replace(reading, n_changes=_n_changes(good.values(), hosts)),
        also=tuple(also),
        not_taken=tuple(unknown.most_common(MAX_NAMED_GUESTS)),
        shown=_shown(good.values(), hosts),
    )


def _labels(texts: dict[str, str]) -> tuple[str, list[str], Counter[str]]:
    """The form of most lines with a speaker, the labels found, and all that looked like one."""
    found = {form: _Found() for form in (LABEL, *SHAPES_OF)}
    fields = _Found()
    forms: Counter[str] = Counter()
    for text in texts.values():
        body = split(text)[1]
        form = form_with_fields(body)
        if form is not None:
            read = list(utterances(form, body, ()) or ())
            if read:
                forms[form] += 1
                fields.add([Head(one.label, "", one.text, Shape.TIMED) for one in read if one.label])
            continue
        lines = [line for raw in without_blocks(body, Counter()).split("\n") if (line := raw.strip())]
        for form, heads in _heads(lines).items():
            found[form].add(heads)
    best = max(found, key=lambda form: (len(found[form].labels) > 1, found[form].n_lines))
    labels = found[best].labels
    if not labels:
        best = LABEL
    lines_of = found[best].lines + fields.lines
    merged = list(dict.fromkeys([*labels, *(fields.labels or fields.lines)]))
    variants = Counter(without_role(label) for label in merged)
    merged = list(
        dict.fromkeys(base if variants[base := without_role(label)] > 1 and base else label for label in merged)
    )
    of_fields = AUTO if labels or len(forms) > 1 else next(iter(forms), AUTO)
    form = of_fields if forms else AUTO if best == LABEL else best
    merged.sort(key=lambda label: -lines_of[label])
    return form, merged, lines_of


def _heads(lines: Sequence[str]) -> dict[str, list[Head]]:
    """What may open a turn in each form, of the lines of one file."""
    inline: list[Head] = []
    plain: set[str] = set()
    own: dict[str, list[Head]] = {form: [] for form in SHAPES_OF}
    readers = {form: any_head(form) for form in ("bracket", "tab", "heading")}
    alone: Counter[str] = Counter()
    for line in lines:
        name, colon, said = line.partition("：")
        if colon and name in plain and not said[:1].isdigit():
            inline.append(Head(name, "", said, Shape.PLAIN))
            continue
        head = inline_head(line)
        if head and not is_words(head.label) and (head.shape is not Shape.PLAIN or _may_be_label(line, head)):
            if head.shape is Shape.PLAIN and line.startswith(head.label + "："):
                plain.add(head.label)
            inline.append(head)
            continue
        for form, read in readers.items():
            if (head := read(line)) and head.shape in SHAPES_OF[form] and not is_words(head.label):
                target = "name_time" if head.shape is Shape.NAME_TIME else form
                own[target].append(head)
                break
        else:
            if len(line) <= 40 and not is_words(line):
                alone[line] += 1
    alone_lines = [line for line in lines if alone[line] > 1 and line[-1] not in ".?!。？！…"]
    if not any(own.values()) and 2 * len(inline) < len(alone_lines):
        own["name"] = [Head(line.strip("*_ :："), "", "", Shape.NAME) for line in alone_lines]
    own["heading"] += own["name_time"] if own["heading"] and own["name_time"] else []
    return {LABEL: inline, **own}


def _may_be_label(line: str, head: Head) -> bool:
    """A label of the usual shape, or any other that is short enough to recur as one."""
    return label_at_start(line) is not None or len(head.label.split()) <= 5


def _role(label: str) -> int:
    """Below 0 where a label says that it is the host's, above where it says that it is not."""
    return bool(_IS_GUEST.search(label)) - bool(_IS_HOST.search(label))


def _date_order(texts: dict[str, str]) -> DateOrder:
    """Which of the two numbers before a year is the month, as far as the path or a time of one of the files tells."""
    pairs = [pair for path in texts if (pair := year_last(path))]
    pairs += {pair for text in texts.values() for pair in years_last_in_stamps(text)}
    return "month" if any(b > 12 for _, b in pairs) and not any(a > 12 for a, _ in pairs) else "day"


def _n_changes(transcripts: Iterable[Transcript], hosts: Collection[str]) -> int:
    """Neighbouring turns of different sides, as the settings will have them that name these hosts."""
    return sum((a.label in hosts) != (b.label in hosts) for one in transcripts for a, b in pairwise(one.turns))


def _shown(transcripts: Iterable[Transcript], hosts: Collection[str]) -> tuple[Turn, ...]:
    first = FirstTurns(hosts)
    for one in transcripts:
        first.add(one.turns)
    return first.turns


def _nobody(folder: Path, seen: Counter[str], texts: dict[str, str], manifest: Manifest) -> CorpusError:
    named = ", ".join(f"{label} ({count})" for label, count in seen.most_common(5)) or "-"
    if not texts:
        return CorpusError(
            zh=f"{folder} 里的 {len(manifest.files)} 个文件没有一个是认得的编码（UTF-8、UTF-16、GB18030、Big5）；请先转成 UTF-8。",
            en=f"None of the {len(manifest.files)} files in {folder} is in an encoding that is read (UTF-8, UTF-16, GB18030, "
            "Big5); convert them to UTF-8 first.",
        )
    first = next(iter(texts))
    return CorpusError(
        zh=f"{folder} 里没有找到两方的称呼（行首的“称呼：”、**称呼**、【称呼】、单独一行的称呼、字幕或 JSON 里的说话人）；找到的有："
        f"{(seen and named) or '-'}。请运行 hcf turns {first} 看看它是怎样读的，或在 hcf.toml 里写明 host_labels（只有一个人说话时 "
        "guest_labels = []），或把 form 写成一个含 (?P<label>…) 的正则表达式。",
        en=f"No two labels in {folder} (a name and a colon, in bold, in brackets or on a line of its own, or the speaker of "
        f"subtitles or JSON); found: {named}. See how a file is read with hcf turns {first}, or name host_labels in an "
        "hcf.toml (with guest_labels = [] where only one speaks), or give form a regular expression with (?P<label>…).",
    )


def _hardly_read(folder: Path, reading: Reading, worst: str, labels: Sequence[str]) -> CorpusError:
    named, share = "、".join(labels[:5]), reading.spoken_share
    file = folder / worst
    return CorpusError(
        zh=f"{folder} 的文字只有 {share:.0%} 找到了说话人（{named}），其余不知道是谁说的，所以没有写 hcf.toml；请看一个文件（例如 {file}），"
        "自己写明 [corpus] 的 host_labels 和 form；若是有意的，再加上 [release] min_spoken = 0。",
        en=f"Only {share:.0%} of the text in {folder} has a speaker ({named}), and nothing says who the rest is by, so no hcf.toml "
        f"was written; look at a file (such as {file}), and set host_labels and form of [corpus] yourself, with min_spoken = 0 of "
        "[release] if it is meant so; hcf turns then shows how a file is read.",
    )
