"""The lexical side of one segment: which terms (terms.py) stand in which texts, and how often.

What a term counts for is decided over all segments (bm25.py). The arrays lie in .npy files, opened by memory map.

    terms.npy         int64    sorted, those of up to a fifth of the texts
    indptr.npy        int64    postings of terms[i]: indptr[i]:indptr[i + 1]
    docs.npy          int32    positions of the texts, ascending within a term
    counts.npy        uint8    occurrences in the text, at most 255 (where BM25 has long been flat)
    lengths.npy       int32    terms of each text, repetitions included
    common.npy        int64    sorted, the other terms: as rows they are smaller than postings, and 20 times as fast
    common_docs.npy   int32    texts that each of them is in
    common_counts.npy uint8    (terms, texts) occurrences
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hcf_pipeline.rag.arrays import Ints
from hcf_pipeline.rag.index.terms import members, terms_in, units_of

ARRAYS = ("terms", "indptr", "docs", "counts", "lengths", "common", "common_docs", "common_counts")
COMMON = 5  # a posting takes five bytes, a place in a row takes one
BLOCK_CHARS = 2_000_000  # characters whose terms are sorted at a time
BLOCK_POSTINGS = 1 << 24  # that are put together at a time
TEXT_BITS = np.int64(20)  # with a term's 43 bits a posting is one positive int64, so that sorting is quick

SmallInts = npt.NDArray[np.signedinteger]


@dataclass(frozen=True)
class _Block:
    """The postings of some neighbouring texts, sorted by term, then text."""

    terms: Ints
    docs: SmallInts
    counts: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Postings:
    """The terms of some texts, inverted; in memory."""

    terms: Ints  # sorted
    indptr: Ints  # postings of terms[i]: indptr[i]:indptr[i + 1]
    docs: SmallInts  # positions of the texts, ascending within a term
    counts: npt.NDArray[np.uint8]
    lengths: SmallInts  # terms of each text, repetitions included

    def grouped(self, sizes: Sequence[int]) -> Postings:
        """Those of texts that are `sizes` neighbouring ones of these in turn, put together."""
        owner = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
        docs: list[SmallInts] = []
        counts: list[npt.NDArray[np.uint8]] = []
        n_docs: list[Ints] = []
        for some in _some_at_a_time(self.indptr):
            starts = self.indptr[some]
            here = slice(starts[0], starts[-1])
            owners = owner[self.docs[here]]
            is_first = np.append(True, owners[1:] != owners[:-1])
            is_first[starts[:-1] - starts[0]] = True
            firsts = np.flatnonzero(is_first)
            docs.append(owners[firsts])
            counts.append(np.minimum(np.add.reduceat(self.counts[here], firsts, dtype=np.int64), 255).astype(np.uint8))
            n_docs.append(np.diff(np.searchsorted(firsts, starts - starts[0])))
        indptr = np.cumsum(np.concatenate([np.zeros(1, np.int64), *n_docs]))
        firsts = np.cumsum([0, *sizes[:-1]])
        lengths = np.add.reduceat(self.lengths, firsts, dtype=np.int32) if len(sizes) else self.lengths
        return Postings(self.terms, indptr, _joined(docs, np.int32), _joined(counts, np.uint8), lengths)

    def save(self, out: Path) -> None:
        """Writes ARRAYS into the new folder `out`."""
        out.mkdir(parents=True)
        n_texts, sizes = len(self.lengths), np.diff(self.indptr)
        common = sizes * COMMON > n_texts
        rows = np.zeros((int(common.sum()), n_texts), dtype=np.uint8)
        for row, place in zip(rows, np.flatnonzero(common).tolist(), strict=True):
            run = slice(self.indptr[place], self.indptr[place + 1])
            row[self.docs[run]] = self.counts[run]
        rare = np.repeat(~common, sizes)
        starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes[~common])])
        postings = (self.terms[~common], starts, self.docs[rare], self.counts[rare], self.lengths)
        arrays: list[npt.NDArray[Any]] = [*postings, self.terms[common], sizes[common].astype(np.int32), rows]
        for name, array in zip(ARRAYS, arrays, strict=True):
            np.save(out / f"{name}.npy", array, allow_pickle=False)


def invert(texts: Iterable[str]) -> Postings:
    """Linear in the number of characters."""
    blocks: list[_Block] = []
    lengths: list[SmallInts] = []
    n_texts = 0
    for batch in _batches(texts):
        block, sizes = _invert(batch, n_texts)
        blocks.append(block)
        lengths.append(sizes)
        n_texts += len(batch)
    distinct = [_runs(block.terms) for block in blocks]
    terms = np.unique(_joined([found for found, _, _ in distinct], np.int64))
    sizes_of = np.zeros(len(terms), dtype=np.int64)
    for found, _, sizes in distinct:
        sizes_of[np.searchsorted(terms, found)] += sizes
    indptr = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes_of)])
    docs: SmallInts = np.empty(indptr[-1], dtype=np.int32)
    counts: npt.NDArray[np.uint8] = np.empty(indptr[-1], dtype=np.uint8)
    free = indptr[:-1].copy()  # where the next posting of a term goes; blocks come in the order of their texts
    for block, (found, first, sizes) in zip(blocks, distinct, strict=True):
        places = np.searchsorted(terms, found)
        target = np.arange(len(block.terms)) + np.repeat(free[places] - first, sizes)
        docs[target] = block.docs
        counts[target] = block.counts
        free[places] += sizes
    return Postings(terms, indptr, docs, counts, _joined(lengths, np.int32))


def _some_at_a_time(indptr: Ints) -> Iterator[slice]:
    """Runs of terms, as slices of their `indptr` with the end of the last one, of some BLOCK_POSTINGS postings each."""
    first = 0
    while first < len(indptr) - 1:
        last = max(int(np.searchsorted(indptr, indptr[first] + BLOCK_POSTINGS, side="right")) - 1, first + 1)
        yield slice(first, last + 1)
        first = last


def _joined(arrays: Sequence[npt.NDArray[Any]], kind: type[np.generic]) -> npt.NDArray[Any]:
    return np.concatenate([np.empty(0, kind), *arrays])


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    n_chars = 0
    for text in texts:
        batch.append(text)
        n_chars += len(text)
        if n_chars >= BLOCK_CHARS or len(batch) == 1 << TEXT_BITS:
            yield batch
            batch, n_chars = [], 0
    if batch:
        yield batch


def _invert(batch: Sequence[str], first: int) -> tuple[_Block, SmallInts]:
    units = units_of(batch)
    terms, at = terms_in(units)
    owners = units.owners[at]
    lengths = np.bincount(owners, minlength=len(batch)).astype(np.int32)
    keys = (terms << TEXT_BITS) | owners
    keys.sort()
    postings, _, counts = _runs(keys)
    docs = ((postings & ((1 << TEXT_BITS) - 1)) + first).astype(np.int32)
    return _Block(postings >> TEXT_BITS, docs, np.minimum(counts, 255).astype(np.uint8)), lengths


def _runs(ordered: Ints) -> tuple[Ints, Ints, Ints]:
    """(values, starts, sizes) of the runs of equal numbers in a sorted array."""
    starts = np.flatnonzero(np.concatenate([np.ones(min(len(ordered), 1), np.bool_), ordered[1:] != ordered[:-1]]))
    return ordered[starts], starts, np.diff(np.append(starts, len(ordered)))


@dataclass(frozen=True)
class Matches:
    """What a segment holds of some terms; each is numbered as it was asked for."""

    docs: SmallInts  # positions of the texts, one for each posting
    counts: npt.NDArray[np.uint8]
    term: Ints  # of each posting
    rows: npt.NDArray[np.uint8]  # (common terms, texts) counts
    common_term: Ints  # of each row
    n_docs: Ints  # texts with each term asked for


class LexicalSegment:
    """The arrays of one folder, read only; safe to share between threads."""

    def __init__(self, folder: Path) -> None:
        """Raises OSError or ValueError where the files are not as they were written."""
        maps = [np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in ARRAYS]
        arrays = [np.asarray(array) for array in maps]  # slicing a np.memmap costs 4 µs, a plain view of it 0.2
        self._terms, self._indptr, self._docs, self._counts, self.lengths = arrays[:5]
        self._common, self._common_docs, self._common_counts = arrays[5:]
        self.n_texts = len(self.lengths)
        if (
            len(self._indptr) != len(self._terms) + 1
            or not self._indptr[-1] == len(self._docs) == len(self._counts)
            or self._common_counts.shape != (len(self._common), self.n_texts)
            or len(self._common_docs) != len(self._common)
        ):
            raise ValueError(f"{folder}: the arrays of the lexical index do not belong together")

    def find(self, terms: Ints) -> Matches:
        """All that is there of some sorted, distinct terms."""
        term, places = _places(self._terms, terms)
        starts, ends = self._indptr[places], self._indptr[places + 1]
        runs = [slice(start, end) for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]
        common_term, common = _places(self._common, terms)
        n_docs = np.zeros(len(terms), dtype=np.int64)
        n_docs[term] = ends - starts
        n_docs[common_term] = self._common_docs[common]
        return Matches(
            np.concatenate([self._docs[run] for run in runs] or [np.empty(0, np.int32)]),
            np.concatenate([self._counts[run] for run in runs] or [np.empty(0, np.uint8)]),
            np.repeat(term, ends - starts),
            self._common_counts[common],
            common_term,
            n_docs,
        )


def _places(known: Ints, terms: Ints) -> tuple[Ints, Ints]:
    """(positions among `terms`, positions among `known`) of the terms that are in both."""
    places, found = members(terms, known)
    return found, places
