"""Which scripts put spaces between words."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

# Korean has spaces, between phrases whose endings change: it is compared by its characters, as those without are.
WITHOUT_SPACES = (
    "CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO", "YI", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN", "JAVANESE",
    "BALINESE", "TAI", "NEW TAI", "IDEOGRAPHIC", "TANGUT", "NUSHU", "HALFWIDTH KATAKANA", "HALFWIDTH HANGUL",
)  # fmt: skip


@lru_cache(maxsize=65536)
def is_spaced(c: str) -> bool:
    """Whether a letter or mark is of a script whose words stand apart."""
    return not unicodedata.name(c, "").startswith(WITHOUT_SPACES)
