"""Days as people write them, in paths, front matter and headings: the one place that knows the layouts.

`20240305`, `2024-03-05`, `2024.3.5`, `2024年3月5日`, `24.3.5`, `05.03.2024`, `5-Mar-2024`, `March 5, 2024`; a path counts
with its folders, `2024/3月/6日.md`. A layout that names the year first wins over one that leaves more to guess.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Literal

DateOrder = Literal["day", "month"]  # what comes first in 05.03.2024

_BETWEEN = r"[-._/\\年月日 ]{1,2}"
_YEAR = r"(?P<year>(?:19|20)\d{2})"
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_NAMED = rf"(?P<name>{'|'.join(_MONTHS)})[a-z]*"
_LAYOUTS = tuple(
    re.compile(layout, re.IGNORECASE)
    for layout in (
        rf"(?<!\d){_YEAR}{_BETWEEN}(?P<month>\d{{1,2}}){_BETWEEN}(?P<day>\d{{1,2}})(?!\d)",
        rf"(?<!\d){_YEAR}(?P<month>\d{{2}})(?P<day>\d{{2}})(?!\d)",
        rf"(?<!\d)(?P<day>\d{{1,2}})(?:st|nd|rd|th)?[-._ ]{{0,2}}{_NAMED}[-._, ]{{0,2}}{_YEAR}(?!\d)",
        rf"(?<![a-z]){_NAMED}[-._ ]{{0,2}}(?P<day>\d{{1,2}})(?:st|nd|rd|th)?[-._, ]{{1,2}}{_YEAR}(?!\d)",
        rf"(?<!\d){_YEAR}[-._/ ]{_NAMED}[-._/ ](?P<day>\d{{1,2}})(?!\d)",
        rf"(?<!\d)(?P<first>\d{{1,2}})(?P<sign>[-._/])(?P<second>\d{{1,2}})(?P=sign){_YEAR}(?!\d)",
        r"(?<![\d.])(?P<year>\d{2})(?P<sign>[-._年])(?P<month>\d{1,2})(?:(?P=sign)|月)(?P<day>\d{1,2})(?![\d.]\d)(?!\d)",
    )
)
_ENDING = re.compile(r"\.[A-Za-z]\w{0,4}$")
_SHORT_STAMP = re.compile(r"(\d{1,2})([-./])(\d{1,2})\2(\d{2})")
_YEAR_LAST_STAMP = re.compile(r"^[\[(（]?(\d{1,2})[-./](\d{1,2})[-./](?:20)?\d{2},? ", re.MULTILINE)
CHATS = 2009  # before that year nobody exported a chat of today's apps
_MAY_BE = re.compile(r"\d")


def date_in(text: str, order: DateOrder = "day") -> datetime.date | None:
    """The first day that a text names; None where it names none, or one that no calendar has."""
    if not _MAY_BE.search(text):
        return None
    return next(_days(text, order), None)


def without_ending(path: str) -> str:
    return _ENDING.sub("", path)


def date_of_path(path: str, order: DateOrder = "day") -> datetime.date | None:
    """The day in the name of a file, else in its folders and its name."""
    path = without_ending(path)
    folders, _, name = path.rpartition("/")
    return date_in(name, order) or (date_in(path, order) if folders else None)


def date_of_stamp(day: str, order: DateOrder = "day") -> datetime.date | None:
    """The day beside a time in a chat: as elsewhere, and with the two last digits of the year behind day and month (5/3/24).

    Of two readings the one counts whose year is CHATS or later, and before that the one with the year behind.
    """
    found = _SHORT_STAMP.fullmatch(day.strip())
    if found is None:
        return date_in(day.rstrip("日"), order)
    a, b, c = (int(number) for number in found.group(1, 3, 4))
    by_order = [(c, b, a), (c, a, b)] if order == "day" else [(c, a, b), (c, b, a)]
    for year, month, the_day in [*by_order, (a, b, c)]:
        with suppress(ValueError):
            if 2000 + year >= CHATS:
                return datetime.date(2000 + year, month, the_day)
    return None


def year_last(text: str) -> tuple[int, int] | None:
    """The two numbers before the year in 05.03.2024: which is the day, other files may tell."""
    found = _LAYOUTS[-2].search(text)
    return (int(found["first"]), int(found["second"])) if found else None


def years_last_in_stamps(text: str) -> set[tuple[int, int]]:
    """The same of the days that begin the lines of a chat: [05/03/2024, 09:00:07]."""
    return {(int(a), int(b)) for a, b in _YEAR_LAST_STAMP.findall(text)}


def _days(text: str, order: DateOrder) -> Iterator[datetime.date]:
    for layout in _LAYOUTS:
        for found in layout.finditer(text):
            parts = found.groupdict()
            year = int(parts["year"]) + (2000 if len(parts["year"]) == 2 else 0)
            if parts.get("first"):
                pair = int(parts["first"]), int(parts["second"])
                tries = [pair, pair[::-1]] if order == "day" else [pair[::-1], pair]
            elif parts.get("name"):
                tries = [(int(parts["day"]), _MONTHS.index(parts["name"].lower()) + 1)]
            else:
                tries = [(int(parts["day"]), int(parts["month"]))]
            for day, month in tries:
                try:
                    yield datetime.date(year, month, day)
                    break
                except ValueError:
                    continue
