"""Times beside speakers: 12:34, 1:02:03, 00:00:01,500, and those of chats with a day before them."""

from __future__ import annotations

import datetime
import re
from functools import lru_cache

from hcf_pipeline.corpus.dates import DateOrder, date_of_stamp

CLOCK = r"(?:\d{1,3}[:：])?\d{1,3}[:：]\d{2}(?:[.,]\d{1,3})?"
_DAY = r"(?:\d{4}[-/.年]\d{1,2}[-/.月]\d{1,2}日?|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}|\d{1,2}月\d{1,2}日)"
_HALF = r"(?:凌晨|早上|上午|中午|下午|晚上)"
STAMP = rf"(?:{_DAY}[,，]?[ T\u202f\u00a0]*)?{_HALF}?[ ]?{CLOCK}(?:[ \u202f\u00a0]?[AaPp]\.?[Mm]\.?)?"

IS_CLOCK = re.compile(rf"[\[(（【<]?{CLOCK}[\])）】>]?")
IS_STAMP = re.compile(rf"[\[(（【<]?\s*{STAMP}\s*[\])）】>]?")
_PARTS = re.compile(rf"(?P<day>{_DAY})?.*?(?P<half>{_HALF})?[ ]?(?P<clock>{CLOCK})\D*?(?P<ampm>[AaPp]\.?[Mm])?\.?\s*$")


DAY_S = 86_400
STAMP_BEGINS = frozenset("0123456789[(（【<")


def is_stamp(text: str) -> bool:
    """Whether all of a text is a time, in brackets or with a colon behind it as it may be."""
    return text[0] in STAMP_BEGINS and IS_STAMP.fullmatch(text.rstrip(":：")) is not None


def bare_stamp(stamp: str) -> str:
    """Without the brackets round it, and the colon behind it."""
    return stamp.strip("[]()（）【】<>:： ")


def seconds(clock: str) -> float:
    """Of h:mm:ss, m:ss or m:ss.mmm."""
    total = 0.0
    for part in re.split("[:：]", clock.replace(",", ".")):
        total = total * 60 + float(part)
    return total


class Clock:
    """The seconds of the stamps of one file, in order. Stamps with a day are times of day: they count from the first."""

    def __init__(self, order: DateOrder = "day") -> None:
        self._order: DateOrder = order
        self._first: float | None = None
        self._dated: list[float] = []  # the earliest and the latest of the stamps with a day, seconds of the calendar

    @property
    def day(self) -> datetime.date | None:
        """The first day of the stamps, where all with a day lie within 24 hours: one day, or an evening past midnight."""
        if not self._dated or self._dated[-1] - self._dated[0] >= DAY_S:
            return None
        return datetime.date.fromordinal(int(self._dated[0] // DAY_S))

    def seconds(self, stamp: str) -> float:
        if stamp.isascii() and len(stamp) <= 8 and stamp[-1].isdigit():  # nine of ten
            return seconds(stamp)
        found = _PARTS.search(stamp)
        assert found is not None
        value = seconds(found["clock"])
        if not (found["day"] or found["half"] or found["ampm"]):
            return value
        if found["clock"].count(":") == 1:  # of a time of day: hours and minutes
            value *= 60
        half, ampm = found["half"], (found["ampm"] or "").lower()
        hour = value // 3600
        if (half in ("下午", "晚上") or ampm.startswith("p")) and hour < 12:
            value += 12 * 3600
        elif (half == "凌晨" or ampm.startswith("a")) and hour == 12:
            value -= 12 * 3600
        if found["day"] and (day := _day_number(found["day"], self._order)):
            value += DAY_S * day
            self._dated = [min([value, *self._dated]), max([value, *self._dated])]
        if self._first is None:
            self._first = value
        return max(0.0, value - self._first)


@lru_cache(maxsize=1024)
def _day_number(day: str, order: DateOrder) -> int:
    """Grows from day to day; two days of one file are that far apart. 0 where the year is not said."""
    found = date_of_stamp(day, order)
    return found.toordinal() if found else 0
