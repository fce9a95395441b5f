"""Times on lines of their own between turns: each is the time of the turn below it, and no word of the one above.

    00:30

    Ann: words

Only where that is how a file is written: MIN_TIMES or more of them that never go back, a turn below each but the last. Where
a single line holds a time, somebody may have said it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from hcf_pipeline.corpus.forms.heads import Head
from hcf_pipeline.corpus.forms.times import IS_CLOCK, bare_stamp, seconds

MIN_TIMES = 3
N_LOOKED_AT = 100  # lines: without a time among them the file is not written so
MAX_CHARS = 14  # of such a line: [01:02:03.456]
_ENDS = frozenset("0123456789])）】>")


def times_before_turns(
    lines: Sequence[str], head_of: Callable[[str], Head | None], is_noise: Callable[[str], object]
) -> Sequence[str]:
    """The lines, where each time stands before the label of the turn below it; the same ones where that is not the form.

    What the settings call noise is left to them. A time below the last turn is that of the end.
    """
    if not any(map(_is_time, lines[:N_LOOKED_AT])):
        return lines
    places = [n for n, line in enumerate(lines) if _is_time(line)]
    if len(places) < MIN_TIMES or any(is_noise(lines[n]) for n in places):
        return lines
    times = [seconds(bare_stamp(lines[n])) for n in places]
    if any(after < before for before, after in pairwise(times)):
        return lines
    written = list(lines)
    for n in places:
        written[n] = ""
        below = next((m for m in range(n + 1, len(lines)) if lines[m].strip()), None)
        if below is None:
            continue
        head = head_of(lines[below].strip())
        if head is None or head.stamp:
            return lines
        written[below] = f"[{bare_stamp(lines[n])}] {lines[below].lstrip()}"
    return written


def _is_time(line: str) -> bool:
    return 3 < len(line) <= MAX_CHARS and line[-1] in _ENDS and IS_CLOCK.fullmatch(line) is not None
