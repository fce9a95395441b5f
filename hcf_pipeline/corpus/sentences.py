"""Where sentences and words end, in scripts with and without spaces, and how much speech a character is.

A full stop ends a sentence where white space or the end follows it, unless it stands behind an initial, or behind an abbreviation
after which no capital follows: not in 3.5, in example.org, after Mr. or J., in "e.g. this".
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from hcf_pipeline.corpus.scripts import is_spaced
from hcf_pipeline.errors import Lang

MARKS = "。！？!?…\n"
CLAUSE_MARKS = "，,；;、：:"
CLOSING = "」』”）\"'’)]"
SPACED_CHARS = 3  # letters of a script with spaces say as much as one character of a script without
LOOKED_AT = 2000  # characters, to tell which script a transcript is in

_ENDS = re.compile(rf"[。！？!?…]+[{re.escape(CLOSING)}]*|\n+|\.+[{re.escape(CLOSING)}]*(?=\s|$)")
_ENDS_OR_SEMICOLONS = re.compile(rf"{_ENDS.pattern}|[；;]+")
_INITIALS = re.compile(r"(?:[a-z]\.)+[a-z]")  # a.m, u.s
_TOKEN = re.compile(r"(?:[^\W\d_\u2e80-\u9fff\uac00-\ud7af]|\.)*$")
_ABBREVIATIONS = frozenset({
    "mr", "mrs", "ms", "dr", "prof", "sr", "jr", "st", "vs", "etc", "e.g", "i.e", "cf", "approx", "no", "vol", "fig", "inc", "ltd",
    "co", "corp", "dept", "est", "gen", "col", "lt", "sgt", "rev", "hon", "gov", "sen", "rep", "jan", "feb", "mar", "apr", "jun",
    "jul", "aug", "sep", "sept", "oct", "nov", "dec", "bzw", "z.b", "d.h", "u.a", "ca", "nr", "bsp", "m", "mme", "mlle", "p.ex",
    "ej", "sra", "dra",
})  # fmt: skip
_NEVER_LAST = frozenset({
    "mr", "mrs", "ms", "dr", "prof", "st", "vs", "e.g", "i.e", "cf", "z.b", "d.h", "bzw", "mme", "mlle",
})  # fmt: skip


def sentence_ends(text: str, end: int | None = None, *, semicolons: bool = False) -> list[int]:
    """The positions behind the sentences of `text[:end]`, marks and closing quotes included, in order.

    With `semicolons` also behind these.
    """
    pattern = _ENDS_OR_SEMICOLONS if semicolons else _ENDS
    stop = len(text) if end is None else end
    return [
        found.end()
        for found in pattern.finditer(text)
        if found.end() <= stop and (text[found.start()] != "." or _ends(text, found))
    ]


def sentences(text: str, *, semicolons: bool = False) -> list[str]:
    """The text cut at its sentence ends; joined again it is the same text."""
    ends = sentence_ends(text, semicolons=semicolons)
    if not ends or ends[-1] < len(text):
        ends.append(len(text))
    return [text[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]


def _ends(text: str, found: re.Match[str]) -> bool:
    """Whether a full stop with white space or nothing behind it ends a sentence."""
    if found.end() - found.start() > 1 and text[found.start() + 1] == ".":  # an ellipsis
        return not _goes_on(text, found.end())
    token = _TOKEN.search(text, max(0, found.start() - 12), found.start())
    word = token[0].lower() if token else ""
    if word in _NEVER_LAST or (len(word) == 1 and word.isalpha() and word != "i"):
        return not text[found.end() :].strip()
    return not (word in _ABBREVIATIONS or _INITIALS.fullmatch(word)) or not _goes_on(text, found.end())


def _goes_on(text: str, at: int) -> bool:
    """Whether a sentence may go on: what follows is no capital letter."""
    rest = text[at : at + 8].lstrip()
    return bool(rest) and not rest[0].isupper()


def last_full_stop(text: str, start: int, end: int) -> int:
    """The position behind the last full stop of `text[start:end]` that ends a sentence; 0 where there is none."""
    at = text.rfind(".", start, end)
    while at >= start:
        if stop := _full_stop(text, at, end):
            return stop
        at = text.rfind(".", start, at)
    return 0


def first_full_stop(text: str, start: int, end: int) -> int:
    """The position behind the first full stop of `text[start:end]` that ends a sentence; 0 where there is none."""
    at = text.find(".", start, end)
    while at >= 0:
        if stop := _full_stop(text, at, end):
            return stop
        at = text.find(".", at + 1, end)
    return 0


def _full_stop(text: str, at: int, end: int) -> int:
    """The position behind the full stop at a place, where it ends a sentence of `text[:end]`; else 0."""
    found = _ENDS.match(text, at)
    return found.end() if found and found.end() <= end and _ends(text, found) else 0


def whole_words(text: str, start: int, end: int) -> int:
    """`end`, or where it would cut a word of `text[start:]`, the place before that word; `end` where the word is all there is."""
    if end >= len(text) or not (_in_word(text[end - 1]) and _in_word(text[end])):
        return end
    at = end
    while at > start and _in_word(text[at - 1]):
        at -= 1
    return at if at > start else end


def _in_word(c: str) -> bool:
    return (c.isalnum() and is_spaced(c)) or c in "'’.-_/@"


def chars_of(texts: Iterable[str]) -> int:
    """How many characters say as much as one of a script without spaces, judged by the first letters of some texts."""
    counts: Counter[str] = Counter()
    left = LOOKED_AT
    for text in texts:
        counts.update(text[:left])
        if (left := left - len(text)) <= 0:
            break
    n_spaced = sum(n if is_spaced(c) else -SPACED_CHARS * n for c, n in counts.items() if c.isalpha())
    return SPACED_CHARS if n_spaced > 0 else 1


def lang_of(texts: Iterable[str]) -> Lang:
    """Which of our two languages is nearer to some texts, judged as `chars_of` does."""
    return "en" if chars_of(texts) == SPACED_CHARS else "zh"
