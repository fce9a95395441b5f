"""The terms of a text, in any script: no segmenter, nothing learnt.

Scripts that put no space between words (Chinese, Japanese, Thai; Korean, whose words are phrases) are compared by their
characters and the pairs of neighbouring ones. All others by words: lower case, digits apart from letters (iPhone15 and
iphone 15 meet), a number with its decimals, an English plural as its singular. Both stand in one index, side by side in
one text, and a word makes pairs with the characters beside it (15万), and with a number that stands beside it: A380, Model 3
and 13.2 are names of which no part tells anything. Traditional characters are compared as simplified ones.

A term is an int64 of at most 43 bits: the code point of a character, two of 21 bits each, a word's hash behind WORD, or that
of a pair with a word behind WORD_PAIR. Two of a million words share a hash in one corpus of five.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hcf_pipeline.corpus.scripts import is_spaced, simplified
from hcf_pipeline.corpus.sentences import SPACED_CHARS
from hcf_pipeline.rag.arrays import Ints, Mask

SHIFT = np.int64(21)
WORD, WORD_PAIR = np.int64(1 << 42), np.int64((1 << 42) + (1 << 41))
HASH_BITS = 41
BREAK = "\n"
DROPPED, TOGETHER, UNSEEN = 0, -1, -2  # what becomes of a character, other than a code point
COMPOSING = frozenset(map(chr, range(0x1100, 0x1200)))  # Hangul letters, which join into syllables
SIGMAS = frozenset("σς")  # which of the two a capital becomes, its neighbours tell

# What a code point is to a term. What is none of it stands between words, and is nothing between characters.
NOTHING, LINE, CHARACTER, LETTER, DIGIT, INSIDE_WORD, INSIDE_NUMBER, SILENT = range(8)
_APOSTROPHES, _POINT, _COMMA = "'’ʼ", ".", ","
_SILENT = "\u00ad\u0640\u200b\u200c\u200d\u2060\ufeff"  # soft hyphen, tatweel, zero-width characters: written or not
_MULTIPLIER, _MIX = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93)

_LETTERS = re.compile(rf"[^\W\d_]+(?:[{_APOSTROPHES}][^\W\d_]+)*")
_BETWEEN_WORDS = re.compile(rf"[^\w \-{_APOSTROPHES}]|[\d_\u2e80-\u9fff\uac00-\ud7af]")  # what no compound goes across

Codes = npt.NDArray[np.int32]
Kinds = npt.NDArray[np.int8]
_WIDTHS = np.array([0, 0, SPACED_CHARS, 1, 1, 0, 0, 0], dtype=np.int64)  # of each kind, in thirds of a character


class Units(NamedTuple):
    """The characters and words of some texts, one after the other."""

    terms: Ints
    owners: Ints  # position of the text that each stands in
    places: Ints  # from the start of its text, in characters; three letters of a word count as one
    is_joined: Mask  # whether the next one stands in the same line
    is_number: Mask


def normalise(text: str) -> str:
    """What is compared: NFKC, lower case, simplified characters, without white space and punctuation; line breaks stay."""
    return "".join(_kept(_folded(text)))


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).lower().translate(simplified())


def _kept(text: str) -> Iterator[str]:
    return (c for c in text if c == BREAK or c.isalnum())


def is_pair(terms: Ints) -> Mask:
    """Which terms are pairs."""
    pairs: Mask = ((terms >> SHIFT > 0) & (terms < WORD)) | (terms >= WORD_PAIR)
    return pairs


def is_word(terms: Ints) -> Mask:
    """Which terms are words."""
    words: Mask = (terms >= WORD) & (terms < WORD_PAIR)
    return words


def terms_of(text: str) -> Ints:
    """The distinct terms of a text, sorted."""
    return np.unique(terms_in(units_of([text]))[0])


def compounds_of(text: str) -> Ints:
    """The distinct terms that neighbouring words would make if they were written as one (macbook pro), sorted."""
    found = [_LETTERS.findall(part) for part in _BETWEEN_WORDS.split(text)]
    return terms_of("\n".join([one + other for words in found for one, other in pairwise(words)]))


def pairs_of(text: str) -> Ints:
    """The distinct pairs of a text, of characters and of words, sorted."""
    return np.unique(_pairs_in(units := units_of([text]), units.is_joined)[0])


def terms_in(units: Units) -> tuple[Ints, Ints]:
    """(terms, the unit where each begins): every unit, then every pair of neighbours, repetitions included.

    No pairs of two words of letters: beside the words themselves they make nothing be found better (docs/retrieval.md).
    """
    pairs, first = _pairs_in(units, _makes_pair(units))
    return np.concatenate([units.terms, pairs]), np.concatenate([np.arange(len(units.terms)), first])


def _makes_pair(units: Units) -> Mask:
    """Which units are a term with the one after: where either is a character, or one a word and the other a number."""
    makes = units.is_joined.copy()
    is_char = units.terms < WORD
    makes[:-1] &= is_char[:-1] | is_char[1:] | (units.is_number[:-1] != units.is_number[1:])
    return makes


def _pairs_in(units: Units, wanted: Mask) -> tuple[Ints, Ints]:
    """(pairs, the unit where each begins) of the units that are `wanted` with the one after."""
    first = np.flatnonzero(wanted)
    left, right = units.terms[first], units.terms[first + 1]
    with_word = WORD_PAIR | _hashed(left.astype(np.uint64) * _MULTIPLIER + right.astype(np.uint64))
    return np.where((left < WORD) & (right < WORD), (left << SHIFT) | right, with_word), first


def occurrences(texts: Sequence[str], terms: Ints) -> tuple[Ints, Ints, Ints]:
    """(texts, places, terms) of every place where one of some sorted terms stands, the terms as positions.

    A place is as in Units; a pair stands where it begins. Asked for each question of scores of texts, so only what may be one
    of the terms is made: the characters that they are made of, the pairs of these, and words where a word is asked for.
    """
    words_asked = bool(len(terms)) and bool(terms[-1] >= WORD)
    units = units_of(texts, hashed=words_asked)
    is_char = units.terms < WORD
    of_characters = terms[terms < WORD]
    parts = np.zeros(int(units.terms[is_char].max(initial=0)) + 1, dtype=np.bool_)
    wanted = np.concatenate([of_characters >> SHIFT, of_characters & ((1 << SHIFT) - 1)])
    parts[wanted[wanted < len(parts)]] = True
    may_be = is_char & parts[np.where(is_char, units.terms, 0)]
    first = np.flatnonzero(may_be[:-1] & may_be[1:] & units.is_joined[:-1])
    at = [np.flatnonzero(may_be), first]
    found = [units.terms[at[0]], (units.terms[first] << SHIFT) | units.terms[first + 1]]
    if words_asked:
        word = np.flatnonzero(~is_char)
        with_word = _makes_pair(units)
        with_word[:-1] &= ~(is_char[:-1] & is_char[1:])
        mixed, begins = _pairs_in(units, with_word)
        at += [word, begins]
        found += [units.terms[word], mixed]
    which, kept = members(np.concatenate(found), terms)
    here = np.concatenate(at)[kept]
    return units.owners[here], units.places[here], which


def sampled_pairs(texts: Sequence[str], one_in: int) -> tuple[Ints, Ints]:
    """(texts, pairs) of every `one_in`th pair of neighbours that there is, repetitions included."""
    units = units_of(texts)
    pairs, at = _pairs_in(units, units.is_joined)
    mixed = (pairs >> SHIFT) * 31 + (pairs & ((1 << SHIFT) - 1)) * 7
    kept = np.flatnonzero(mixed % one_in == 0)
    return units.owners[at[kept]], pairs[kept]


def members(found: Ints, terms: Ints) -> tuple[Ints, Ints]:
    """(positions among the sorted `terms`, positions in `found`) of what is one of the terms."""
    if not len(terms):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    which = np.minimum(np.searchsorted(terms, found), len(terms) - 1)
    kept = np.flatnonzero(terms[which] == found)
    return which[kept], kept


def units_of(texts: Sequence[str], *, hashed: bool = True) -> Units:
    """Without `hashed` every word is WORD: enough to know what stands between characters."""
    codes = _compared(_code_points(texts))
    if codes is None:
        texts = [_folded(text) for text in texts]
        codes = _code_points(texts)
    kinds = _kinds(codes)
    owners = np.repeat(np.arange(len(texts), dtype=np.int64), [len(text) for text in texts])
    codes, kinds, owners = _without_signs_in_words(codes, kinds, owners)
    in_word = (kinds == LETTER) | (kinds == DIGIT)
    goes_on = np.zeros(len(codes), dtype=np.bool_)  # whether a letter or digit belongs to the word of the one before
    goes_on[1:] = in_word[1:] & (kinds[1:] == kinds[:-1]) & (owners[1:] == owners[:-1])
    begins = np.flatnonzero((in_word & ~goes_on) | (kinds == CHARACTER))
    terms = codes[begins].astype(np.int64)
    is_word = in_word[begins]
    if is_word.any():
        words = _hashes_of_words(codes, np.flatnonzero(in_word), begins[is_word]) if hashed else 0
        terms[is_word] = WORD | words
    widths = _WIDTHS[kinds]
    until = np.cumsum(widths)  # thirds of a character, over all texts
    starts = np.searchsorted(owners, np.arange(len(texts)))
    before = np.append(until - widths, until[-1:])[starts] if len(codes) else np.zeros(len(texts), np.int64)
    owner = owners[begins]
    places = (until[begins] - widths[begins] - before[owner]) // SPACED_CHARS
    lines = np.cumsum(kinds == LINE)[begins]
    joined = np.zeros(len(begins), dtype=np.bool_)
    joined[:-1] = (owner[1:] == owner[:-1]) & (lines[1:] == lines[:-1])
    return Units(terms, owner, places, joined, kinds[begins] == DIGIT)


def _without_signs_in_words(codes: Codes, kinds: Kinds, owners: Ints) -> tuple[Codes, Kinds, Ints]:
    """Without apostrophes inside words, commas inside numbers (1,000) and vowel points; the point of a decimal number becomes
    a digit of it."""
    signs = np.flatnonzero(kinds >= INSIDE_WORD)

    def beside(signs: Ints, step: int) -> Kinds:
        """What stands so many places on in the same text."""
        places = np.clip(signs + step, 0, len(kinds) - 1)
        found: Kinds = np.where((places == signs + step) & (owners[places] == owners[signs]), kinds[places], NOTHING)
        return found

    before = beside(signs, -1)
    silent = signs[kinds[signs] == SILENT]
    in_words = signs[(kinds[signs] == INSIDE_WORD) & (before == LETTER)]
    in_words = in_words[beside(in_words, 1) == LETTER]
    in_numbers = signs[(kinds[signs] == INSIDE_NUMBER) & (before == DIGIT)]
    in_numbers = in_numbers[beside(in_numbers, 1) == DIGIT]
    commas, points = (in_numbers[codes[in_numbers] == ord(sign)] for sign in (_COMMA, _POINT))
    thousands = (beside(commas, 2) == DIGIT) & (beside(commas, 3) == DIGIT) & (beside(commas, 4) != DIGIT)
    kinds[_decimal(points, kinds)] = DIGIT
    gone = np.concatenate([silent, in_words, commas[thousands]])
    if not len(gone):
        return codes, kinds, owners
    kept = np.ones(len(codes), dtype=np.bool_)
    kept[gone] = False
    return codes[kept], kinds[kept], owners[kept]


def _decimal(points: Ints, kinds: Kinds) -> Ints:
    """Which points between digits are those of a decimal number: of several in a row every other one, so that what 13.2.8 is
    told of, is told of 13.2."""
    if len(points) < 2:
        return points
    n_others = np.cumsum(kinds != DIGIT)  # the point itself included
    goes_on = np.append(False, n_others[points[1:]] - n_others[points[:-1]] == 1)
    begins = np.maximum.accumulate(np.where(goes_on, 0, np.arange(len(points))))
    decimal: Ints = points[(np.arange(len(points)) - begins) % 2 == 0]
    return decimal


def _hashes_of_words(codes: Codes, letters: Ints, begins: Ints) -> Ints:
    """A number of HASH_BITS bits for each word; `letters` are all letters and digits, `begins` those that begin a word."""
    starts = np.searchsorted(letters, begins)
    sizes = np.diff(np.append(starts, len(letters)))
    powers = _powers(int(sizes.max()))
    places = np.arange(len(letters)) - np.repeat(starts, sizes)
    values = codes[letters].astype(np.uint64)
    sums = np.add.reduceat(values * powers[places], starts)
    last = values[starts + sizes - 1]
    second, third = values[starts + np.maximum(sizes - 2, 0)], values[starts + np.maximum(sizes - 3, 0)]
    plural = (sizes > 3) & (last == ord("s")) & (second != ord("s")) & (second != ord("u"))
    on_y = plural & (sizes > 4) & (second == ord("e")) & (third == ord("i"))
    end = sizes - 1
    sums -= np.where(plural, last * powers[end], 0)
    gone = powers[np.maximum(end - 1, 0)] * second + powers[np.maximum(end - 2, 0)] * (third - np.uint64(ord("y")))
    sums -= np.where(on_y, gone, 0)
    return _hashed(sums)


def _hashed(sums: npt.NDArray[np.uint64]) -> Ints:
    mixed = (sums ^ (sums >> np.uint64(32))) * _MIX
    return (mixed >> np.uint64(64 - HASH_BITS)).astype(np.int64)


@lru_cache(maxsize=16)
def _powers_up_to(n: int) -> npt.NDArray[np.uint64]:
    powers: npt.NDArray[np.uint64] = np.cumprod(np.full(n, _MULTIPLIER, dtype=np.uint64), dtype=np.uint64)
    return powers


def _powers(n: int) -> npt.NDArray[np.uint64]:
    """At least n powers of the multiplier."""
    return _powers_up_to(1 << max(6, n.bit_length()))


def _code_points(texts: Sequence[str]) -> Codes:
    return np.frombuffer("".join(texts).encode("utf-32-le"), dtype=np.int32)


def _compared(codes: Codes) -> Codes | None:
    """Character by character what NFKC and lower case make of a text; None where it takes the whole text to tell: NFKC is
    slow wherever there is full-width punctuation, which is in every line.
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
    folded = _folded(c)
    if folded in (_POINT, _COMMA, *_APOSTROPHES):
        return ord(folded)
    compared = normalise(c)
    if len(compared) > 1 or compared in SIGMAS:
        return TOGETHER
    return ord(compared) if compared else DROPPED


def _kinds(codes: Codes) -> Kinds:
    """What each code point is, decided once for each distinct one."""
    table = _kind_table()
    kinds: Kinds = table[codes]
    if len(unseen := np.unique(codes[kinds < 0])):
        table[unseen] = [_kind(chr(code)) for code in unseen]
        kinds = table[codes]
    return kinds


@cache
def _kind_table() -> Kinds:
    return np.full(0x110000, -1, dtype=np.int8)


def _kind(c: str) -> int:
    if c == BREAK:
        return LINE
    if c in _APOSTROPHES:
        return INSIDE_WORD
    if c in (_POINT, _COMMA):
        return INSIDE_NUMBER
    if c.isalnum():
        return DIGIT if c.isdecimal() else LETTER if is_spaced(c) else CHARACTER
    if c in _SILENT or (unicodedata.category(c) == "Mn" and unicodedata.name(c, "").startswith(("ARABIC", "HEBREW"))):
        return SILENT
    # the vowel signs of Indian scripts belong to their words; those of scripts without spaces never counted
    return LETTER if unicodedata.category(c)[0] == "M" and is_spaced(c) else NOTHING
