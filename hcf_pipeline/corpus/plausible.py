"""Whether a corpus is read the way it is written: one judgement, of `hcf init`, `hcf check` and every refresh.

Counted in characters, because a line may be a word or a page. Headings, tables, front matter, noise and the like are no
speech and count for nothing. What another speaker says is somebody's, whether his label is set or not: only text that
nothing names a speaker of tells of a form that is not understood.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from hcf_pipeline.corpus.transcript import BEFORE, IN_DOUBT, NO_SPEAKER, OTHER, Transcript
from hcf_pipeline.settings import ReleaseSettings

MIN_SPOKEN = ReleaseSettings().min_spoken  # share of the text that has a speaker: with less, the form is not understood
MUCH_SPOKEN = 0.7  # with less, a person should look at a file
RARELY_ALTERNATES = 0.1  # share of neighbouring turns that change sides: with less, a person should look too


@dataclass(frozen=True)
class Reading:
    """How one transcript was read, or several: readings add up."""

    n_spoken: int = 0  # characters with a speaker
    n_nobodys: int = 0  # characters without one
    n_neighbours: int = 0  # turns with one before them in the same transcript
    n_changes: int = 0  # those of another side than the one before

    @staticmethod
    def of(transcript: Transcript) -> Reading:
        chars, turns = transcript.chars_left_out, transcript.turns
        return Reading(
            n_spoken=sum(len(turn.text) for turn in turns) + chars.get(OTHER, 0),
            n_nobodys=sum(chars.get(kind, 0) for kind in (BEFORE, IN_DOUBT, NO_SPEAKER)),
            n_neighbours=max(0, len(turns) - 1),
            n_changes=sum(before.side != after.side for before, after in pairwise(turns)),
        )

    @property
    def spoken_share(self) -> float:
        """1 where there is no text."""
        total = self.n_spoken + self.n_nobodys
        return self.n_spoken / total if total else 1.0

    @property
    def alternation(self) -> float:
        """0 where no turn has a neighbour."""
        return self.n_changes / self.n_neighbours if self.n_neighbours else 0.0

    def is_implausible(self, min_spoken: float = MIN_SPOKEN) -> bool:
        """Whether too little of the text has a speaker for anything to be made of it."""
        return self.spoken_share < min_spoken

    def is_doubtful(self, *, is_monologue: bool) -> bool:
        """Whether a person should look at a file. Sides that rarely alternate are no proof: a guest may speak once in an hour."""
        few_changes = self.n_neighbours > 0 and self.alternation < RARELY_ALTERNATES and not is_monologue
        return self.spoken_share < MUCH_SPOKEN or few_changes


def total(readings: Iterable[Reading]) -> Reading:
    found = list(readings)
    return Reading(
        sum(one.n_spoken for one in found),
        sum(one.n_nobodys for one in found),
        sum(one.n_neighbours for one in found),
        sum(one.n_changes for one in found),
    )


def worst_of(readings: Mapping[str, Reading]) -> str:
    """The transcript with the most text that is nobody's, by its path: the one to look at; "" where all has a speaker."""
    worst = max(readings, key=lambda path: (readings[path].n_nobodys, path), default="")
    return worst if worst and readings[worst].n_nobodys else ""
