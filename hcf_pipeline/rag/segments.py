"""A segment: some whole transcripts, ready to be searched, never changed once it is written.

    dense.faiss    inner products of unit vectors
    lexical/       see lexical.py
    chunks.arrow   the rows, uncompressed, one record batch a transcript, so that a row is read by memory map
    ids.npy        int64    made from the chunk ids; equal scores come in their order, wherever the chunks lie
    joined.npy     bool     whether the next row goes on where this one ends

Row i of the Arrow file, vector i and text i of the lexical side are the same chunk.
"""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hcf_pipeline.corpus.parts import Table
from hcf_pipeline.errors import ArtifactError
from hcf_pipeline.rag.chunks import CHUNK_SCHEMA, Chunk
from hcf_pipeline.rag.embed import Embeddings, as_hashes
from hcf_pipeline.rag.encoder import Vectors
from hcf_pipeline.rag.lexical import LexicalSegment, write_lexical_index

DENSE = "dense.faiss"
LEXICAL = "lexical"
ROWS = "chunks.arrow"
IDS = "ids.npy"
JOINED = "joined.npy"
TEXT = CHUNK_SCHEMA.get_field_index("text")

Ids = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


def dense_index(dim: int) -> Any:
    """An empty FAISS index for a segment."""
    import faiss

    return faiss.IndexFlatIP(dim)


def write_segment(table: Table, paths: Collection[str], embeddings: Embeddings, out: Path) -> None:
    """Writes the chunks of some transcripts of a chunk table into the new folder `out`, in the table's order.

    Raises ArtifactError when a chunk's text has no vector.
    """
    import faiss

    out.mkdir(parents=True)
    dense = dense_index(embeddings.dim)
    ids: list[Ids] = []
    joined: list[Mask] = []
    with pa.OSFile(str(out / ROWS), "wb") as sink, pa.ipc.new_file(sink, CHUNK_SCHEMA) as writer:
        for entry, columns in table.read(CHUNK_SCHEMA.names, paths):
            rows = pa.RecordBatch.from_arrays(columns, schema=CHUNK_SCHEMA)
            writer.write_batch(rows)
            places = embeddings.places(as_hashes(rows["content_hash"]))
            if (places < 0).any():
                raise _no_vector(entry.path, table.folder)
            dense.add(embeddings.take(places))
            ids.append(stable_ids(rows["chunk_id"].to_pylist()))
            first, last = rows["first_turn"].to_numpy(), rows["last_turn"].to_numpy()
            joined.append(np.append(first[1:] <= last[:-1] + 1, False))
    faiss.write_index(dense, str(out / DENSE))
    np.save(out / IDS, np.concatenate(ids), allow_pickle=False)
    np.save(out / JOINED, np.concatenate(joined), allow_pickle=False)
    texts = (text for _, (column,) in table.read(["text"], paths) for text in column.to_pylist())
    write_lexical_index(texts, out / LEXICAL)


def stable_ids(chunk_ids: Sequence[str]) -> Ids:
    """The first 63 bits of each chunk id, a hexadecimal number."""
    return np.array([int(chunk_id[:16], 16) >> 1 for chunk_id in chunk_ids], dtype=np.int64)


class Segment:
    """One segment's files, by memory map. Safe to share between threads."""

    def __init__(self, folder: Path, n_rows: int) -> None:
        """Raises OSError, ValueError, RuntimeError or pa.ArrowInvalid where the files are not as they were written."""
        import faiss

        self.n_rows = n_rows
        self.lexical = LexicalSegment(folder / LEXICAL)
        self.ids: Ids = np.load(folder / IDS, mmap_mode="r", allow_pickle=False)
        self.joined: Mask = np.load(folder / JOINED, mmap_mode="r", allow_pickle=False)
        self._dense: Any = faiss.read_index(str(folder / DENSE), faiss.IO_FLAG_MMAP_IFC)
        self._rows = pa.ipc.open_file(pa.memory_map(str(folder / ROWS)))
        self._batch = lru_cache(maxsize=1024)(self._rows.get_batch)  # opening one costs more than reading a row
        if not n_rows == self.lexical.n_texts == len(self.ids) == len(self.joined) == self._dense.ntotal:
            raise ValueError(f"{folder}: the files do not belong together")

    def nearest(self, vector: Vectors, k: int, among: Mask | None) -> tuple[Vectors, Ids]:
        """(inner products, rows) of the k largest, best first; only rows where `among` is true, if given."""
        import faiss

        parameters = None
        if among is not None:
            bits = np.packbits(among, bitorder="little")
            selector = faiss.IDSelectorBitmap(len(bits), faiss.swig_ptr(bits))  # bare pointers: both have to stay
            parameters = faiss.SearchParameters()
            parameters.sel = selector
        with one_thread():
            products, rows = self._dense.search(vector[None, :], min(k, self.n_rows), params=parameters)
        found = rows[0] >= 0
        return products[0][found], rows[0][found]

    def vectors(self, rows: Ids) -> Vectors:
        """The unit vectors of some rows; shape (len(rows), dim)."""
        with one_thread():
            found: Vectors = self._dense.reconstruct_batch(rows)
        return found

    def text(self, transcript: int, row: int) -> str:
        """The text of a row of the how-manieth transcript, both counted from 0."""
        text: str = self._batch(transcript).column(TEXT)[row].as_py()
        return text

    def row(self, transcript: int, row: int) -> tuple[str, datetime.date | None, Chunk]:
        """(path, date, chunk) of a row of the how-manieth transcript, both counted from 0."""
        path, date, *chunk = (column[row].as_py() for column in self._batch(transcript).columns)
        return path, date, Chunk(*chunk)


@contextmanager
def one_thread() -> Iterator[None]:
    """One question is too little work to share: on a busy machine two threads waited 57 ms for what takes one 2 ms.

    OpenMP keeps the number for each calling thread, so others are not disturbed.
    """
    import faiss

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def _no_vector(path: str, chunks: Path) -> ArtifactError:
    return ArtifactError(
        zh=f"{chunks} 中 {path} 的一些文字没有向量；请运行 hcf refresh 重新生成。",
        en=f"{chunks} lacks the vectors of some texts of {path}; run hcf refresh to build them again.",
    )
