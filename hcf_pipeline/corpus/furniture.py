"""What stands around a dialogue in Markdown and is no speech: headings, tables, rulers, images, comments, code blocks."""

from __future__ import annotations

import re
from collections import Counter

HEADING, TABLE, RULER, IMAGE, COMMENT, CODE = "heading", "table", "ruler", "image", "comment", "code block"
FURNITURE_SIGNS = frozenset("#|!-*=_<[~>")

_KINDS = (
    (HEADING, re.compile(r"#{1,6}[ \t]+\S")),
    (TABLE, re.compile(r"\|.*\|$")),
    (RULER, re.compile(r"(?:-[ ]?){3,}$|(?:\*[ ]?){3,}$|(?:_[ ]?){3,}$|={3,}$|~{3,}$|>+$")),
    (IMAGE, re.compile(r"!\[[^\]]*\]\([^)]*\)$|!\[\[[^\]]*\]\]$|\[!\[[^\]]*\]\([^)]*\)\]\([^)]*\)$|<img\b[^>]*>$")),
)


def furniture(line: str) -> str | None:
    """What kind of furniture a stripped line is."""
    return next((kind for kind, pattern in _KINDS if pattern.match(line)), None)


def without_blocks(text: str, left_out: Counter[str]) -> str:
    """The text without HTML comments and code blocks, whose lines are counted. What is opened and not closed stays."""
    if "<!--" in text:
        text = _without(text, "<!--", "-->", COMMENT, left_out)
    for fence in ("```", "~~~"):
        if f"\n{fence}" in text or text.startswith(fence):
            text = _without(text, fence, f"\n{fence}", CODE, left_out)
    return text


def _without(text: str, opening: str, closing: str, kind: str, left_out: Counter[str]) -> str:
    kept: list[str] = []
    at = 0
    while True:
        begin = _find(text, opening, at)
        end = text.find(closing, begin + len(opening)) if begin >= 0 else -1
        if end < 0:
            kept.append(text[at:])
            return "".join(kept)
        kept.append(text[at:begin])
        at = end + len(closing)
        left_out[kind] += text.count("\n", begin, at) + 1


def _find(text: str, opening: str, at: int) -> int:
    """A fence stands at the start of a line, a comment anywhere."""
    if opening == "<!--":
        return text.find(opening, at)
    if at == 0 and text.startswith(opening):
        return 0
    found = text.find(f"\n{opening}", at)
    return found + 1 if found >= 0 else -1
