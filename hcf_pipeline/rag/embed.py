"""The chunks' vectors, by content hash: a text is encoded once, and only when it is new."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from hcf_pipeline.errors import ArtifactError
from hcf_pipeline.rag.encoder import Encoder, Vectors
from hcf_pipeline.rag.lexical import without_labels
from hcf_pipeline.store import hash_of

VECTORS = "vectors.npy"
HASHES = "hashes.npy"
SLAB = 2_048  # texts between two reports of progress

Hashes = npt.NDArray[np.bytes_]


@dataclass(frozen=True)
class Embeddings:
    """Content hashes, sorted and distinct, and the unit vector of each; shapes (n,) and (n, dim)."""

    hashes: Hashes
    vectors: Vectors

    @staticmethod
    def load(folder: Path) -> Embeddings:
        """Vectors by memory map. Raises ArtifactError where the files are missing or don't belong together."""
        try:
            hashes = np.load(folder / HASHES, allow_pickle=False)
            vectors = np.load(folder / VECTORS, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise _damaged(folder) from error
        if vectors.ndim != 2 or len(hashes) != len(vectors) or vectors.dtype != np.float32:
            raise _damaged(folder)
        return Embeddings(hashes, vectors)

    def places(self, wanted: Hashes) -> npt.NDArray[np.int64]:
        """The row of each wanted hash, -1 where it is not there."""
        if not len(self.hashes):
            return np.full(len(wanted), -1, dtype=np.int64)
        found = np.minimum(np.searchsorted(self.hashes, wanted), len(self.hashes) - 1)
        return np.where(self.hashes[found] == wanted, found, -1).astype(np.int64)


@dataclass(frozen=True)
class EmbeddingReport:
    version: str  # of the hashes alone; the encoder's identity is for the caller to add
    n_texts: int  # distinct
    n_encoded: int  # of these, what no earlier run had


def write_embeddings(
    chunks: Path,
    encoder: Encoder,
    previous: Path | None,
    out: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> EmbeddingReport:
    """Writes VECTORS (n, dim) float32 and HASHES (n,) into `out`, for the distinct texts of a chunk table.

    `previous` is the folder of an earlier run of the same encoder; a damaged one is no help, and no error. Labels are
    not encoded. New texts go in order of their length, so that a batch holds little padding; `progress(done, total)` counts them.
    """
    columns = pq.read_table(chunks, columns=["content_hash", "text"])
    all_hashes: Hashes = np.array(columns["content_hash"].to_pylist(), dtype=np.bytes_)
    hashes, rows = np.unique(all_hashes, return_index=True)
    vectors: Vectors = np.empty((len(hashes), encoder.dim), dtype=np.float32)
    new = np.ones(len(hashes), dtype=np.bool_)
    if known := _known(previous, encoder.dim):
        places = known.places(hashes)
        new = places < 0
        vectors[~new] = known.vectors[places[~new]]
    wanted = np.flatnonzero(new)
    texts = [without_labels(text).strip() or text for text in columns["text"].take(rows[wanted]).to_pylist()]
    by_length = np.argsort([-len(text) for text in texts], kind="stable")
    for start in range(0, len(texts), SLAB):
        slab = by_length[start : start + SLAB]
        vectors[wanted[slab]] = encoder.encode_documents([texts[position] for position in slab.tolist()])
        progress(min(start + SLAB, len(texts)), len(texts))
    np.save(out / HASHES, hashes, allow_pickle=False)
    np.save(out / VECTORS, vectors, allow_pickle=False)
    return EmbeddingReport(hash_of([h.decode() for h in hashes.tolist()]), len(hashes), len(texts))


def _known(previous: Path | None, dim: int) -> Embeddings | None:
    if previous is None:
        return None
    try:
        known = Embeddings.load(previous)
    except ArtifactError:
        return None
    return known if known.vectors.shape[1] == dim else None


def _damaged(folder: Path) -> ArtifactError:
    return ArtifactError(
        zh=f"{folder} 里的向量文件缺失或已损坏；请运行 hcf refresh 重新生成。",
        en=f"The vectors in {folder} are missing or damaged; run hcf refresh to build them again.",
    )
