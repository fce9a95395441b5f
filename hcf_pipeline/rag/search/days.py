"""When the rows of an index were said: which lie in a time, which broadcasts are nearest to one, which is the newest."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

import numpy as np

from hcf_pipeline.rag.arrays import Ids, Mask
from hcf_pipeline.rag.index.index import EPOCH, NO_DATE, Index
from hcf_pipeline.rag.search.periods import Period, Span


class Days:
    """The days of one index. What is not live has none, as what bears no date."""

    def __init__(self, index: Index) -> None:
        self._transcripts = index.transcripts
        self._days = index.days if index.live is None else np.where(index.live, index.days, NO_DATE)
        self._of_broadcasts = np.unique(self._days[self._days != NO_DATE])

    def within(self, since: datetime.date | None, until: datetime.date | None) -> Mask:
        """The rows that bear a date from one day to another, both inclusive."""
        within: Mask = self._days != NO_DATE
        if since is not None:
            within &= self._days >= (since - EPOCH).days
        if until is not None:
            within &= self._days <= (until - EPOCH).days
        return within

    def named(self, periods: Sequence[Period]) -> Mask:
        """The rows that lie in one of some periods."""
        named = np.zeros(len(self._days), dtype=np.bool_)
        for period in periods:
            named |= self.within(*period)
        return named

    def rows_of(self, periods: Sequence[Period], span: Span) -> Ids:
        """The rows that lie in one of some periods and in the span."""
        return np.flatnonzero(self.named(periods) & self.within(*span))

    def n_broadcasts(self, period: Period) -> int:
        """How many broadcasts there are of a time."""
        return len(np.unique(self._transcripts[self.within(*period)]))

    @property
    def months(self) -> list[tuple[int, int]]:
        """(year, month) of those that there are broadcasts of, in their order."""
        return list(dict.fromkeys((day.year, day.month) for day in self._broadcasts()))

    def nearest(self, period: Period, n: int = 2) -> list[datetime.date]:
        """The days of the broadcasts nearest to a time that there is none of, in their order."""
        return sorted(sorted(self._broadcasts(), key=lambda day: max(period.since - day, day - period.until))[:n])

    def newest(self, today: datetime.date = datetime.date.max) -> datetime.date:
        """The day of the last broadcast up to `today`, or `today` where there is none."""
        n = int(np.searchsorted(self._of_broadcasts, (today - EPOCH).days, side="right"))
        return EPOCH + datetime.timedelta(int(self._of_broadcasts[n - 1])) if n else today

    def _broadcasts(self) -> list[datetime.date]:
        return [EPOCH + datetime.timedelta(int(day)) for day in self._of_broadcasts]
