"""One file of vectors: sorted content hashes and the unit vector of each, never changed once it is there.

Two .npy arrays one after the other: (n,) bytes of 32, then (n, dim) float32. The name is the checksum of the bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hcf_pipeline.files import draft_name, file_sha256
from hcf_pipeline.rag.arrays import Vectors

SUFFIX = ".vectors"

Hashes = npt.NDArray[np.bytes_]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class VectorFile:
    """Hashes in memory, vectors by memory map: they stay readable when the file loses its name."""

    path: Path
    hashes: Hashes
    vectors: Vectors

    def __len__(self) -> int:
        return len(self.hashes)

    @staticmethod
    def open(path: Path) -> VectorFile:
        """Raises OSError or ValueError where it is not a whole file of vectors; the checksum is not looked at."""
        with path.open("rb") as file:
            hashes = np.lib.format.read_array(file, allow_pickle=False)
            if np.lib.format.read_magic(file) != (1, 0):
                raise ValueError(f"{path}: no array of vectors")
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
            vectors = np.memmap(file, dtype, "r", file.tell(), shape)
        if dtype != np.float32 or len(shape) != 2 or hashes.dtype != np.dtype("S32") or len(hashes) != shape[0]:
            raise ValueError(f"{path}: hashes and vectors do not belong together")
        return VectorFile(path, hashes, vectors)

    @staticmethod
    def write(folder: Path, hashes: Hashes, vectors: Vectors) -> VectorFile:
        """Puts a file into `folder`, in one rename. Hashes may come in any order, more than once, but not none."""
        hashes, rows = np.unique(hashes.astype("S32"), return_index=True)
        draft = folder / draft_name()
        with draft.open("wb") as file:
            np.lib.format.write_array(file, hashes, (1, 0), allow_pickle=False)
            np.lib.format.write_array(file, np.ascontiguousarray(vectors[rows], np.float32), (1, 0), allow_pickle=False)
        path = folder / f"{_checksum(draft)}{SUFFIX}"
        draft.replace(path)
        return VectorFile.open(path)

    def is_intact(self) -> bool:
        """Whether the bytes are those that were written: reads the whole file."""
        return self.path.name == f"{_checksum(self.path)}{SUFFIX}"


def locate(files: Sequence[VectorFile], wanted: Hashes) -> Rows:
    """The row of each wanted hash, counted over all files; -1 where none has it, the first file's where several do."""
    found = np.full(len(wanted), -1, dtype=np.int64)
    start = 0
    for file in files:
        places = np.minimum(np.searchsorted(file.hashes, wanted), len(file) - 1)
        here = (found < 0) & (file.hashes[places] == wanted)
        found[here] = places[here] + start
        start += len(file)
    return found


def gather(files: Sequence[VectorFile], rows: Rows) -> Vectors:
    """The vectors of some rows, counted over all files; shape (len(rows), dim)."""
    vectors: Vectors = np.empty((len(rows), files[0].vectors.shape[1]), dtype=np.float32)
    start = 0
    for file in files:
        here = (rows >= start) & (rows < start + len(file))
        if here.any():
            vectors[here] = file.vectors[rows[here] - start]
        start += len(file)
    return vectors


def _checksum(path: Path) -> str:
    return file_sha256(path)[:32]
