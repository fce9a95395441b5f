"""A segment: some whole transcripts, ready to be searched, never changed once it is written.

    dense.faiss    and, in a large segment, vectors.npy: see dense.py
    lexical/       see lexical.py
    broadcasts/    the same, with each whole transcript as one text
    chunks.arrow   the rows, uncompressed, one record batch a transcript, so that a row is read by memory map
    ids.npy        int64    made from the chunk ids; equal scores come in their order, wherever the chunks lie
    joined.npy     bool     whether the next row goes on where this one ends

Row i of the Arrow file, vector i and text i of the lexical side are the same chunk.
"""

from __future__ import annotations

import datetime
from collections.abc import Collection, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa

from hcf_pipeline.corpus.parts import Table
from hcf_pipeline.errors import ArtifactError
from hcf_pipeline.rag.arrays import Ids, Mask, Vectors
from hcf_pipeline.rag.chunking.chunks import CHUNK_SCHEMA, Chunk
from hcf_pipeline.rag.encode.embed import Embeddings, as_hashes
from hcf_pipeline.rag.index.dense import FLAT_ROWS, dense_writer, open_dense
from hcf_pipeline.rag.index.lexical import LexicalSegment, invert

LEXICAL = "lexical"
BROADCASTS = "broadcasts"
ROWS = "chunks.arrow"
IDS = "ids.npy"
JOINED = "joined.npy"
TEXT = CHUNK_SCHEMA.get_field_index("text")


def write_segment(
    table: Table, paths: Collection[str], embeddings: Embeddings, out: Path, flat_rows: int = FLAT_ROWS
) -> None:
    """Writes the chunks of some transcripts of a chunk table into the new folder `out`, in the table's order.

    Raises ArtifactError when a chunk's text has no vector.
    """
    out.mkdir(parents=True)
    sizes = [entry.n_rows for entry in table.entries if entry.path in paths and entry.n_rows]
    ids: list[Ids] = []
    joined: list[Mask] = []
    with (
        dense_writer(out, sum(sizes), embeddings.dim, flat_rows) as add_vectors,
        pa.OSFile(str(out / ROWS), "wb") as sink,
        pa.ipc.new_file(sink, CHUNK_SCHEMA) as writer,
    ):
        for entry, columns in table.read(CHUNK_SCHEMA.names, paths):
            typed = [
                column.cast(field.type) for column, field in zip(columns, CHUNK_SCHEMA, strict=True)
            ]  # all null: none
            rows = pa.RecordBatch.from_arrays(typed, schema=CHUNK_SCHEMA)
            writer.write_batch(rows)
            places = embeddings.places(as_hashes(rows["content_hash"]))
            if (places < 0).any():
                raise _no_vector(entry.path, table.folder)
            add_vectors(embeddings.take(places))
            ids.append(stable_ids(rows["chunk_id"].to_pylist()))
            first, last = rows["first_turn"].to_numpy(), rows["last_turn"].to_numpy()
            joined.append(np.append(first[1:] <= last[:-1] + 1, False))
    np.save(out / IDS, np.concatenate(ids), allow_pickle=False)
    np.save(out / JOINED, np.concatenate(joined), allow_pickle=False)
    texts = (text for _, (column,) in table.read(["text"], paths) for text in column.to_pylist())
    postings = invert(texts)
    postings.save(out / LEXICAL)
    postings.grouped(sizes).save(out / BROADCASTS)


def stable_ids(chunk_ids: Sequence[str]) -> Ids:
    """The first 63 bits of each chunk id, a hexadecimal number."""
    return np.array([int(chunk_id[:16], 16) >> 1 for chunk_id in chunk_ids], dtype=np.int64)


class Segment:
    """One segment's files, by memory map. Safe to share between threads."""

    def __init__(self, folder: Path, n_transcripts: int, n_rows: int) -> None:
        """Raises OSError, ValueError, RuntimeError or pa.ArrowInvalid where the files are not as they were written."""
        self.n_rows = n_rows
        self.lexical = LexicalSegment(folder / LEXICAL)
        self.broadcasts = LexicalSegment(folder / BROADCASTS)
        self.ids: Ids = np.load(folder / IDS, mmap_mode="r", allow_pickle=False)
        self.joined: Mask = np.load(folder / JOINED, mmap_mode="r", allow_pickle=False)
        self._dense = open_dense(folder)
        self._rows = pa.ipc.open_file(pa.memory_map(str(folder / ROWS)))
        self._batch = lru_cache(maxsize=1024)(self._rows.get_batch)  # opening one costs more than reading a row
        sizes = (self.lexical.n_texts, len(self.ids), len(self.joined), self._dense.n_rows)
        if any(size != n_rows for size in sizes) or self.broadcasts.n_texts != n_transcripts:
            raise ValueError(f"{folder}: the files do not belong together")

    def nearest(self, vector: Vectors, k: int, among: Mask | None) -> tuple[Vectors, Ids]:
        """(inner products, rows) of the k largest, best first; only rows where `among` is true, if given."""
        return self._dense.nearest(vector, k, among)

    def vectors(self, rows: Ids) -> Vectors:
        """The unit vectors of some rows; shape (len(rows), dim)."""
        return self._dense.vectors(rows)

    def text(self, transcript: int, row: int) -> str:
        """The text of a row of the transcript of that number, both counted from 0."""
        text: str = self._batch(transcript).column(TEXT)[row].as_py()
        return text

    def row(self, transcript: int, row: int) -> tuple[str, datetime.date | None, Chunk]:
        """(path, date, chunk) of a row of the transcript of that number, both counted from 0."""
        path, date, *chunk = (column[row].as_py() for column in self._batch(transcript).columns)
        return path, date, Chunk(*chunk)


def _no_vector(path: str, chunks: Path) -> ArtifactError:
    return ArtifactError(
        zh=f"{chunks} 中 {path} 的一些文字没有向量；请运行 hcf refresh 重新生成。",
        en=f"{chunks} lacks the vectors of some texts of {path}; run hcf refresh to build them again.",
    )
