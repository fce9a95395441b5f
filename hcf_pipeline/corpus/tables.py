"""The two tables everything else is made from: turns and pairs, in parts (see parts.py), one broadcast at a time.

A table's version is the hash of its rows (and of the quarantine list), not of its bytes. `out` and `previous` are
folders of artifacts; a table lies in a folder of its own inside.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import NotRequired, TypedDict, cast

import pyarrow as pa

from hcf_pipeline.corpus.encodings import UTF8, decode
from hcf_pipeline.corpus.forms.names import LABEL
from hcf_pipeline.corpus.grammar import Grammar, Side
from hcf_pipeline.corpus.manifest import CorpusFile, Manifest, Refused
from hcf_pipeline.corpus.pairs import Pair, monologue_pairs, pair_turns
from hcf_pipeline.corpus.parts import Entry, Made, Table, Wanted, write_table
from hcf_pipeline.corpus.plausible import Reading, total, worst_of
from hcf_pipeline.corpus.sentences import LOOKED_AT, lang_of
from hcf_pipeline.corpus.transcript import CUT_OFF, NO_SPEAKER, Transcript, Turn, parse_transcript
from hcf_pipeline.errors import CorpusError, CorpusMoved, Lang, damaged
from hcf_pipeline.files import hash_of

TURNS = "turns"
PAIRS = "pairs"
REPORT = "report.json"
METADATA = "metadata.json"  # what the front matter of transcripts says of them
N_LABELS = 50  # unknown ones that are named: a file that is no transcript may hold a hundred thousand

TOO_LARGE = "larger than"
UNKNOWN_ENCODING = "not UTF-8, UTF-16, GB18030 or Big5"
EMPTY = "empty"
NO_TURN = "no turn with a known label"
NO_SPEAKERS = "nobody is named as the speaker of its lines"
CONTROL_CHARACTERS = "control characters"  # in Transcript.left_out

TURN_SCHEMA = pa.schema(
    [
        pa.field("transcript", pa.string(), nullable=False),
        pa.field("date", pa.date32()),
        pa.field("turn", pa.int32(), nullable=False),
        pa.field("side", pa.string(), nullable=False),
        pa.field("label", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("flags", pa.string(), nullable=False),
        pa.field("start_s", pa.float64()),
    ]
)
PAIR_SCHEMA = pa.schema(
    [
        pa.field("transcript", pa.string(), nullable=False),
        pa.field("date", pa.date32()),
        pa.field("pair", pa.int32(), nullable=False),
        pa.field("guest_text", pa.string(), nullable=False),
        pa.field("host_text", pa.string(), nullable=False),
        pa.field("host_label", pa.string(), nullable=False),
        pa.field("first_turn", pa.int32(), nullable=False),
        pa.field("last_turn", pa.int32(), nullable=False),
        pa.field("flags", pa.string(), nullable=False),
    ]
)
TURN_COLUMNS = TURN_SCHEMA.names[2:]  # the fields of a Turn
PAIR_COLUMNS = PAIR_SCHEMA.names[2:]  # of a Pair


@dataclass(frozen=True)
class TurnReport:
    """What a reader of the turn table should know of its making."""

    n_transcripts: int
    n_turns: int
    n_host_chars: int
    n_guest_chars: int
    n_noise_lines: int
    n_chars_before_first_label: int
    unknown_labels: dict[str, int]  # the most frequent, with their lines
    host_labels: dict[str, int]
    first_date: str
    last_date: str
    n_undated: int
    quarantined: list[Refused] = field(default_factory=list)
    n_more_labels: int = 0  # unknown ones that are not named, those of two transcripts counted twice
    forms: dict[str, int] = field(default_factory=dict)  # transcripts of each form but the usual one
    encodings: dict[str, int] = field(default_factory=dict)  # transcripts of each encoding but UTF-8
    left_out: dict[str, int] = field(default_factory=dict)  # lines that are in no turn, by why; control characters
    reading: Reading | None = None  # of the transcripts that were parsed since there is one; None: of none of them
    worst: str = ""  # of these the one with the most text that is nobody's

    @property
    def versioned(self) -> dict[str, object]:
        """What counts in the version of the table: newer figures where they say something, what lies around the dialogue not."""
        return {
            name: value
            for name, value in asdict(self).items()
            if name not in ("left_out", "reading", "worst") and (value or name not in ("forms", "encodings"))
        }

    @property
    def parse_rate(self) -> float:
        """Share of the files that gave turns."""
        n_files = self.n_transcripts + len(self.quarantined)
        return self.n_transcripts / n_files if n_files else 0.0

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), ensure_ascii=False, sort_keys=True), encoding="utf-8")

    @staticmethod
    def load(path: Path) -> TurnReport:
        """Raises ArtifactError where the file is unreadable."""
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
            reading = Reading(**raw["reading"]) if raw.get("reading") else None
            quarantined = [Refused(**r) for r in raw["quarantined"]]
            return TurnReport(**{**raw, "quarantined": quarantined, "reading": reading})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise damaged(path) from error


def read_transcript(folder: Path, file: CorpusFile, grammar: Grammar) -> Transcript | Refused:
    """One file's turns, or why it is left out.

    Raises CorpusMoved when the file is no longer the one in the manifest: a table keeps to one snapshot.
    """
    if _too_large(file, grammar):
        limit = grammar.settings.max_file_mb
        return Refused(file.path, f"{TOO_LARGE} {limit} MB", limit * 1_000_000)
    try:
        data = (folder / file.path).read_bytes()
    except OSError as error:
        raise _changed_meanwhile(folder / file.path) from error
    if hashlib.sha256(data).hexdigest() != file.sha256:
        raise _changed_meanwhile(folder / file.path)
    return read_bytes(data, file.path, grammar)


def read_bytes(data: bytes, path: str, grammar: Grammar) -> Transcript | Refused:
    """The turns of a file that holds these bytes, or why it has none."""
    decoded = decode(data)
    if isinstance(decoded, int):
        return Refused(path, UNKNOWN_ENCODING, decoded)
    if not decoded.text.strip():
        return Refused(path, EMPTY, 0)
    transcript = parse_transcript(decoded.text, grammar, interrupted=grammar.interrupted(path))
    if not transcript.turns:
        return Refused(path, NO_SPEAKERS if transcript.left_out.get(NO_SPEAKER) else NO_TURN, 0)
    if decoded.n_control:
        left_out = {**transcript.left_out, CONTROL_CHARACTERS: decoded.n_control}
        transcript = replace(transcript, left_out=left_out)
    return transcript if decoded.encoding == UTF8 else replace(transcript, encoding=decoded.encoding)


def write_turn_table(
    manifest: Manifest,
    grammar: Grammar,
    out: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
    previous: Path | None = None,
) -> tuple[str, TurnReport]:
    """Writes TURNS and REPORT into `out`; returns the hash of rows and report, and the report.

    A file that `previous` knows is not opened. Raises CorpusMoved when one that is new is no longer what the manifest
    says, CorpusError when no file holds a turn: there are never placeholder rows.
    """
    folder = Path(manifest.folder)
    files = {file.path: file for file in manifest.files}
    wanted = [Wanted(file.path, grammar.date_of(file.path), _turn_key(file, grammar)) for file in manifest.files]

    def make(one: Wanted) -> Made:
        return _made(read_transcript(folder, files[one.path], grammar))

    table = write_table(TURN_SCHEMA, wanted, make, out / TURNS, previous and previous / TURNS, progress)
    report = _report(table.entries, manifest.refused)
    if not report.n_transcripts:
        raise _nothing_usable(folder, report.quarantined, grammar)
    report.save(out / REPORT)
    metadata = {entry.path: found for entry in table.entries if (found := cast(_TurnNote, entry.note).get("metadata"))}
    if metadata:
        (out / METADATA).write_text(json.dumps(metadata, ensure_ascii=False, sort_keys=True), encoding="utf-8")
    return hash_of([table.version, report.versioned, *([metadata] if metadata else [])]), report


def read_transcripts(
    turns: Path, paths: Collection[str] | None = None
) -> Iterator[tuple[str, datetime.date | None, list[Turn]]]:
    """(path, date, turns) of each transcript of a turn table, in path order; only of `paths`, if given."""
    for entry, columns in Table(turns).read(TURN_COLUMNS, paths):
        yield entry.path, entry.date, _turns(columns)


def read_metadata(folder: Path) -> dict[str, dict[str, str]]:
    """`title` and `url` of the transcripts of the turn table in `folder` whose front matter has them, by path."""
    file = folder / METADATA
    if not file.exists():  # none has, or the table is older
        return {}
    try:
        found: dict[str, dict[str, str]] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise damaged(file) from error
    return found


def turns_of(table: Table, path: str) -> list[Turn]:
    """The turns of one transcript of a turn table. Raises KeyError where it has none."""
    return _turns(table.rows(path, TURN_COLUMNS).columns)


def _turns(columns: Sequence[pa.Array]) -> list[Turn]:
    return [Turn(*row) for row in zip(*(column.to_pylist() for column in columns), strict=True)]


def write_pair_table(
    turns: Path, out: Path, previous: Path | None = None, *, is_monologue: bool = False
) -> tuple[str, int, dict[str, int]]:
    """Writes PAIRS into `out`; returns the rows' hash, their number, and the pairs of each host label.

    In a monologue they have no question. Only transcripts whose turns `previous` doesn't know are read.
    """
    source = Table(turns)

    def make(one: Wanted) -> Made:
        found = turns_of(source, one.path)
        pairs = list(monologue_pairs(found) if is_monologue else pair_turns(found))
        columns = tuple(zip(*pairs, strict=True))
        return Made(columns, _PairNote(hosts=dict(Counter(pair.host_label for pair in pairs))))

    wanted = [Wanted(entry.path, entry.date, entry.digest) for entry in source.entries if entry.n_rows]
    table = write_table(PAIR_SCHEMA, wanted, make, out / PAIRS, previous and previous / PAIRS)
    hosts: Counter[str] = Counter()
    for entry in table.entries:
        hosts.update(cast(_PairNote, entry.note)["hosts"])
    return table.version, table.n_rows, dict(hosts.most_common())


def read_pairs(
    pairs: Path, paths: Collection[str] | None = None
) -> Iterator[tuple[str, datetime.date | None, list[Pair]]]:
    """(path, date, pairs) of each transcript of a pair table that has any, in path order; only of `paths`, if given."""
    for entry, columns in Table(pairs).read(PAIR_COLUMNS, paths):
        yield (
            entry.path,
            entry.date,
            [Pair(*row) for row in zip(*(column.to_pylist() for column in columns), strict=True)],
        )


def lang_of_pairs(pairs: Path) -> Lang:
    """Which of our two languages is nearer to what the hosts say in a pair table, every transcript heard alike."""
    said = [" ".join([pair.host_text for pair in found]) for _, _, found in read_pairs(pairs) if found]
    share = max(1, LOOKED_AT // max(1, len(said)))
    return lang_of([text[:share] for text in said])


class _TurnNote(TypedDict):
    """What the report counts of a transcript, and what its text says of it."""

    form: NotRequired[str]  # other than the usual one
    encoding: NotRequired[str]  # other than UTF-8
    left_out: NotRequired[dict[str, int]]
    metadata: NotRequired[dict[str, str]]
    reading: NotRequired[dict[str, int]]  # a Reading; notes of before have none

    n_host_chars: int
    n_guest_chars: int
    n_noise_lines: int
    n_chars_before_first_label: int
    unknown_labels: dict[str, int]  # the most frequent
    n_more_labels: int  # unknown ones that are not among these
    host_labels: dict[str, int]


class _RefusedNote(TypedDict):
    """Why a file has no rows."""

    reason: str
    byte: int


class _PairNote(TypedDict):
    hosts: dict[str, int]  # pairs of each host label


def _turn_key(file: CorpusFile, grammar: Grammar) -> str:
    """What a file's turns depend on beside the grammar, the same for all files."""
    marks = [TOO_LARGE] * _too_large(file, grammar) + [CUT_OFF] * grammar.interrupted(file.path)
    return " ".join([file.sha256, *marks])


def _too_large(file: CorpusFile, grammar: Grammar) -> bool:
    return file.size > grammar.settings.max_file_mb * 1_000_000


def _made(parsed: Transcript | Refused) -> Made:
    if isinstance(parsed, Refused):
        return Made((), _RefusedNote(reason=parsed.reason, byte=parsed.byte))
    columns = tuple(zip(*parsed.turns, strict=True))
    chars: Counter[Side] = Counter()
    for turn in parsed.turns:
        chars[turn.side] += len(turn.text)
    unknown = Counter(parsed.unknown_labels).most_common()
    note = _TurnNote(
        n_host_chars=chars["host"],
        n_guest_chars=chars["guest"],
        n_noise_lines=parsed.n_noise_lines,
        n_chars_before_first_label=parsed.n_chars_before_first_label,
        unknown_labels=dict(unknown[:N_LABELS]),
        n_more_labels=max(0, len(unknown) - N_LABELS),
        host_labels=dict(Counter([turn.label for turn in parsed.turns if turn.side == "host"])),
        reading=asdict(Reading.of(parsed)),
    )
    if parsed.form != LABEL:
        note["form"] = parsed.form
    if parsed.encoding != UTF8:
        note["encoding"] = parsed.encoding
    if parsed.left_out:
        note["left_out"] = dict(parsed.left_out)
    if parsed.metadata:
        note["metadata"] = dict(parsed.metadata)
    return Made(columns, note, parsed.date)


def _report(entries: Sequence[Entry], refused: Sequence[Refused]) -> TurnReport:
    """The sums of what is noted of each transcript."""
    parsed = [entry for entry in entries if entry.n_rows]
    notes = [cast(_TurnNote, entry.note) for entry in parsed]
    unknown: Counter[str] = Counter()
    hosts: Counter[str] = Counter()
    left_out: Counter[str] = Counter()
    readings = {
        entry.path: Reading(**note["reading"]) for entry, note in zip(parsed, notes, strict=True) if "reading" in note
    }
    for note in notes:
        unknown.update(note["unknown_labels"])
        hosts.update(note["host_labels"])
        left_out.update(note.get("left_out", {}))
    dates = [entry.date for entry in parsed if entry.date]
    bad = [(entry.path, cast(_RefusedNote, entry.note)) for entry in entries if not entry.n_rows]
    quarantined = [*refused, *(Refused(path, note["reason"], note["byte"]) for path, note in bad)]
    return TurnReport(
        n_transcripts=len(parsed),
        n_turns=sum(entry.n_rows for entry in parsed),
        n_host_chars=sum(note["n_host_chars"] for note in notes),
        n_guest_chars=sum(note["n_guest_chars"] for note in notes),
        n_noise_lines=sum(note["n_noise_lines"] for note in notes),
        n_chars_before_first_label=sum(note["n_chars_before_first_label"] for note in notes),
        unknown_labels=dict(unknown.most_common(N_LABELS)),
        host_labels=dict(hosts.most_common()),
        first_date=str(min(dates, default="")),
        last_date=str(max(dates, default="")),
        n_undated=len(parsed) - len(dates),
        quarantined=sorted(quarantined, key=lambda one: one.file),
        n_more_labels=max(0, len(unknown) - N_LABELS) + sum(note["n_more_labels"] for note in notes),
        forms=dict(Counter([note["form"] for note in notes if "form" in note]).most_common()),
        encodings=dict(Counter([note["encoding"] for note in notes if "encoding" in note]).most_common()),
        left_out=dict(left_out.most_common()),
        reading=total(readings.values()) if readings else None,
        worst=worst_of(readings),
    )


def _changed_meanwhile(file: Path) -> CorpusMoved:
    return CorpusMoved(
        zh=f"{file} 在读取时变动了，本次运行只认开始时的快照；请再运行一次 hcf refresh。",
        en=f"{file} changed while the corpus was being read, and a run keeps to one snapshot; run hcf refresh again.",
    )


def _nothing_usable(folder: Path, quarantined: Sequence[Refused], grammar: Grammar) -> CorpusError:
    first = quarantined[0]
    labels = " ".join(grammar.sides)
    return CorpusError(
        zh=f"{folder} 里的 {len(quarantined)} 个文件没有一个能用（例如 {first.file}：{first.reason}）；"
        f"要找的称呼是 {labels}，请检查 [corpus] 的 host_labels 和 guest_labels，或运行 hcf init {folder}。",
        en=f"None of the {len(quarantined)} files in {folder} is usable (such as {first.file}: {first.reason}); the labels "
        f"looked for are {labels}: check host_labels and guest_labels of [corpus], or run hcf init {folder}.",
    )
