"""How much the vectors count, and how much evidence an answer needs, by questions whose answer is known.

The defaults stand until questions say otherwise, and say so clearly: another weight is taken where it ranks so much better that the
95 % interval of the gain lies above 0 (bootstrap over the questions, Efron 1979), another threshold where the one that
stands refuses clearly too many. So an encoder that is stronger, or weaker, than most gets its weight, and a few questions more or
less change nothing from one refresh to the next.

What cannot be answered is known of few questions; so each one that can is asked once more with the right broadcasts left out.
Most are answered by another broadcast even then: that such a question is refused more often than with its answer, is what
tells a threshold from a number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from hcf_pipeline.rag.arrays import Ids, Mask, Weights
from hcf_pipeline.rag.evaluation.measures import DEPTH
from hcf_pipeline.rag.search.fusion import Choice, Fusion

ENOUGH = 50  # questions, to choose anything by
WEIGHTS = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
N_RESAMPLED = 1000
INTERVAL = (0.025, 0.975)
REFUSED = 0.03  # of the questions with an answer: what a threshold that is chosen refuses
MOST_REFUSED = 0.05  # what the one that stands may refuse

Why = Literal["set", "few", "stands", "better", "fewer refused", "more refused"]


@dataclass(frozen=True)
class Interval:
    """A mean over questions, and its 95 % interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Reason:
    """Why a number is what it is; `interval` is of what decided: the gain in MRR, or the share that is refused."""

    why: Why
    n_questions: int
    interval: Interval | None = None


@dataclass(frozen=True)
class Calibration:
    fusion: Fusion
    dense_weight: Reason
    min_score: Reason
    dense_gain: Interval | None  # MRR of words and vectors as they are served, above words alone; None: no question

    def as_json(self) -> dict[str, object]:
        return asdict(self)

    @staticmethod
    def from_json(raw: Mapping[str, object]) -> Calibration:
        """Raises KeyError, TypeError or ValueError for what `as_json` did not give."""
        fusion, gain = raw["fusion"], raw["dense_gain"]
        if not isinstance(fusion, dict):
            raise TypeError(fusion)
        return Calibration(
            Fusion.from_json(fusion), _reason(raw["dense_weight"]), _reason(raw["min_score"]), _interval(gain)
        )


@dataclass(frozen=True)
class Ranked:
    """What was compared for a question that has an answer."""

    transcripts: Ids  # the broadcast of each candidate, as a number
    is_right: Mask
    score: Callable[[float], Weights]  # by the weight of the dense side

    def reciprocal_rank(self, dense_weight: float) -> float:
        """1/rank of the first right broadcast among the first DEPTH distinct ones, else 0."""
        order = np.argsort(-self.score(dense_weight), kind="stable")
        firsts = np.sort(np.unique(self.transcripts[order], return_index=True)[1])[:DEPTH]
        right = np.flatnonzero(self.is_right[order][firsts])
        return 1 / (int(right[0]) + 1) if len(right) else 0.0


def interval(values: npt.NDArray[np.float64]) -> Interval:
    """The mean of some values and where 95 % of the means of as many, drawn from them with replacement, lie."""
    drawn = np.random.default_rng(0).integers(len(values), size=(N_RESAMPLED, len(values)))
    low, high = np.quantile(values[drawn].mean(axis=1), INTERVAL)
    return Interval(round(float(values.mean()), 4), round(float(low), 4), round(float(high), 4))


def choose_weight(ranked: Sequence[Ranked], stands: Choice) -> tuple[Choice, Reason, Interval | None]:
    """(the weight, why, what it gains in MRR over words alone)."""
    if not ranked:
        return stands, Reason("set" if stands.by == "setting" else "few", 0), None
    found = {
        weight: np.array([one.reciprocal_rank(weight) for one in ranked]) for weight in sorted({*WEIGHTS, stands.value})
    }
    chosen, reason = stands, Reason("set", len(ranked))
    if stands.by != "setting" and len(ranked) < ENOUGH:
        reason = Reason("few", len(ranked))
    elif stands.by != "setting":
        best = max(found, key=lambda weight: (round(float(found[weight].mean()), 6), -abs(weight - stands.value)))
        gain = interval(found[best] - found[stands.value])
        is_better = gain.low > 0
        chosen = Choice(best, "questions") if is_better else stands
        reason = Reason("better" if is_better else "stands", len(ranked), gain)
    return chosen, reason, interval(found[chosen.value] - found[0.0])


@dataclass(frozen=True)
class Evidence:
    """The evidence scores of some questions' hits."""

    answerable: Sequence[float]
    left_out: Sequence[float]  # of the same, without the right broadcasts
    unanswerable: Sequence[float]
    by_users: bool  # from a file of theirs; else a guest's, who says more than somebody who looks something up


def choose_threshold(sets: Sequence[Evidence], stands: Choice) -> tuple[Choice, Reason]:
    """The threshold, and why. It is lowered by whatever questions there are, and raised only by users' own."""
    of_users = [one for one in sets if one.by_users]
    chosen_by = of_users if sum(len(one.answerable) for one in of_users) >= ENOUGH else sets
    answerable = np.array([score for one in chosen_by for score in one.answerable])
    if stands.by == "setting":
        return stands, Reason("set", len(answerable))
    if len(answerable) < ENOUGH:
        return stands, Reason("few", len(answerable))
    refused = interval((answerable < stands.value).astype(np.float64))
    aim = Choice(max(0.0, float(np.floor(1000 * np.quantile(answerable, REFUSED)) / 1000)), "questions")
    if refused.low > MOST_REFUSED and aim.value < stands.value:
        return aim, Reason("fewer refused", len(answerable), refused)
    if refused.high < REFUSED and aim.value > stands.value and chosen_by is of_users:
        without = np.array([score for one in of_users for score in (*one.left_out, *one.unanswerable)])
        if _tells(answerable, without, stands.value, aim.value):
            return aim, Reason("more refused", len(answerable), refused)
    return stands, Reason("stands", len(answerable), refused)


def _tells(answerable: Weights, without: Weights, before: float, after: float) -> bool:
    """Whether a threshold that is raised refuses clearly more of what has no answer than of what has one."""

    def more(scores: Weights) -> Weights:
        return ((scores >= before) & (scores < after)).astype(np.float64)

    return len(without) >= ENOUGH and interval(more(without)).low > interval(more(answerable)).high


def _reason(raw: object) -> Reason:
    if not isinstance(raw, dict):
        raise TypeError(raw)
    return Reason(raw["why"], int(raw["n_questions"]), _interval(raw["interval"]))


def _interval(raw: object) -> Interval | None:
    if raw is None:
        return None
    if not isinstance(raw, dict):
        raise TypeError(raw)
    return Interval(**raw)
