"""Times beside speakers: 12:34, 1:02:03, 00:00:01,500, and those of chats with a day before them."""

from __future__ import annotations

import datetime
import re
from functools import lru_cache

from hcf_pipeline.corpus.dates import DateOrder, date_of_stamp

CLOCK = r"(?:\d{1,3}[:：])?\d{1,3}[:：]\d{2}(?:[.,]\d{1,3})?"
_DAY = r"(?:\d{4}[-/.年]\d{1,2}[-/.月]\d{1,2}日?|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}|\d{1,2}月\d{1,2}日)"
HALF = r"(?:凌晨|早上|上午|中午|下午|晚上)"
HALF_BEGINS = "凌早上中下晚"
AM_PM = r"[AaPp]\.?[Mm](?![A-Za-z])"  # and not the name Amy
# Each part is looked at only where its first signs are there: most stamps are a clock and no more
STAMP = (
    rf"(?:(?=\d{{1,4}}[-/.年月]){_DAY}[,，]?[ T\u202f\u00a0]*)?(?:(?=[{HALF_BEGINS}]){HALF})?[ ]?{CLOCK}"
    rf"(?:[ \u202f\u00a0]?{AM_PM}\.?)?"
)

IS_CLOCK = re.compile(rf"[\[(（【<]?{CLOCK}[\])）】>]?")
IS_STAMP = re.compile(rf"[\[(（【<]?\s*{STAMP}\s*[\])）】>]?")
_CLOCK_IN = re.compile(rf"(?P<before>(?:{_DAY})?.*?){CLOCK}(?P<behind>\D*)$")
_PARTS = re.compile(rf"(?P<day>{_DAY})?.*?(?P<half>{HALF})?[ ]?{CLOCK}\D*?(?P<ampm>{AM_PM})?\.?\s*$")


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
    if len(clock) >= 8 and clock[2] == clock[5] == ":":  # nine of ten: 00:12:34, and with milliseconds
        return int(clock[:2]) * 3600 + int(clock[3:5]) * 60 + float(clock[6:].replace(",", "."))
    total = 0.0
    for part in clock.replace("：", ":").replace(",", ".").split(":"):
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
        if len(stamp) <= 8 and stamp.isascii() and stamp[-1].isdigit():  # nine of ten
            return seconds(stamp)
        before, behind, clock = stamp[:-8], "", stamp[-8:]
        if not (before.endswith(" ") and clock[2] == clock[5] == ":"):
            found = _CLOCK_IN.match(stamp)
            assert found is not None
            before, behind = found.groups()
            clock = stamp[len(before) : len(stamp) - len(behind)]
        value = seconds(clock)
        day, half, ampm = _round_clock(before, behind, self._order)
        if day is None and not half and not ampm:
            return value
        if clock.count(":") == 1:  # of a time of day: hours and minutes
            value *= 60
        hour = value // 3600
        if (half in ("下午", "晚上") or ampm == "p") and hour < 12:
            value += 12 * 3600
        elif (half == "凌晨" or ampm == "a") and hour == 12:
            value -= 12 * 3600
        if day:
            value += DAY_S * day
            self._dated = [min([value, *self._dated]), max([value, *self._dated])]
        if self._first is None:
            self._first = value
        return max(0.0, value - self._first)


@lru_cache(maxsize=1024)
def _round_clock(before: str, behind: str, order: DateOrder) -> tuple[int | None, str, str]:
    """The number of the day, the half of it, and "a" or "p", of what stands round a clock. Remembered, for days recur."""
    found = _PARTS.search(f"{before}0:00{behind}")
    assert found is not None
    day = _day_number(found["day"], order) if found["day"] else None
    return day, found["half"] or "", (found["ampm"] or "")[:1].lower()


def _day_number(day: str, order: DateOrder) -> int:
    """Grows from day to day; two days of one file are that far apart. 0 where the year is not said."""
    found = date_of_stamp(day, order)
    return found.toordinal() if found else 0
