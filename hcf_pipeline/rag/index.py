"""The index of one chunk table: dense vectors, the lexical index and the rows to show, in one folder.

    dense.faiss    inner products of unit vectors, under stable ids made from the chunk ids
    lexical/       see lexical.py
    chunks.arrow   the chunk table, uncompressed, so that a row is read by memory map
    index.json     the encoder's identity, dimension, counts, and a checksum of every file

Row i of the Arrow file, vector i and text i of the lexical index are the same chunk.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from hcf_pipeline.errors import ArtifactError
from hcf_pipeline.rag.chunks import CHUNK_SCHEMA, Chunk
from hcf_pipeline.rag.embed import Embeddings
from hcf_pipeline.rag.encoder import Vectors
from hcf_pipeline.rag.lexical import LexicalIndex, write_lexical_index
from hcf_pipeline.store import file_sha256

DENSE = "dense.faiss"
LEXICAL = "lexical"
ROWS = "chunks.arrow"
SIDECAR = "index.json"
FORMAT = 1
NO_DATE = np.iinfo(np.int32).min

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class IndexReport:
    n_chunks: int
    n_transcripts: int
    n_undated: int  # chunks
    dim: int
    n_bytes: int


def write_index(chunks: Path, embeddings: Path, encoder_identity: str, out: Path) -> IndexReport:
    """Writes the index of a chunk table into the folder `out`.

    Raises ArtifactError when a chunk's text has no vector in `embeddings`.
    """
    import faiss

    vectors = Embeddings.load(embeddings)
    dim = int(vectors.vectors.shape[1])
    dense = faiss.IndexIDMap2(faiss.IndexFlatIP(dim))
    for block in _blocks(chunks):
        places = vectors.places(np.array(block["content_hash"].to_pylist(), dtype=np.bytes_))
        if (places < 0).any():
            raise ArtifactError(
                zh=f"{embeddings} 里缺少 {chunks} 中一些文字的向量；请运行 hcf refresh 重新生成。",
                en=f"{embeddings} lacks the vectors of some texts of {chunks}; run hcf refresh to build them again.",
            )
        dense.add_with_ids(np.ascontiguousarray(vectors.vectors[places]), stable_ids(block["chunk_id"].to_pylist()))
    faiss.write_index(dense, str(out / DENSE))
    write_lexical_index((text for block in _blocks(chunks) for text in block["text"].to_pylist()), out / LEXICAL)
    transcripts: set[str] = set()
    n_chunks = n_undated = 0
    with pa.OSFile(str(out / ROWS), "wb") as sink, pa.ipc.new_file(sink, CHUNK_SCHEMA) as writer:
        for block in _blocks(chunks):
            writer.write_batch(block)
            transcripts.update(block["transcript"].unique().to_pylist())
            n_chunks += len(block)
            n_undated += block["date"].null_count
    files = [path for path in sorted(out.rglob("*")) if path.is_file()]
    report = IndexReport(n_chunks, len(transcripts), n_undated, dim, sum(path.stat().st_size for path in files))
    sidecar = {
        "format": FORMAT,
        "encoder": encoder_identity,
        "dim": dim,
        "n_chunks": n_chunks,
        "n_transcripts": len(transcripts),
        "n_undated": n_undated,
        "files": {path.relative_to(out).as_posix(): file_sha256(path) for path in files},
    }
    (out / SIDECAR).write_text(json.dumps(sidecar, indent=1), encoding="utf-8")
    return report


def stable_ids(chunk_ids: list[str]) -> Ids:
    """The first 63 bits of each chunk id, a hexadecimal number."""
    return np.array([int(chunk_id[:16], 16) >> 1 for chunk_id in chunk_ids], dtype=np.int64)


def _blocks(chunks: Path) -> Iterator[pa.RecordBatch]:
    file = pq.ParquetFile(chunks)
    for batch in file.iter_batches(columns=CHUNK_SCHEMA.names):
        yield batch.cast(CHUNK_SCHEMA)


class Index:
    """An index folder that was found whole; everything is read by memory map, nothing is written."""

    def __init__(self, folder: Path, encoder_identity: str, dim: int) -> None:
        """Raises ArtifactError when the folder is damaged, or was made with another encoder."""
        sidecar = _sidecar(folder)
        if (sidecar.encoder, sidecar.dim) != (encoder_identity, dim):
            made, now = f"{sidecar.encoder}, {sidecar.dim}", f"{encoder_identity}, {dim}"
            raise ArtifactError(
                zh=f"索引 {folder} 是用另一个检索模型做的（{made} 维，现在的是 {now} 维）；请运行 hcf refresh 重建索引。",
                en=f"The index {folder} was made with another encoder ({made} dimensions; this one is {now}); "
                "run hcf refresh to build it again.",
            )
        for name, digest in sidecar.files.items():
            if not (folder / name).is_file() or file_sha256(folder / name) != digest:
                raise _damaged(folder / name)
        import faiss

        try:
            self.lexical = LexicalIndex(folder / LEXICAL)
            self._dense: Any = faiss.read_index(str(folder / DENSE), faiss.IO_FLAG_MMAP_IFC)
            self._rows = pa.ipc.open_file(pa.memory_map(str(folder / ROWS)))
            batches = [self._rows.get_batch(number) for number in range(self._rows.num_record_batches)]
        except (OSError, ValueError, RuntimeError, pa.ArrowInvalid) as error:
            raise _damaged(folder) from error
        self._ends = np.cumsum([len(batch) for batch in batches])
        self.n_chunks = int(self._ends[-1]) if batches else 0
        if not self.n_chunks == self.lexical.n_texts == self._dense.ntotal == sidecar.n_chunks:
            raise _damaged(folder)
        table = pa.Table.from_batches(batches)
        coded = table["transcript"].combine_chunks().dictionary_encode()
        self.transcripts = coded.indices.to_numpy(zero_copy_only=False)
        """The transcript of each row, as a number."""
        self.days = table["date"].combine_chunks().cast(pa.int32()).fill_null(NO_DATE).to_numpy(zero_copy_only=False)
        """The date of each row in days since 1970, or NO_DATE."""
        first, last = (table[name].to_numpy() for name in ("first_turn", "last_turn"))
        self.joined = (self.transcripts[1:] == self.transcripts[:-1]) & (first[1:] <= last[:-1] + 1)
        """Whether row i + 1 goes on where row i ends; shape (n_chunks - 1,)."""
        dense: Any = self._dense
        ids = faiss.vector_to_array(dense.id_map)
        self._by_id = np.argsort(ids, kind="stable")
        self._ids: Ids = ids[self._by_id]

    def nearest(self, vector: Vectors, k: int, among: npt.NDArray[np.bool_] | None) -> Ids:
        """The rows of the k largest inner products, best first; only rows where `among` is true, if given."""
        import faiss

        parameters = None
        if among is not None:
            allowed = self._ids[among[self._by_id]]
            selector = faiss.IDSelectorBatch(allowed)  # faiss keeps a bare pointer to it
            parameters = faiss.SearchParameters()
            parameters.sel = selector
        with _one_thread():
            _, ids = self._dense.search(vector[None, :], min(k, self.n_chunks), params=parameters)
        found = ids[0][ids[0] >= 0]
        rows: Ids = self._by_id[np.searchsorted(self._ids, found)]
        return rows

    def vectors(self, rows: Ids) -> Vectors:
        """The unit vectors of some rows; shape (len(rows), dim)."""
        with _one_thread():
            found: Vectors = self._dense.index.reconstruct_batch(rows)
        return found

    def row(self, row: int) -> tuple[str, datetime.date | None, Chunk]:
        """(transcript, date, chunk) of one row."""
        number = int(np.searchsorted(self._ends, row, side="right"))
        batch = self._rows.get_batch(number)
        start = int(self._ends[number]) - len(batch)
        transcript, date, *chunk = (column[row - start].as_py() for column in batch.columns)
        return transcript, date, Chunk(*chunk)


@contextmanager
def _one_thread() -> Iterator[None]:
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


@dataclass(frozen=True)
class _Sidecar:
    encoder: str
    dim: int
    n_chunks: int
    files: dict[str, str]


def _sidecar(folder: Path) -> _Sidecar:
    try:
        raw = json.loads((folder / SIDECAR).read_text(encoding="utf-8"))
        sidecar = _Sidecar(str(raw["encoder"]), int(raw["dim"]), int(raw["n_chunks"]), dict(raw["files"]))
        known = raw["format"] == FORMAT
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(folder / SIDECAR) from error
    if not known:
        raise _damaged(folder / SIDECAR)
    return sidecar


def _damaged(path: Path) -> ArtifactError:
    return ArtifactError(
        zh=f"索引不完整或已损坏（{path}）；请运行 hcf refresh 重建索引。",
        en=f"The index is incomplete or damaged ({path}); run hcf refresh to build it again.",
    )
