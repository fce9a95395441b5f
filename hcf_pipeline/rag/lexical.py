"""BM25 over characters and pairs of neighbouring characters: no segmenter, nothing learnt.

A term is an int64: the code point of a character, or two code points of 21 bits each. The postings lie in .npy files,
opened by memory map; k1 and b come with the question, so that they can change without a new index.

    terms.npy    int64    sorted
    indptr.npy   int64    postings of terms[i]: indptr[i]:indptr[i + 1]
    docs.npy     int32    positions of the texts, ascending within a term
    counts.npy   uint8    occurrences in the text, at most 255 (where BM25 has long been flat)
    lengths.npy  int32    terms of each text, repetitions included
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

ARRAYS = ("terms", "indptr", "docs", "counts", "lengths")
BLOCK_CHARS = 2_000_000  # characters whose terms are sorted at a time
SHIFT = np.int64(21)
TEXT_BITS = np.int64(20)  # with a term's 42 bits a posting is one positive int64, so that sorting is quick
BREAK = "\n"

Ints = npt.NDArray[np.int64]
SmallInts = npt.NDArray[np.signedinteger]
Floats = npt.NDArray[np.float32]


def normalise(text: str) -> str:
    """What is compared: NFKC, lower case, without white space and punctuation; line breaks stay, no pair spans them."""
    return "".join(_kept(unicodedata.normalize("NFKC", text).lower()))


def _kept(text: str) -> Iterator[str]:
    return (c for c in text if c == BREAK or c.isalnum())


def without_labels(text: str) -> str:
    """A chunk's text without the speakers' labels at the start of its lines."""
    return _LABEL.sub("", text)


_LABEL = re.compile(r"^[^\n：]{1,40}：", re.MULTILINE)


def terms_of(text: str) -> Ints:
    """The distinct terms of a text, sorted."""
    codes = np.frombuffer(normalise(text).encode("utf-32-le"), dtype=np.uint32).astype(np.int64)
    return np.unique(_terms(codes, np.zeros(len(codes), dtype=np.int64))[0])


def _terms(codes: Ints, owners: Ints) -> tuple[Ints, Ints]:
    """(terms, owners) of a run of code points, each with the text that owns it; pairs keep to one line of one text."""
    real = codes != ord(BREAK)
    pair = real[:-1] & real[1:] & (owners[:-1] == owners[1:])
    pairs = (codes[:-1][pair] << SHIFT) | codes[1:][pair]
    return np.concatenate([codes[real], pairs]), np.concatenate([owners[real], owners[:-1][pair]])


@dataclass(frozen=True)
class _Block:
    """The postings of some neighbouring texts, sorted by term, then text."""

    terms: Ints
    docs: SmallInts
    counts: npt.NDArray[np.uint8]


def write_lexical_index(texts: Iterable[str], out: Path) -> int:
    """Writes the arrays into the new folder `out`; returns the number of texts. Linear in the number of characters."""
    out.mkdir(parents=True)
    blocks: list[_Block] = []
    lengths: list[SmallInts] = []
    n_texts = 0
    for batch in _batches(texts):
        block, sizes = _invert(batch, n_texts)
        blocks.append(block)
        lengths.append(sizes)
        n_texts += len(batch)
    distinct = [_runs(block.terms) for block in blocks]
    terms = np.unique(np.concatenate([found for found, _, _ in distinct] or [np.empty(0, np.int64)]))
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
    arrays = (terms, indptr, docs, counts, np.concatenate(lengths or [np.empty(0, np.int32)]))
    for name, array in zip(ARRAYS, arrays, strict=True):
        np.save(out / f"{name}.npy", array, allow_pickle=False)
    return n_texts


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
    plain = [unicodedata.normalize("NFKC", without_labels(text)).lower() for text in batch]
    codes = np.frombuffer("".join(plain).encode("utf-32-le"), dtype=np.uint32)
    owners = np.repeat(np.arange(len(batch), dtype=np.int64), [len(text) for text in plain])
    kept = _is_kept(codes)
    terms, owners = _terms(codes[kept].astype(np.int64), owners[kept])
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


def _is_kept(codes: npt.NDArray[np.uint32]) -> npt.NDArray[np.bool_]:
    """`_kept`, decided once for each distinct code point."""
    table = np.zeros(0x110000, dtype=np.bool_)
    distinct = np.flatnonzero(np.bincount(codes, minlength=1)) if len(codes) else np.empty(0, np.int64)
    table[[code for code in distinct.tolist() if code == ord(BREAK) or chr(code).isalnum()]] = True
    return table[codes]


class LexicalIndex:
    """The arrays of one folder, read only; safe to share between threads."""

    def __init__(self, folder: Path) -> None:
        """Raises OSError or ValueError where the files are not as they were written."""
        terms, indptr, docs, counts, lengths = (
            np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in ARRAYS
        )
        if len(indptr) != len(terms) + 1 or indptr[-1] != len(docs) or len(docs) != len(counts):
            raise ValueError(f"{folder}: the arrays of the lexical index do not belong together")
        self._terms, self._indptr, self._docs, self._counts, self._lengths = terms, indptr, docs, counts, lengths
        self.n_texts = len(lengths)
        self._norms = lru_cache(maxsize=4)(self._length_norms)

    def scores(self, question: str, k1: float, b: float) -> tuple[Floats, float]:
        """(BM25 of every text, what a text could reach at most); the question's terms count once each.

        Shape (n_texts,), float32. The maximum is the sum over the question's terms, known or not, of idf × (k1 + 1).
        """
        result = np.zeros(self.n_texts, dtype=np.float32)
        terms = terms_of(question)
        idf, found = self._idf(terms)
        norms = self._norms(k1, b)
        for place, weight in zip(found.tolist(), (idf * (k1 + 1)).tolist(), strict=True):
            if place < 0:
                continue
            start, end = self._indptr[place], self._indptr[place + 1]
            docs, counts = self._docs[start:end], self._counts[start:end].astype(np.float32)
            result[docs] += np.float32(weight) * counts / (counts + norms[docs])
        return result, float(idf.sum() * (k1 + 1))

    def idf(self, terms: Ints) -> npt.NDArray[np.float64]:
        """Weight of each term: log(1 + (n - df + 0.5) / (df + 0.5)); one never seen weighs most."""
        return self._idf(terms)[0]

    def _idf(self, terms: Ints) -> tuple[npt.NDArray[np.float64], Ints]:
        """(idf, place in the index or -1) of each term."""
        if not len(self._terms):
            return np.zeros(len(terms)), np.full(len(terms), -1)
        places = np.minimum(np.searchsorted(self._terms, terms), len(self._terms) - 1)
        known = self._terms[places] == terms
        n_docs = np.where(known, self._indptr[places + 1] - self._indptr[places], 0)
        idf = np.log1p((self.n_texts - n_docs + 0.5) / (n_docs + 0.5))
        return idf, np.where(known, places, -1)

    def _length_norms(self, k1: float, b: float) -> Floats:
        mean = float(self._lengths.mean()) or 1.0
        return (k1 * (1 - b + b * np.asarray(self._lengths) / mean)).astype(np.float32)
