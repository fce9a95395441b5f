"""The terms of a text: its characters, and the pairs of neighbouring ones; no segmenter, nothing learnt.

A term is an int64: the code point of a character, or two code points of 21 bits each.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

from hcf_pipeline.rag.arrays import Ints

SHIFT = np.int64(21)
BREAK = "\n"
DROPPED, TOGETHER, UNSEEN = 0, -1, -2  # what becomes of a character, other than a code point
COMPOSING = frozenset(map(chr, range(0x1100, 0x1200)))  # Hangul letters, which join into syllables
SIGMAS = frozenset("σς")  # which of the two a capital becomes, its neighbours tell

Codes = npt.NDArray[np.int32]


def normalise(text: str) -> str:
    """What is compared: NFKC, lower case, without white space and punctuation; line breaks stay, no pair spans them."""
    return "".join(_kept(unicodedata.normalize("NFKC", text).lower()))


def _kept(text: str) -> Iterator[str]:
    return (c for c in text if c == BREAK or c.isalnum())


def terms_of(text: str) -> Ints:
    """The distinct terms of a text, sorted."""
    codes = np.frombuffer(normalise(text).encode("utf-32-le"), dtype=np.uint32).astype(np.int64)
    return np.unique(terms_in(codes, np.zeros(len(codes), dtype=np.int64))[0])


def terms_in(codes: Ints, owners: Ints) -> tuple[Ints, Ints]:
    """(terms, where each begins) of a run of code points, each with the text that owns it.

    Pairs keep to one line of one text.
    """
    real = codes != ord(BREAK)
    pair = real[:-1] & real[1:] & (owners[:-1] == owners[1:])
    pairs = (codes[:-1][pair] << SHIFT) | codes[1:][pair]
    return np.concatenate([codes[real], pairs]), np.concatenate([np.flatnonzero(real), np.flatnonzero(pair)])


def occurrences(texts: Sequence[str], terms: Ints) -> tuple[Ints, Ints, Ints]:
    """(texts, positions, terms) of every place where one of some sorted terms stands, all as positions.

    A place counts the characters that are compared, from the start of its text; a pair stands where it begins.
    """
    codes, owners = codes_of(texts)
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
    which, kept = members(found, terms)
    return owners[at[kept]], places[at[kept]], which


def sampled_pairs(texts: Sequence[str], one_in: int) -> tuple[Ints, Ints]:
    """(texts, pairs) of every `one_in`th pair of neighbouring characters that there is, repetitions included."""
    codes, owners = codes_of(texts)
    terms, at = terms_in(codes, owners)
    mixed = (terms >> SHIFT) * 31 + (terms & ((1 << SHIFT) - 1)) * 7
    kept = np.flatnonzero((mixed % one_in == 0) & (terms >> SHIFT > 0))
    return owners[at[kept]], terms[kept]


def members(found: Ints, terms: Ints) -> tuple[Ints, Ints]:
    """(positions among the sorted `terms`, positions in `found`) of what is one of the terms."""
    if not len(terms):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    which = np.minimum(np.searchsorted(terms, found), len(terms) - 1)
    kept = np.flatnonzero(terms[which] == found)
    return which[kept], kept


def codes_of(texts: Sequence[str]) -> tuple[Ints, Ints]:
    """(code points, owners) of what is compared of some texts, one after the other; the owner is a text's position."""
    codes = _compared(_code_points(texts))
    if codes is None:
        texts = [unicodedata.normalize("NFKC", text).lower() for text in texts]
        codes = _code_points(texts)
        codes = np.where(_is_kept(codes), codes, DROPPED)
    owners = np.repeat(np.arange(len(texts), dtype=np.int64), [len(text) for text in texts])
    kept = np.flatnonzero(codes != DROPPED)
    return codes[kept].astype(np.int64), owners[kept]


def _code_points(texts: Sequence[str]) -> Codes:
    return np.frombuffer("".join(texts).encode("utf-32-le"), dtype=np.int32)


def _compared(codes: Codes) -> Codes | None:
    """Character by character what `normalise` makes of a text, DROPPED where nothing; None where it takes the whole
    text to tell: NFKC is slow wherever there is full-width punctuation, which is in every line.
    """
    table = _table()
    compared: Codes = table[codes]
    if len(unseen := np.unique(codes[compared == UNSEEN])):
        table[unseen] = [_alone(chr(code)) for code in unseen]
        compared = table[codes]
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


def _is_kept(codes: Codes) -> npt.NDArray[np.bool_]:
    """`_kept`, decided once for each distinct code point."""
    table = np.zeros(0x110000, dtype=np.bool_)
    distinct = np.flatnonzero(np.bincount(codes, minlength=1)) if len(codes) else np.empty(0, np.int64)
    table[[code for code in distinct.tolist() if code == ord(BREAK) or chr(code).isalnum()]] = True
    return table[codes]
