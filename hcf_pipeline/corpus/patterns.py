"""The regular expressions of the settings: each means in a list what it means alone.

Joining them into one expression would change them: `(?i)` stands at the start or nowhere, groups are numbered and named
over the whole, and `^a|b` is more than two alternatives to whoever looks at its first character. So only expressions
without groups and global flags are joined, which is what most are, and a line is matched once for all of these.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

Matcher = Callable[[str], object]  # true where something is found

_GLOBAL_FLAGS = re.compile(r"\(\?[A-Za-z]+\)")
_ESCAPED = re.compile(r"\\.", re.DOTALL)
_CLASS = re.compile(r"\[\^?\]?[^\]]*\]")
_INNERMOST = re.compile(r"\([^()]*\)")
_OPEN = re.compile(r"[|()\[\]]")


def found_by(patterns: Sequence[str]) -> Matcher:
    """Whether any of some valid expressions is found in a line (a text without a line feed)."""
    anchored: list[str] = []
    joined: list[str] = []
    alone: list[Matcher] = []
    for pattern in dict.fromkeys(patterns):
        compiled = re.compile(pattern)
        if compiled.groups or compiled.flags != re.UNICODE or _GLOBAL_FLAGS.match(pattern):
            alone.append(compiled.search)
        elif _begins_the_line(pattern):
            anchored.append(pattern)
        else:
            joined.append(pattern)
    # `match` where it can: a search would walk through each whole line
    matchers: list[Matcher] = [*([re.compile(_any_of(anchored)).match] if anchored else ()), *alone]
    if joined:
        matchers.append(re.compile(_any_of(joined)).search)
    if len(matchers) == 1:
        return matchers[0]
    return lambda line: any(matches(line) for matches in matchers)


def _any_of(patterns: Sequence[str]) -> str:
    return "|".join(f"(?:{pattern})" for pattern in patterns)


def _begins_the_line(pattern: str) -> bool:
    """Whether it can be found at the start only: it begins with ^, and all else is a part of that alternative.

    Where that is hard to see the answer is no, and the expression is searched for.
    """
    if not pattern.startswith("^") or "(?#" in pattern:
        return False
    rest = _CLASS.sub("", _ESCAPED.sub("x", pattern))
    while (shorter := _INNERMOST.sub("", rest)) != rest:
        rest = shorter
    return not _OPEN.search(rest)
