"""Text with the control tokens and role markers of a chat format made ordinary: `<|im_end|>` becomes `<｜im_end|>`.

For whoever gets text alone, as a server behind an API, and for markers that are no tokens. Where token ids are made,
control tokens are split instead, and what people type stays as they typed it.
"""

from __future__ import annotations

import re
from collections.abc import Collection

_FULL_WIDTH = 0xFEE0  # from an ASCII character to its full-width one
_PUNCTUATION = re.compile(r"^([!-/:-@\[-`{-~]*)([!-/:-@\[-`{-~])")


class Defuser:
    """Knows some literal texts, and breaks each of them wherever it stands by one full-width character in its place."""

    def __init__(self, literals: Collection[str]) -> None:
        longest_first = sorted((text for text in literals if len(text) > 1), key=lambda text: (-len(text), text))
        self._pattern = re.compile("|".join(map(re.escape, longest_first)) or "(?!)")

    def __call__(self, text: str) -> str:
        while self._pattern.search(text):  # what is broken may leave another one; each time less of ASCII is left
            text = self._pattern.sub(lambda found: _broken(found[0]), text)
        return text


def _broken(literal: str) -> str:
    """The last of the punctuation that it begins with in full width, else its first ASCII character, else a space in it."""
    if found := _PUNCTUATION.match(literal):
        return found[1] + chr(ord(found[2]) + _FULL_WIDTH) + literal[found.end() :]
    for at, character in enumerate(literal):
        if "!" <= character <= "~":
            return literal[:at] + chr(ord(character) + _FULL_WIDTH) + literal[at + 1 :]
    return literal[:1] + " " + literal[1:]
