"""A time that a question names: days from one to another, and the calendar's arithmetic for the words of any language."""

from __future__ import annotations

import calendar
import datetime
from typing import NamedTuple, TypeAlias

Span: TypeAlias = tuple[datetime.date | None, datetime.date | None]  # first and last day, both inclusive
EVER: Span = (None, None)

RECENT_DAYS = 60  # 最近, recently
THESE_DAYS = 14  # 这几天, 前两天, the other day: there is not a broadcast every day
FEW = 5  # 最近几个月, the last few months
AGO_SHARE = 6  # 两年前 is meant to a sixth of two years, either way
LEAP_GAP = 9  # years within which every day of the calendar comes: 1896 and 1904 had a 29 February


class Period(NamedTuple):
    """Both days inclusive."""

    since: datetime.date
    until: datetime.date

    @property
    def is_short(self) -> bool:
        """A day or a week."""
        return (self.until - self.since).days < 7


class Mention(NamedTuple):
    """The characters of a question that name a time: question[start:end]."""

    start: int
    end: int
    period: Period


class Now(NamedTuple):
    today: datetime.date
    newest: datetime.date  # the last day up to today that there may be a broadcast of


def months(year: int, first: int, last: int) -> Period | None:
    if not (1 <= first <= last <= 12 and 1 <= year <= 9999):
        return None
    return Period(datetime.date(year, first, 1), datetime.date(year, last, calendar.monthrange(year, last)[1]))


def season(year: int, first: int, last: int) -> Period | None:
    """Some months of a year, or of it and the next one, as winter is."""
    if first <= last:
        return months(year, first, last)
    begins, ends = months(year, first, 12), months(year + 1, 1, last)
    return Period(begins.since, ends.until) if begins and ends else None


def on(year: int, month: int, day: int) -> Period | None:
    try:
        found = datetime.date(year, month, day)
    except ValueError:
        return None
    return Period(found, found)


def last_on(month: int, day: int, newest: datetime.date) -> Period | None:
    """The last such day up to the newest broadcast; 29 February is one of a leap year."""
    found = (on(newest.year - back, month, day) for back in range(LEAP_GAP))
    return next((period for period in found if period and period.since <= newest), None)


def before(period: Period) -> Period:
    """All that lies before a period."""
    return Period(datetime.date.min, max(period.since, datetime.date.min.replace(day=2)) - datetime.timedelta(1))


def from_then(period: Period, now: Now) -> Period:
    """A period and all since, up to today."""
    return Period(period.since, max(period.since, now.today))


def days_back(day: datetime.date, most: float, least: float) -> Period | None:
    """From `most` to `least` days before a day."""
    try:
        return Period(day - datetime.timedelta(round(most)), day - datetime.timedelta(round(least)))
    except OverflowError:
        return None


def ago(now: Now, least: float, most: float, unit_days: float) -> Period | None:
    """So many days, weeks, months or years before today."""
    return days_back(now.today, most * unit_days * (1 + 1 / AGO_SHARE), least * unit_days * (1 - 1 / AGO_SHARE))


def month_back(now: Now, back: int) -> Period | None:
    """The month so many months before today's."""
    since = now.today.year * 12 + now.today.month - 1 - back
    return months(since // 12, since % 12 + 1, since % 12 + 1)
