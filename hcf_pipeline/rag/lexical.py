"""The lexical side of one segment: characters and pairs of neighbouring characters; no segmenter, nothing learnt.

A term is an int64: the code point of a character, or two code points of 21 bits each. What a term counts for is
decided over all segments (bm25.py). The arrays lie in .npy files, opened by memory map.

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

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hcf_pipeline.rag.arrays import Ints

ARRAYS = ("terms", "indptr", "docs", "counts", "lengths", "common", "common_docs", "common_counts")
COMMON = 5  # a posting takes five bytes, a place in a row takes one
BLOCK_CHARS = 2_000_000  # characters whose terms are sorted at a time
SHIFT = np.int64(21)
TEXT_BITS = np.int64(20)  # with a term's 42 bits a posting is one positive int64, so that sorting is quick
BREAK = "\n"
DROPPED, TOGETHER, UNSEEN = 0, -1, -2  # what becomes of a character, other than a code point
COMPOSING = frozenset(map(chr, range(0x1100, 0x1200)))  # Hangul letters, which join into syllables
SIGMAS = frozenset("σς")  # which of the two a capital becomes, its neighbours tell

Codes = npt.NDArray[np.int32]
SmallInts = npt.NDArray[np.signedinteger]


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
    """(terms, where each begins) of a run of code points, each with the text that owns it.

    Pairs keep to one line of one text.
    """
    real = codes != ord(BREAK)
    pair = real[:-1] & real[1:] & (owners[:-1] == owners[1:])
    pairs = (codes[:-1][pair] << SHIFT) | codes[1:][pair]
    return np.concatenate([codes[real], pairs]), np.concatenate([np.flatnonzero(real), np.flatnonzero(pair)])


@dataclass(frozen=True)
class _Block:
    """The postings of some neighbouring texts, sorted by term, then text."""

    terms: Ints
    docs: SmallInts
    counts: npt.NDArray[np.uint8]


def write_lexical_index(texts: Iterable[str], out: Path) -> int:
    """Writes ARRAYS into the new folder `out`; returns the number of texts. Linear in the number of characters."""
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
    common = sizes_of * COMMON > n_texts
    rows = np.zeros((int(common.sum()), n_texts), dtype=np.uint8)
    for row, place in zip(rows, np.flatnonzero(common).tolist(), strict=True):
        run = slice(indptr[place], indptr[place + 1])
        row[docs[run]] = counts[run]
    rare = np.repeat(~common, sizes_of)
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes_of[~common])])
    all_lengths = np.concatenate(lengths or [np.empty(0, np.int32)])
    postings = (terms[~common], starts, docs[rare], counts[rare], all_lengths)
    arrays: list[npt.NDArray[Any]] = [*postings, terms[common], sizes_of[common].astype(np.int32), rows]
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


def _codes(texts: Sequence[str]) -> tuple[Ints, Ints]:
    """(code points, owners) of what is compared of some texts, one after the other; the owner is a text's position."""
    said = [without_labels(text) for text in texts]
    codes = _compared(_code_points(said))
    if codes is None:
        said = [unicodedata.normalize("NFKC", text).lower() for text in said]
        codes = _code_points(said)
        codes = np.where(_is_kept(codes), codes, DROPPED)
    owners = np.repeat(np.arange(len(texts), dtype=np.int64), [len(text) for text in said])
    kept = np.flatnonzero(codes != DROPPED)
    return codes[kept].astype(np.int64), owners[kept]


def _code_points(texts: Sequence[str]) -> Codes:
    return np.frombuffer("".join(texts).encode("utf-32-le"), dtype=np.int32)


def _compared(codes: Codes) -> Codes | None:
    """Character by character what `normalise` makes of a text, DROPPED where nothing; None where it takes the whole
    text to tell: NFKC is slow wherever there is full-width punctuation, which is in every line.
    """
    table = _table()
    for code in np.flatnonzero(np.bincount(codes, minlength=1) * (table[: int(codes.max(initial=0)) + 1] == UNSEEN)):
        table[code] = _alone(chr(code))
    compared: Codes = table[codes]
    return None if (compared == TOGETHER).any() else compared


@cache
def _table() -> Codes:
    return np.full(0x110000, UNSEEN, dtype=np.int32)


def _alone(c: str) -> int:
    decomposed = unicodedata.normalize("NFKD", c)
    if c in COMPOSING or any(unicodedata.category(part)[0] == "M" for part in decomposed[:1]):
        return TOGETHER
    compared = normalise(c)
    if len(compared) > 1 or compared in SIGMAS:
        return TOGETHER
    return ord(compared) if compared else DROPPED


def occurrences(texts: Sequence[str], terms: Ints) -> tuple[Ints, Ints, Ints]:
    """(texts, positions, terms) of every place where one of some sorted terms stands, all as positions.

    A place counts the characters that are compared, from the start of its text; a pair stands where it begins.
    """
    codes, owners = _codes(texts)
    firsts = np.searchsorted(owners, np.arange(len(texts)))
    places = np.arange(len(codes)) - firsts[owners]
    asked = np.zeros(int(codes.max(initial=0)) + 1, dtype=np.bool_)
    single = terms[terms >> SHIFT == 0]
    asked[single[single < len(asked)]] = True
    here = np.flatnonzero(asked[codes])  # a pair is asked for only with both of its characters
    first = here[:-1][np.diff(here) == 1]
    pair_at = first[owners[first] == owners[first + 1]]
    found = np.concatenate([codes[here], (codes[pair_at] << SHIFT) | codes[pair_at + 1]])
    at = np.concatenate([here, pair_at])
    which, kept = _members(found, terms)
    return owners[at[kept]], places[at[kept]], which


def sampled_pairs(texts: Sequence[str], one_in: int) -> tuple[Ints, Ints]:
    """(texts, pairs) of every `one_in`th pair of neighbouring characters that there is, repetitions included."""
    codes, owners = _codes(texts)
    terms, at = _terms(codes, owners)
    mixed = (terms >> SHIFT) * 31 + (terms & ((1 << SHIFT) - 1)) * 7
    kept = np.flatnonzero((mixed % one_in == 0) & (terms >> SHIFT > 0))
    return owners[at[kept]], terms[kept]


def _invert(batch: Sequence[str], first: int) -> tuple[_Block, SmallInts]:
    codes, of_code = _codes(batch)
    terms, at = _terms(codes, of_code)
    owners = of_code[at]
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


def _is_kept(codes: Codes) -> npt.NDArray[np.bool_]:
    """`_kept`, decided once for each distinct code point."""
    table = np.zeros(0x110000, dtype=np.bool_)
    distinct = np.flatnonzero(np.bincount(codes, minlength=1)) if len(codes) else np.empty(0, np.int64)
    table[[code for code in distinct.tolist() if code == ord(BREAK) or chr(code).isalnum()]] = True
    return table[codes]


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


def _members(found: Ints, terms: Ints) -> tuple[Ints, Ints]:
    """(positions among the sorted `terms`, positions in `found`) of what is one of the terms."""
    if not len(terms):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    which = np.minimum(np.searchsorted(terms, found), len(terms) - 1)
    kept = np.flatnonzero(terms[which] == found)
    return which[kept], kept


def _places(known: Ints, terms: Ints) -> tuple[Ints, Ints]:
    """(positions among `terms`, positions among `known`) of the terms that are in both."""
    places, found = _members(terms, known)
    return found, places
