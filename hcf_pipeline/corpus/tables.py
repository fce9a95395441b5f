"""The two tables everything else is made from: turns and pairs, as Parquet, one broadcast at a time.

A table's version is the hash of its rows (and of the quarantine list), not of its bytes.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pyarrow as pa

from hcf_pipeline.corpus.manifest import CorpusFile, Manifest, Refused
from hcf_pipeline.corpus.pairs import Pair, pair_turns
from hcf_pipeline.corpus.rows import Rows, read_groups
from hcf_pipeline.corpus.transcript import Grammar, Side, Transcript, Turn, parse_transcript
from hcf_pipeline.errors import CorpusError

TURNS = "turns.parquet"
PAIRS = "pairs.parquet"
REPORT = "report.json"

TOO_LARGE = "larger than"
NOT_UTF8 = "not UTF-8"
EMPTY = "empty"
NO_TURN = "no turn with a known label"

TURN_SCHEMA = pa.schema(
    [
        pa.field("transcript", pa.string(), nullable=False),
        pa.field("date", pa.date32()),
        pa.field("turn", pa.int32(), nullable=False),
        pa.field("side", pa.string(), nullable=False),
        pa.field("label", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("flags", pa.string(), nullable=False),
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


@dataclass(frozen=True)
class TurnReport:
    """What a reader of the turn table should know of its making."""

    n_transcripts: int
    n_turns: int
    n_host_chars: int
    n_guest_chars: int
    n_noise_lines: int
    n_chars_before_first_label: int
    unknown_labels: dict[str, int]
    host_labels: dict[str, int]
    first_date: str
    last_date: str
    n_undated: int
    quarantined: list[Refused] = field(default_factory=list)

    @property
    def parse_rate(self) -> float:
        """Share of the files that gave turns."""
        n_files = self.n_transcripts + len(self.quarantined)
        return self.n_transcripts / n_files if n_files else 0.0

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), ensure_ascii=False, sort_keys=True), encoding="utf-8")

    @staticmethod
    def load(path: Path) -> TurnReport:
        raw = json.loads(path.read_text(encoding="utf-8"))
        return TurnReport(**{**raw, "quarantined": [Refused(**r) for r in raw["quarantined"]]})


def read_transcript(folder: Path, file: CorpusFile, grammar: Grammar) -> Transcript | Refused:
    """One file's turns, or why it is left out.

    Raises CorpusError when the file is no longer the one in the manifest: a table keeps to one snapshot.
    """
    limit = grammar.settings.max_file_mb * 1_000_000
    if file.size > limit:
        return Refused(file.path, f"{TOO_LARGE} {grammar.settings.max_file_mb} MB", limit)
    try:
        data = (folder / file.path).read_bytes()
    except OSError as error:
        raise _moved(folder / file.path) from error
    if hashlib.sha256(data).hexdigest() != file.sha256:
        raise _moved(folder / file.path)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        return Refused(file.path, NOT_UTF8, error.start)
    if not text.removeprefix("\ufeff").strip():
        return Refused(file.path, EMPTY, 0)
    transcript = parse_transcript(text, grammar, interrupted=grammar.interrupted(file.path))
    return transcript if transcript.turns else Refused(file.path, NO_TURN, 0)


def write_turn_table(
    manifest: Manifest, grammar: Grammar, out: Path, progress: Callable[[int, int], None] = lambda done, total: None
) -> tuple[str, TurnReport]:
    """Writes TURNS and REPORT into the folder `out`; returns the rows' hash, and the report.

    Raises CorpusError when no file holds a turn: there are never placeholder rows.
    """
    folder = Path(manifest.folder)
    quarantined = list(manifest.refused)
    unknown: Counter[str] = Counter()
    hosts: Counter[str] = Counter()
    chars: Counter[Side] = Counter()
    dates: list[datetime.date] = []
    n_transcripts = n_turns = n_noise = n_before = 0
    with Rows(out / TURNS, TURN_SCHEMA) as rows:
        for n_done, file in enumerate(manifest.files, 1):
            parsed = read_transcript(folder, file, grammar)
            if isinstance(parsed, Refused):
                quarantined.append(parsed)
                continue
            date = grammar.date_of(file.path)
            no, side, label, text, flags = zip(*parsed.turns, strict=True)
            rows.add((file.path, date), (no, side, label, text, flags))
            n_transcripts += 1
            n_turns += len(parsed.turns)
            n_noise += parsed.n_noise_lines
            n_before += parsed.n_chars_before_first_label
            unknown.update(parsed.unknown_labels)
            hosts.update(turn.label for turn in parsed.turns if turn.side == "host")
            for turn_side, turn_text in zip(side, text, strict=True):
                chars[turn_side] += len(turn_text)
            if date:
                dates.append(date)
            progress(n_done, len(manifest.files))
    if not n_transcripts:
        raise _nothing_usable(folder, quarantined, grammar)
    report = TurnReport(
        n_transcripts=n_transcripts,
        n_turns=n_turns,
        n_host_chars=chars["host"],
        n_guest_chars=chars["guest"],
        n_noise_lines=n_noise,
        n_chars_before_first_label=n_before,
        unknown_labels=dict(unknown.most_common(50)),
        host_labels=dict(hosts.most_common()),
        first_date=str(min(dates, default="")),
        last_date=str(max(dates, default="")),
        n_undated=n_transcripts - len(dates),
        quarantined=sorted(quarantined, key=lambda refused: refused.file),
    )
    report.save(out / REPORT)
    rows.digest.update((out / REPORT).read_bytes())
    return rows.version, report


def read_transcripts(turns: Path) -> Iterator[tuple[str, datetime.date | None, list[Turn]]]:
    """(path, date, turns) of each transcript of a turn table, in the table's order."""
    for path, date, columns in read_groups(turns, ["turn", "side", "label", "text", "flags"]):
        yield path, date, [Turn(*row) for row in zip(*columns, strict=True)]


def write_pair_table(turns: Path, out: Path) -> tuple[str, int, dict[str, int]]:
    """Writes PAIRS into the folder `out`; returns the rows' hash, their number, and the pairs of each host label."""
    hosts: Counter[str] = Counter()
    with Rows(out / PAIRS, PAIR_SCHEMA) as rows:
        for path, date, transcript in read_transcripts(turns):
            pairs = list(pair_turns(transcript))
            if not pairs:
                continue
            no, guest, host, label, first, last, flags = zip(*pairs, strict=True)
            rows.add((path, date), (no, guest, host, label, first, last, flags))
            hosts.update(label)
    return rows.version, rows.n_rows, dict(hosts.most_common())


def read_pairs(pairs: Path) -> Iterator[tuple[str, datetime.date | None, list[Pair]]]:
    """(path, date, pairs) of each transcript of a pair table, in the table's order."""
    names = ["pair", "guest_text", "host_text", "host_label", "first_turn", "last_turn", "flags"]
    for path, date, columns in read_groups(pairs, names):
        yield path, date, [Pair(*row) for row in zip(*columns, strict=True)]


def _moved(file: Path) -> CorpusError:
    return CorpusError(
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
