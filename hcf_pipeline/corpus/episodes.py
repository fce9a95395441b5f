"""The number of an episode in a path: what orders transcripts that have no date. The one place that knows how it is written.

`第12期`, `第十二集`, `ep13`, `Episode 13`, `E05`, `#13`, `No. 13`, `vol.3`; with a season `S02E05`, `Season 2/ep 5`, `第2季/第5集`.
Where no word says so, the number that a name ends with, or begins with: `go-time-9`, `012 A talk`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from hcf_pipeline.corpus.dates import without_ending

_DIGITS = {"零": 0, "〇": 0, "一": 1, "二": 2, "两": 2, "三": 3, "四": 4, "五": 5, "六": 6, "七": 7, "八": 8, "九": 9}
_UNITS = {"十": 10, "百": 100, "千": 1000}
_CHINESE = "".join((*_DIGITS, *_UNITS))
_NUMBER = rf"(?P<number>\d{{1,5}}|[{_CHINESE}]{{1,7}})"
_SEASON = re.compile(
    rf"(?<![a-z])(?:s|season)[ ._-]{{0,2}}(\d{{1,3}})(?!\d)|第([\d{_CHINESE}]{{1,5}})季", re.IGNORECASE
)
_LAYOUTS = tuple(
    re.compile(layout, re.IGNORECASE)
    for layout in (
        rf"第 ?{_NUMBER} ?[期集场場回话話]",
        r"(?:(?<![a-z])|(?<=\d))(?:episode|ep|e)[ ._-]{0,2}(?P<number>\d{1,5})(?!\d)",
        r"#[ ]?(?P<number>\d{1,5})(?!\d)",
        r"(?<![a-z])(?:no|nr|vol|volume|part|issue)[ ._-]{1,2}(?P<number>\d{1,5})(?!\d)",
        r"(?<![a-z])(?:vol|no)(?P<number>\d{1,5})(?!\d)",
        r"(?<!\d)(?P<number>\d{1,5})$",
        r"^(?P<number>\d{1,5})(?!\d)",
    )
)


class Episode(NamedTuple):
    """In the order in which episodes came."""

    season: int  # 0 where none is said
    number: int


def episode_of(path: str) -> Episode | None:
    """The episode that the name of a file says, or its innermost folder that says one; None where none does."""
    path = without_ending(path)
    for part in reversed(path.split("/")):
        found = next((found for layout in _LAYOUTS if (found := layout.search(part))), None)
        if found and (number := _value(found["number"])) is not None:
            season = _SEASON.search(path)
            return Episode((_value(season[1] or season[2]) or 0) if season else 0, number)
    return None


def _value(number: str) -> int | None:
    """Of 12, 十二, 一百零五 or 二〇五."""
    if number.isdecimal():
        return int(number)
    if not any(sign in _UNITS for sign in number):
        return int("".join(str(_DIGITS[sign]) for sign in number))
    total, digit = 0, None
    for sign in number:
        if sign in _DIGITS:
            digit = _DIGITS[sign]
        else:
            total, digit = total + (1 if digit is None else digit) * _UNITS[sign], None
    return total + (digit or 0)
