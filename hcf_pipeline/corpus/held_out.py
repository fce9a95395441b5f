"""Which broadcasts are kept to judge by: one split, that everything reads which learns or judges.

It goes by date: the newest days are held out, because a model is asked about what comes next, and because a
broadcast's neighbours in time repeat its topics. In a corpus without a date it goes by the number of the episode
(episodes.py).
"""

from __future__ import annotations

import datetime
import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from hcf_pipeline.corpus.episodes import Episode, episode_of
from hcf_pipeline.corpus.parts import Table
from hcf_pipeline.errors import damaged
from hcf_pipeline.files import hash_of

HELD_OUT = "held_out.json"

Moment = TypeVar("Moment", datetime.date, Episode)


@dataclass(frozen=True)
class HeldOut:
    dates: Mapping[str, datetime.date | None]  # of the transcripts that are held out, by their paths
    share: float  # that was asked for

    @property
    def first_day(self) -> datetime.date | None:
        """All dated broadcasts from this day on are held out; None where nothing is that has a date."""
        return min((day for day in self.dates.values() if day is not None), default=None)

    @property
    def version(self) -> str:
        """20 hex digits over what is held out."""
        return hash_of(sorted((path, str(day)) for path, day in self.dates.items()))

    def save(self, folder: Path) -> None:
        written = {
            "share": self.share,
            "first_day": str(self.first_day or ""),
            "transcripts": {path: day and str(day) for path, day in sorted(self.dates.items())},
        }
        (folder / HELD_OUT).write_text(json.dumps(written, ensure_ascii=False, indent=1), encoding="utf-8")

    @staticmethod
    def load(file: Path) -> HeldOut:
        """Raises ArtifactError where the file is missing or unreadable."""
        try:
            raw = json.loads(file.read_text(encoding="utf-8"))
            dates = {str(path): day and datetime.date.fromisoformat(day) for path, day in raw["transcripts"].items()}
            return HeldOut(dates, float(raw["share"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise damaged(file) from error


def hold_out(pairs: Path, share: float) -> HeldOut:
    """The split of a pair table; transcripts without a pair belong to neither side."""
    dates = transcript_dates(pairs)
    chosen = held_out_transcripts(dates, share)
    return HeldOut({path: day for path, day in dates.items() if path in chosen}, share)


def transcript_dates(pairs: Path) -> dict[str, datetime.date | None]:
    """The date of each transcript that has pairs, in the table's order."""
    return {entry.path: entry.date for entry in Table(pairs).entries if entry.n_rows}


def held_out_transcripts(dates: Mapping[str, datetime.date | None], share: float) -> frozenset[str]:
    """The newest dated transcripts, by whole days, at most `share` of all dated ones; where none has a date the latest
    episodes, at most `share` of all that have a number.

    At least the newest day when `share` > 0 and there are two days or more, so that both sides have something.
    What has no place in that order is never held out.
    """
    if dated := {path: day for path, day in dates.items() if day is not None}:
        return _latest(dated, share)
    return _latest({path: found for path in dates if (found := episode_of(path))}, share)


def _latest(moments: Mapping[str, Moment], share: float) -> frozenset[str]:
    of_moment = Counter(moments.values())
    if share <= 0 or len(of_moment) < 2:
        return frozenset()
    room = math.floor(share * of_moment.total())
    chosen: set[Moment] = set()
    for moment in sorted(of_moment, reverse=True)[:-1]:
        if chosen and of_moment[moment] > room:
            break
        chosen.add(moment)
        room -= of_moment[moment]
    return frozenset(path for path, moment in moments.items() if moment in chosen)
