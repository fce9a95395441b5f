"""The dense side of a segment: which rows are nearest to a question's vector, by inner product.

    dense.faiss   up to FLAT_ROWS rows: the vectors, every one of which is compared
                  above that: an inverted file (IVF), lists of one byte for each number; the nearest lists are compared
    vectors.npy   only beside an inverted file: the vectors, by which its best candidates are ranked again

Vectors are kept in half precision (float16): half of what a flat scan reads, and so half of its time, for cosines that
are wrong by some 0.00002. Processes share what they have read: dense.faiss is a memory map, of vectors.npy a question
reads some hundred rows. docs/retrieval.md has the measurements.
"""

from __future__ import annotations

import itertools
import math
import os
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from hcf_pipeline.rag.arrays import Halves, Ids, Mask, Vectors, spread

DENSE = "dense.faiss"
VECTORS = "vectors.npy"
HALF = np.float16

FLAT_ROWS = 150_000
"""A flat scan finds all, and takes some 3 ms there; it grows with the rows."""

LISTS = 2
"""Times √rows: finding the nearest lists stays a small part of reading them. At a million rows a question needs as large a
share of the rows from 1,000 lists as from 2,000 or 4,000 (0.48, 0.48, 0.45); to train them takes 5, 15 and 64 s."""

SAMPLE = 64
"""Rows for each list that the lists' centroids are trained on; FAISS asks for 39 at least."""

NEIGHBOURS = 200
COVERED = 0.99
N_TRIED = 256
"""How many lists a question needs depends on the encoder: with vectors in tight clusters a hundredth of them, with sums of
token vectors half. So it is measured as the file is written: as many lists as hold `COVERED` of the true `NEIGHBOURS`
nearest rows (the retriever asks for half as many) of `N_TRIED` rows. Questions lie farther from the rows than rows from each
other and need more lists: their recall was 0.974 at a million, and 0.960 where 0.98 of the neighbours were covered."""

SPARE_SHARE = 0.25
SPARE = 16
"""Candidates beyond those asked for. A code's product is wrong by some 0.0005, so only rows near the last place move."""

BLOCK_ROWS = 1 << 16  # coded at a time


@contextmanager
def dense_writer(
    folder: Path, n_rows: int, dim: int, flat_rows: int = FLAT_ROWS
) -> Iterator[Callable[[Vectors], object]]:
    """Writes the dense side of `n_rows` vectors into a folder; yields what takes them, some at a time, in their order.

    The same vectors give the same bytes (on one kind of processor), however they are divided.
    """
    import faiss

    if n_rows <= flat_rows:
        half = faiss.ScalarQuantizer.QT_fp16
        index: Any = faiss.IndexScalarQuantizer(dim, half, faiss.METRIC_INNER_PRODUCT)
        yield lambda vectors: index.add(vectors.astype(HALF).astype(np.float32))  # FAISS rounds ties its own way
    else:
        header = {"descr": np.lib.format.dtype_to_descr(np.dtype(HALF)), "fortran_order": False}
        with (folder / VECTORS).open("wb") as file:  # through a memory map, a full disk would kill the process
            np.lib.format.write_array_header_1_0(file, {**header, "shape": (n_rows, dim)})
            yield lambda vectors: file.write(np.ascontiguousarray(vectors, HALF).data)
        index = _inverted_file(np.load(folder / VECTORS, mmap_mode="r", allow_pickle=False))
    faiss.write_index(index, str(folder / DENSE))


def open_dense(folder: Path) -> Flat | Inverted:
    """Raises OSError, ValueError or RuntimeError where the files are not as they were written."""
    import faiss

    index: Any = faiss.read_index(str(folder / DENSE), faiss.IO_FLAG_MMAP_IFC)  # MMAP starts threads for each question
    if not isinstance(index, faiss.IndexIVF):
        return Flat(index)
    return Inverted(index, np.load(folder / VECTORS, mmap_mode="r", allow_pickle=False))


class Flat:
    """Every vector is compared. Safe to share between threads."""

    def __init__(self, index: Any) -> None:
        import faiss

        self.n_rows = int(index.ntotal)
        self._index = index
        codes = faiss.rev_swig_ptr(index.codes.data(), self.n_rows * index.code_size)
        self._halves: Halves = codes.view(HALF).reshape(self.n_rows, index.d)

    def nearest(self, vector: Vectors, k: int, among: Mask | None) -> tuple[Vectors, Ids]:
        """(inner products, rows) of the k largest, best first; only rows where `among` is true, if given."""
        import faiss

        parameters = None
        if among is not None:
            parameters = faiss.SearchParameters()
            parameters.sel = _selector(among)
        with one_thread():
            products, rows = self._index.search(vector[None, :], min(k, self.n_rows), params=parameters)
        found = rows[0] >= 0
        return products[0][found], rows[0][found]

    def vectors(self, rows: Ids) -> Vectors:
        """The vectors of some rows, float32; shape (len(rows), dim)."""
        return self._halves[rows].astype(np.float32)


class Inverted:
    """The nearest lists are compared, and their best rows again by the float vectors. Safe to share between threads."""

    def __init__(self, index: Any, vectors: Any) -> None:
        """`vectors` is a np.memmap."""
        if vectors.shape != (index.ntotal, index.d) or vectors.dtype != HALF:
            raise ValueError("the codes and the vectors do not belong together")
        self.n_rows = int(index.ntotal)
        self._index = index
        self._vectors = vectors
        if hasattr(os, "preadv"):
            self._file = os.open(vectors.filename, os.O_RDONLY)
            weakref.finalize(self, os.close, self._file)

    def nearest(self, vector: Vectors, k: int, among: Mask | None) -> tuple[Vectors, Ids]:
        """As of Flat, but for a few rows that lie in lists which are not compared."""
        import faiss

        n_allowed = self.n_rows if among is None else int(np.count_nonzero(among))
        if not n_allowed:
            return np.empty(0, np.float32), np.empty(0, np.int64)
        parameters = faiss.SearchParametersIVF()
        parameters.nprobe = self._n_probed(k, n_allowed)
        if among is not None:
            parameters.sel = _selector(among)
        n_ranked = min(k + int(SPARE_SHARE * k) + SPARE, n_allowed)
        with one_thread():
            _, found = self._index.search(vector[None, :], n_ranked, params=parameters)
        rows = np.sort(found[0][found[0] >= 0])
        products = np.einsum("ij,j->i", self.vectors(rows), vector)  # no BLAS: its threads wait for each other
        best = np.argsort(-products, kind="stable")[:k]
        return products[best], rows[best]

    def _n_probed(self, k: int, n_allowed: int) -> int:
        """As many more lists as fewer rows are allowed, so that about as many allowed rows are compared as without `among`.

        Where few are allowed, that is every list: then each of them is compared, and a look at the bits of the others is
        all that they cost.
        """
        more = max(k / NEIGHBOURS, 1) * self.n_rows / n_allowed
        return min(math.ceil(int(self._index.nprobe) * more), int(self._index.nlist))

    def vectors(self, rows: Ids) -> Vectors:
        """As of Flat; rows in ascending order are read in the fewest pieces.

        Not through the memory map, where there is another way: a page that is touched there maps the 15 around it, and
        after some hundred questions the whole file counted as resident. To unmap them each time takes three times as long.
        """
        if not hasattr(os, "preadv"):  # Windows
            return np.asarray(self._vectors[rows], np.float32)
        found = np.empty((len(rows), self._vectors.shape[1]), HALF)
        starts = np.flatnonzero(np.diff(rows, prepend=-2) != 1).tolist()
        places = (self._vectors.offset + rows * found.itemsize * found.shape[1]).tolist()
        for first, last in itertools.pairwise([*starts, len(rows)]):
            if os.preadv(self._file, [found[first:last].data], places[first]) != found[first:last].nbytes:
                raise OSError(f"{self._vectors.filename} ends too early")
        return found.astype(np.float32)


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


def _selector(among: Mask) -> Any:
    import faiss

    kind: Any = faiss.IDSelectorBitmap  # keeps the bits alive when given as an array, which its stub does not know
    return kind(np.packbits(among, bitorder="little"))


def _inverted_file(vectors: Halves) -> Any:
    import faiss

    n_rows, dim = vectors.shape
    n_lists = int(LISTS * math.sqrt(n_rows))
    kind = faiss.ScalarQuantizer.QT_8bit
    index = faiss.IndexIVFScalarQuantizer(faiss.IndexFlatIP(dim), dim, n_lists, kind, faiss.METRIC_INNER_PRODUCT)
    with one_thread():  # sums in another order would be other bytes; FAISS's seed is fixed
        index.train(vectors[spread(n_rows, SAMPLE * n_lists)].astype(np.float32))
        for start in range(0, n_rows, BLOCK_ROWS):
            index.add(vectors[start : start + BLOCK_ROWS].astype(np.float32))
        index.nprobe = _n_needed(index.quantizer, vectors)  # is written with the index
    return index


def _n_needed(centroids: Any, vectors: Halves) -> int:
    """How many lists hold COVERED of the true neighbours of some of the vectors."""

    asked = vectors[spread(len(vectors), N_TRIED)].astype(np.float32)
    nearest = _nearest(asked, vectors, min(NEIGHBOURS, len(vectors)))
    _, order = centroids.search(asked, centroids.ntotal)
    ranks = np.argsort(order, axis=1)  # of each list; shape (N_TRIED, lists)
    _, lists = centroids.search(vectors[nearest.ravel()].astype(np.float32), 1)
    of_neighbours = np.take_along_axis(ranks, lists.reshape(nearest.shape), axis=1)
    return int(np.quantile(of_neighbours, COVERED, method="higher")) + 1


def _nearest(asked: Vectors, vectors: Halves, k: int) -> Ids:
    """The rows of the k largest inner products with each of some vectors; shape (len(asked), k)."""
    import faiss

    best = faiss.ResultHeap(len(asked), k, keep_max=True)
    for start in range(0, len(vectors), BLOCK_ROWS):
        block = vectors[start : start + BLOCK_ROWS].astype(np.float32)
        products, rows = faiss.knn(asked, block, min(k, len(block)), metric=faiss.METRIC_INNER_PRODUCT)
        best.add_result(products, rows + start)
    best.finalize()
    nearest: Ids = best.I
    return nearest
