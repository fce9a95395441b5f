"""Which scripts put spaces between words, and which Chinese characters are one in two forms."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from functools import cache, lru_cache

# Korean has spaces, between phrases whose endings change: it is compared by its characters, as those without are.
WITHOUT_SPACES = (
    "CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO", "YI", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN", "JAVANESE",
    "BALINESE", "TAI", "NEW TAI", "IDEOGRAPHIC", "TANGUT", "NUSHU", "HALFWIDTH KATAKANA", "HALFWIDTH HANGUL",
)  # fmt: skip


@lru_cache(maxsize=65536)
def is_spaced(c: str) -> bool:
    """Whether a letter or mark is of a script whose words stand apart."""
    return not unicodedata.name(c, "").startswith(WITHOUT_SPACES)


@cache
def simplified() -> Mapping[int, str]:
    """The simplified form of each traditional character, for str.translate: that which OpenCC has for it alone, or in words.

    Character by character: what is compared has to become the same, not to read well (著 of 著名 becomes 着).
    """
    import opencc

    characters = [chr(code) for block in _IDEOGRAPHS for code in range(*block)]
    forms = opencc.OpenCC("t2s").convert("\n".join(characters)).split("\n")
    alone = {ord(one): form for one, form in zip(characters, forms, strict=True) if one != form and len(form) == 1}
    return alone | {ord(one): form for one, form in zip(*_IN_WORDS, strict=True)}


_IN_WORDS = ("瞭藉甦揹暱衹祇妳牠枱伕著覆", "了借苏背昵只只你它台夫着复")  # 瞭解: alone OpenCC leaves these as they are
_IDEOGRAPHS = ((0x3400, 0x4DC0), (0x4E00, 0xA000), (0xF900, 0xFB00))
