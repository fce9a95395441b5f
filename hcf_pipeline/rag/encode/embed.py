"""The chunks' vectors, by content hash: a text is encoded once, and only when it is new.

    embeddings.json   the encoder's identity, the dimension, the scale of its cosines, and the files that belong to them
    *.vectors         see vector_file.py; shared with the cache and with other versions as hard links

Together the files hold a vector for each text of the chunk table, and may hold some that it no longer has.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa

from hcf_pipeline.corpus.parts import Table
from hcf_pipeline.errors import ArtifactError
from hcf_pipeline.files import hash_of, link_or_copy
from hcf_pipeline.rag.arrays import Vectors
from hcf_pipeline.rag.encode.cosines import CosineScale, cosine_scale
from hcf_pipeline.rag.encode.encoder import Encoder
from hcf_pipeline.rag.encode.vector_cache import VectorCache
from hcf_pipeline.rag.encode.vector_file import Hashes, Rows, VectorFile, gather, locate

EMBEDDINGS = "embeddings.json"
FORMAT = 3
SLAB = 2_048  # texts between two reports of progress, and between two writes
FIRST = 8  # texts of the first piece, which are the longest; an encoder that is quick gets more at a time, up to a slab
WRITE_S = 30.0  # what a slow encoder has done for so long is written, however little it is
SORTED = 16 * SLAB  # texts that are brought into order of their length, and held in memory, at a time


@dataclass(frozen=True)
class Embeddings:
    """The vectors that lie in one folder, by memory map."""

    encoder: str  # the identity of the one that made them, see encoder.py
    dim: int
    files: tuple[VectorFile, ...]
    scale: CosineScale

    @staticmethod
    def load(folder: Path) -> Embeddings:
        """Raises ArtifactError where a file is missing, or is not what was written."""
        try:
            raw = json.loads((folder / EMBEDDINGS).read_text(encoding="utf-8"))
            encoder, dim, scale = str(raw["encoder"]), int(raw["dim"]), CosineScale(**raw["scale"])
            files = tuple(VectorFile.open(folder / str(name)) for name in raw["files"])
            if raw["format"] != FORMAT or any(file.vectors.shape[1] != dim for file in files):
                raise ValueError(folder)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise _damaged(folder) from error
        return Embeddings(encoder, dim, files, scale)

    def places(self, wanted: Hashes) -> Rows:
        """The place of each wanted hash, -1 where it is not there."""
        return locate(self.files, wanted)

    def take(self, places: Rows) -> Vectors:
        """The vectors at some places; shape (len(places), dim)."""
        return gather(self.files, places)


@dataclass(frozen=True)
class EmbeddingReport:
    version: str  # of the hashes, the encoder's identity, and the scale
    n_texts: int  # distinct
    n_encoded: int  # of these, what the cache did not have


def write_embeddings(
    chunks: Path,
    encoder: Encoder,
    cache: VectorCache,
    out: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
    scale: CosineScale | None = None,
) -> EmbeddingReport:
    """Writes the vectors of a chunk table's texts into the folder `out`; only the texts that are new are read.

    `scale` is that of the encoder on a table of which this one is a part; without it, it is measured.

    New texts go in order of their length, so that a batch holds little padding, and into the cache slab by slab, or every
    half a minute where a slab takes longer: a killed run is taken up there. `progress(done, total)` counts them.
    """
    table = Table(chunks)
    hashes, new = _distinct(table, known := cache.open(encoder.identity))
    n_done, n_new = 0, sum(map(len, new.values()))
    texts = _texts(table, new)
    while by_length := sorted(islice(texts, SORTED), key=lambda one: -len(one[1])):
        for piece, vectors in _encoded(encoder, by_length):
            known.append(cache.add(encoder.identity, np.array([hash_ for hash_, _ in piece]), vectors))
            if len(piece) < SLAB:  # of a slow encoder these become many, and an open file each
                known = cache.merge(encoder.identity, known)
            n_done += len(piece)
            progress(n_done, n_new)
    known = cache.merge(encoder.identity, known)
    files = _cover(cache, encoder.identity, known, hashes)
    for file in files:
        _publish(file, out)
    scale = scale or cosine_scale(table, encoder.encode_queries, lambda some: gather(files, locate(files, some)))
    named = {"encoder": encoder.identity, "dim": encoder.dim, "files": [file.path.name for file in files]}
    written = {"format": FORMAT, **named, "scale": asdict(scale)}
    (out / EMBEDDINGS).write_text(json.dumps(written, indent=1), encoding="utf-8")
    version = hash_of([encoder.identity, asdict(scale), hashes.astype(np.str_).tolist()])
    return EmbeddingReport(version, len(hashes), n_new)


def _encoded(encoder: Encoder, texts: list[tuple[bytes, str]]) -> Iterator[tuple[list[tuple[bytes, str]], Vectors]]:
    """(some of the texts, their vectors), whenever there is enough to be written."""
    size, begun, at, written = min(FIRST, SLAB), 0, 0, time.monotonic()
    waiting: list[Vectors] = []
    while at < len(texts):
        started = time.monotonic()
        piece = texts[at : min(at + size, begun + SLAB)]
        waiting.append(encoder.encode_documents([text for _, text in piece]))
        at += len(piece)
        now = time.monotonic()
        if now - started < WRITE_S / 2:
            size = min(2 * size, SLAB)
        elif now - started > WRITE_S:
            size = max(size // 2, 1)
        if at - begun == SLAB or at == len(texts) or now - written >= WRITE_S:
            yield texts[begun:at], np.concatenate(waiting)
            waiting, begun, written = [], at, time.monotonic()


def as_hashes(column: pa.Array) -> Hashes:
    """A column of content hashes as bytes, without a Python object for each."""
    fixed = column.cast(pa.binary()).cast(pa.binary(32))
    return np.frombuffer(fixed.buffers()[1], dtype="S32", count=len(fixed), offset=32 * fixed.offset)


def _distinct(table: Table, known: Sequence[VectorFile]) -> tuple[Hashes, dict[str, list[int]]]:
    """(all distinct hashes, sorted; for each transcript with new texts the rows, counted within it, that hold them)."""
    read = [(entry.path, as_hashes(column)) for entry, (column,) in table.read(["content_hash"])]
    starts = np.cumsum([0, *(len(column) for _, column in read)])
    hashes, rows = np.unique(np.concatenate([column for _, column in read]), return_index=True)
    new: dict[str, list[int]] = {}
    for row in np.sort(rows[locate(known, hashes) < 0]).tolist():
        number = int(np.searchsorted(starts, row, side="right")) - 1
        new.setdefault(read[number][0], []).append(row - int(starts[number]))
    return hashes, new


def _texts(table: Table, new: dict[str, list[int]]) -> Iterator[tuple[bytes, str]]:
    """(hash, what is encoded) of the new rows, in the table's order."""
    for entry, (hashes, texts) in table.read(["content_hash", "text"], new):
        for row in new[entry.path]:
            yield hashes[row].as_py().encode(), prepared(texts[row].as_py())


def prepared(text: str) -> str:
    """What is encoded of a chunk's text. A change here is one to PREPARATION (encoder.py)."""
    return text.strip()


def _cover(cache: VectorCache, identity: str, known: Sequence[VectorFile], hashes: Hashes) -> list[VectorFile]:
    """Files that hold all the hashes: those of the cache that are needed for the most part, and one for what is left."""
    needed = [(float((locate([file], hashes) >= 0).sum()) / len(file), file) for file in known]
    chosen: list[VectorFile] = []
    left = hashes
    for _, file in sorted(needed, key=lambda one: (-one[0], -len(one[1]), one[1].path.name)):
        here = locate([file], left) >= 0
        if 2 * here.sum() >= len(file):
            chosen.append(file)
            left = left[~here]
    if len(left):
        chosen.append(cache.add(identity, left, gather(known, locate(known, left))))
    return chosen


def _publish(file: VectorFile, out: Path) -> None:
    try:
        link_or_copy(file.path, out / file.path.name)
    except FileNotFoundError:  # pruned meanwhile, but still open
        VectorFile.write(out, file.hashes, file.vectors)


def _damaged(folder: Path) -> ArtifactError:
    return ArtifactError(
        zh=f"{folder} 里的向量文件缺失或已损坏；请运行 hcf refresh 重新生成。",
        en=f"The vectors in {folder} are missing or damaged; run hcf refresh to build them again.",
    )
