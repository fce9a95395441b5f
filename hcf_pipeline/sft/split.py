"""Which broadcasts are trained on and which are kept to judge the result by.

The split is by date: the newest days are held out, because a model is asked about what comes next, and because a
broadcast's neighbours in time repeat its topics.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date


def held_out_transcripts(dates: Mapping[str, date | None], share: float) -> frozenset[str]:
    """The newest dated transcripts, by whole days, at most `share` of all dated ones.

    At least the newest day when `share` > 0 and there are two days or more, so that both sides have something.
    Undated transcripts are never held out.
    """
    per_day = Counter(day for day in dates.values() if day is not None)
    if share <= 0 or len(per_day) < 2:
        return frozenset()
    room = math.floor(share * per_day.total())
    chosen: set[date] = set()
    for day in sorted(per_day, reverse=True)[:-1]:
        if chosen and per_day[day] > room:
            break
        chosen.add(day)
        room -= per_day[day]
    return frozenset(path for path, day in dates.items() if day in chosen)


def sampled_transcripts(paths: Iterable[str], ratio: float, seed: int) -> frozenset[str]:
    """About `ratio` of the transcripts, whole, and at least one.

    Each is drawn by its own hash: others that come or go, or another order, don't change whether it is in. A larger
    ratio keeps what a smaller one had.
    """
    drawn = {path: _draw(path, seed) for path in paths}
    chosen = frozenset(path for path, number in drawn.items() if number < ratio)
    return chosen or frozenset(sorted(drawn, key=drawn.__getitem__)[:1])


def _draw(path: str, seed: int) -> float:
    """A number in [0, 1) that the path and the seed decide."""
    digest = hashlib.sha256(f"{seed}:{path}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
