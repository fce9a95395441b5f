"""Parquet tables of whole transcripts: written and read one broadcast at a time, versioned by their rows.

Memory stays bounded by one row group; a row group holds whole transcripts, so that a reader can stream them too.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

ROW_GROUP = 20_000  # rows, rounded up to a whole transcript


class Rows:
    """Appends whole transcripts to a Parquet file, and hashes the rows as they come."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._schema = schema
        self._writer = pq.ParquetWriter(path, schema, compression="zstd")
        self._blocks: list[pa.RecordBatch] = []
        self._n_waiting = 0
        self.digest = hashlib.sha256()
        self.n_rows = 0

    def __enter__(self) -> Rows:
        return self

    def __exit__(self, *_: object) -> None:
        self._flush()
        self._writer.close()

    def add(self, same: Sequence[object], columns: Sequence[Sequence[object]]) -> None:
        """One transcript: the columns whose value all its rows share, then the others."""
        n_rows = len(columns[0])
        types = self._schema.types
        arrays = [pa.repeat(pa.scalar(value, t), n_rows) for value, t in zip(same, types, strict=False)]
        arrays += [pa.array(values, t) for values, t in zip(columns, types[len(same) :], strict=True)]
        self._blocks.append(pa.record_batch(arrays, schema=self._schema))
        for values in (same, *columns):
            self.digest.update("\x1e".join(map(str, values)).encode("utf-8"))
            self.digest.update(b"\x1d")
        self.n_rows += n_rows
        self._n_waiting += n_rows
        if self._n_waiting >= ROW_GROUP:
            self._flush()

    @property
    def version(self) -> str:
        """20 hex digits over the rows, whatever the bytes of the file are."""
        return self.digest.hexdigest()[:20]

    def _flush(self) -> None:
        if self._blocks:
            self._writer.write_table(pa.Table.from_batches(self._blocks), row_group_size=self._n_waiting)
            self._blocks, self._n_waiting = [], 0


def read_groups(
    table: Path, names: Sequence[str]
) -> Iterator[tuple[str, datetime.date | None, list[Sequence[object]]]]:
    """(path, date, the named columns) of each transcript of a table, in the table's order."""
    file = pq.ParquetFile(table)
    for group in range(file.num_row_groups):
        block = file.read_row_group(group, columns=["transcript", "date", *names])
        paths = block["transcript"].to_pylist()
        dates = block["date"]
        columns = [block[name].to_pylist() for name in names]
        start = 0
        for end in _run_ends(paths):
            yield paths[start], dates[start].as_py(), [column[start:end] for column in columns]
            start = end


def _run_ends(values: Sequence[str]) -> Iterable[int]:
    for position in range(1, len(values)):
        if values[position] != values[position - 1]:
            yield position
    if values:
        yield len(values)
