"""A table of transcripts, in parts: what one transcript changes costs one part, and nothing is made twice.

    table.json       every transcript in path order: what its rows were made from (key), their hash (digest), notes
    parts/*.parquet  whole transcripts, in the same order; a part's name is the hash of what it holds

A part ends before a path whose hash is divisible by a power of two that grows with the root of the number of
transcripts (as content-defined chunking cuts files): so the parts depend on the transcripts alone, not on the history
of the table, and one that comes or goes moves no boundary but its own. Rows are copied from the previous table
wherever it has the key, and parts that did not change are hard links to its files.
"""

from __future__ import annotations

import datetime
import hashlib
import itertools
import json
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from hcf_pipeline.errors import damaged
from hcf_pipeline.files import hash_of, link_or_copy, number_of

TABLE = "table.json"
PARTS = "parts"
DATE = "date"  # in a note: the day that the content names
FORMAT = 1
PART_BYTES = 64_000_000  # a part is cut there in any case, so that memory stays bounded

Note = Mapping[str, object]  # plain JSON
Columns = Sequence[Sequence[object]]


class Wanted(NamedTuple):
    """One transcript that the table shall hold; two with the same key have the same rows, path and date apart."""

    path: str
    date: datetime.date | None
    key: str


class Made(NamedTuple):
    """The rows of one transcript, as columns after `transcript` and `date`; a transcript may have none."""

    columns: Columns
    note: Note
    date: datetime.date | None = None  # that the content names: for a transcript whose path names none


class Entry(NamedTuple):
    """One transcript of a table."""

    path: str
    date: datetime.date | None
    key: str
    digest: str  # of the rows, path and date apart
    n_rows: int
    n_bytes: int  # of the rows as text
    note: Note


class _Place(NamedTuple):
    file: str  # under PARTS
    start: int
    n_rows: int


class Table:
    """A table that lies in a folder. Raises ArtifactError where table.json is missing or unreadable."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            raw = json.loads((folder / TABLE).read_text(encoding="utf-8"))
            if raw["format"] != FORMAT:
                raise ValueError(raw["format"])
            self.entries = tuple(_entry(*row) for row in raw["entries"])
            self._parts: list[tuple[str, int]] = [(name, n) for name, n in raw["parts"]]
            self._kept: tuple[tuple[str, ...], pa.Table] | None = None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise damaged(folder / TABLE) from error

    @property
    def n_rows(self) -> int:
        return sum(entry.n_rows for entry in self.entries)

    @cached_property
    def version(self) -> str:
        """20 hex digits over the rows, whatever the parts are."""
        return hash_of([(e.path, str(e.date), e.digest) for e in self.entries if e.n_rows])

    @cached_property
    def _places(self) -> dict[str, _Place]:
        """Where the rows of each transcript lie, by its path."""
        found: dict[str, _Place] = {}
        filled = iter([entry for entry in self.entries if entry.n_rows])
        for name, n_transcripts in self._parts:
            start = 0
            for entry in itertools.islice(filled, n_transcripts):
                found[entry.path] = _Place(name, start, entry.n_rows)
                start += entry.n_rows
        return found

    def read(
        self, names: Sequence[str], paths: Collection[str] | None = None
    ) -> Iterator[tuple[Entry, list[pa.Array]]]:
        """(entry, the named columns) of each transcript that has rows, in path order, part by part.

        Only those of `paths`, if given; parts without one of them are not opened.
        """
        for entry in self.entries:
            if entry.n_rows and (paths is None or entry.path in paths):
                rows = self.rows(entry.path, names)
                yield entry, [rows[name].combine_chunks() for name in names]

    def rows(self, path: str, names: Sequence[str]) -> pa.Table:
        """The named columns of one transcript; KeyError where it has no rows.

        The part that was read last is kept: whoever asks in path order reads each part once.
        """
        place = self._places[path]
        wanted = (place.file, *names)
        if self._kept is None or self._kept[0] != wanted:
            self._kept = (wanted, _read_part(self.folder / PARTS / place.file, names))
        return self._kept[1].slice(place.start, place.n_rows)

    def blocks(self, names: Sequence[str]) -> Iterator[pa.Table]:
        """The named columns of all rows, in path order, part by part."""
        for name, _ in self._parts:
            yield _read_part(self.folder / PARTS / name, names)


def n_made(table: Path, previous: Path | None) -> int:
    """How many transcripts of a table were made for it, and not taken from the one before."""
    before = {entry.key for entry in Table(previous).entries} if previous else set()
    return len({entry.key for entry in Table(table).entries} - before)


def write_table(
    schema: pa.Schema,
    wanted: Sequence[Wanted],
    make: Callable[[Wanted], Made],
    out: Path,
    previous: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Table:
    """Writes a table into the new folder `out`; `make` is called for the transcripts whose key is new, in path order.

    `previous` is the folder of an intact table that the same code wrote. `schema` begins with `transcript` and `date`.
    Cost: what is new, the parts that changed, and one pass over the entries.
    """
    writer = _Writer(schema, out, previous)
    ordered = sorted(wanted, key=lambda one: one.path)
    boundary = _boundary_mask(len(ordered))
    for n_done, one in enumerate(ordered, 1):
        writer.add(one, make, begins_part=number_of(one.path) & boundary == 0)
        progress(n_done, len(ordered))
    writer.close()
    return Table(out)


class _Writer:
    def __init__(self, schema: pa.Schema, out: Path, previous: Path | None) -> None:
        self._schema = schema
        self._out = out
        self._previous = _Previous(previous) if previous else None
        self._entries: list[Entry] = []
        self._parts: list[tuple[str, int]] = []
        self._open: list[tuple[Entry, pa.Table | None]] = []  # rows, or None where the previous table has them
        self._n_bytes = 0
        (out / PARTS).mkdir(parents=True)

    def add(self, wanted: Wanted, make: Callable[[Wanted], Made], *, begins_part: bool) -> None:
        if begins_part:
            self._flush()
        known = self._previous.find(wanted.key) if self._previous else None
        rows: pa.Table | None = None
        if known:
            entry = known._replace(path=wanted.path, date=wanted.date or _date_of(known.note))
        else:
            made = make(wanted)
            n_rows = len(made.columns[0]) if made.columns else 0
            digest, n_bytes = _digest(made.columns)
            note = {**made.note, DATE: made.date.isoformat()} if made.date else made.note
            entry = Entry(wanted.path, wanted.date or made.date, wanted.key, digest, n_rows, n_bytes, note)
            rows = self._arrow(made.columns) if n_rows else None
        self._entries.append(entry)
        if entry.n_rows:
            self._open.append((entry, rows))
            self._n_bytes += entry.n_bytes
            if self._n_bytes >= PART_BYTES:
                self._flush()

    def close(self) -> None:
        self._flush()
        entries = [(e.path, e.date and e.date.isoformat(), *e[2:]) for e in self._entries]
        written = {"format": FORMAT, "entries": entries, "parts": self._parts}
        (self._out / TABLE).write_text(json.dumps(written, ensure_ascii=False), encoding="utf-8")

    def _arrow(self, columns: Columns) -> pa.Table:
        fields = list(self._schema)[2:]
        arrays = [pa.array(values, f.type) for values, f in zip(columns, fields, strict=True)]
        return pa.table(arrays, schema=pa.schema(fields))

    def _flush(self) -> None:
        if not self._open:
            return
        entries = [entry for entry, _ in self._open]
        name = hash_of([(e.path, str(e.date), e.digest) for e in entries]) + ".parquet"
        target = self._out / PARTS / name
        if not (self._previous and self._previous.link(name, target)):
            # in one piece: where Parquet begins a page would follow the pieces, and so the table's history
            whole = pa.concat_tables([self._rows(entry, rows) for entry, rows in self._open]).combine_chunks()
            if whole.column(-1).null_count == len(whole):  # as in parts that are older than the column: the same bytes
                whole = whole.remove_column(whole.num_columns - 1)
            pq.write_table(whole, target, compression="zstd", row_group_size=len(whole))
        self._parts.append((name, len(entries)))
        self._open, self._n_bytes = [], 0

    def _rows(self, entry: Entry, rows: pa.Table | None) -> pa.Table:
        if rows is None:
            assert self._previous is not None
            fields = list(self._schema)[2:]
            rows = self._previous.rows(entry.key, [field.name for field in fields]).cast(pa.schema(fields))
        same = [
            pa.repeat(pa.scalar(value, self._schema.field(name).type), len(rows))
            for name, value in (("transcript", entry.path), ("date", entry.date))
        ]
        return pa.table([*same, *rows.columns], schema=self._schema)


class _Previous:
    """The table that is there already: its entries and rows by key, its parts by name."""

    def __init__(self, folder: Path) -> None:
        self._table = Table(folder)
        self._by_key = {entry.key: entry for entry in self._table.entries}

    def find(self, key: str) -> Entry | None:
        return self._by_key.get(key)

    def link(self, name: str, target: Path) -> bool:
        """Whether there was such a part; `target` is it now."""
        part = self._table.folder / PARTS / name
        if not part.is_file():
            return False
        link_or_copy(part, target)
        return True

    def rows(self, key: str, names: Sequence[str]) -> pa.Table:
        return self._table.rows(self._by_key[key].path, names)


def _read_part(file: Path, names: Sequence[str]) -> pa.Table:
    """A column that the part is older than holds nulls."""
    try:
        with pq.ParquetFile(file) as part:
            rows = part.read(columns=list(names))
            for name in set(names) - set(rows.column_names):
                rows = rows.append_column(name, pa.nulls(len(rows)))
            return rows.select(list(names))
    except (OSError, ValueError, pa.ArrowException) as error:
        raise damaged(file) from error


def _entry(path: str, date: str | None, key: str, digest: str, n_rows: int, n_bytes: int, note: Note) -> Entry:
    return Entry(path, datetime.date.fromisoformat(date) if date else None, key, digest, n_rows, n_bytes, note)


def _date_of(note: Note) -> datetime.date | None:
    day = note.get(DATE)
    return datetime.date.fromisoformat(day) if isinstance(day, str) else None


def _digest(columns: Columns) -> tuple[str, int]:
    """20 hex digits over the values, and their length in bytes.

    A column without a value counts for nothing, so that a column more changes no version where it holds nothing.
    """
    digest, n_bytes = hashlib.sha256(), 0
    for values in columns:
        if all(value is None for value in values):
            continue
        text = "\x1e".join(map(str, values))
        if text.count("\x1e") >= len(values):  # a value holds the separator itself
            text = json.dumps(list(map(str, values)))
        data = text.encode("utf-8")
        digest.update(b"%d " % len(data))
        digest.update(data)
        n_bytes += len(data)
    return digest.hexdigest()[:20], n_bytes


def _boundary_mask(n_transcripts: int) -> int:
    """Transcripts of a part on average, less one: about half the root of their number, as a power of two."""
    return (1 << int(math.log2(max(1.0, math.sqrt(n_transcripts) / 2)))) - 1
