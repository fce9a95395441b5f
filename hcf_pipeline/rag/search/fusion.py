"""How much the vectors count beside the words, and how much evidence an answer needs.

Both may be set. Where they are "auto", they are chosen by questions (rag/evaluation/calibration.py), or are the defaults here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from hcf_pipeline.settings import RetrievalSettings

By = Literal["setting", "questions", "default"]

LEARNT_HERE = 0.1
"""The weight of an encoder that knows this corpus alone. Of 0, 0.05, 0.1, 0.15, 0.2 and 0.3 it ranked 1,452 questions by other
people best (MRR 0.651, 0.652, 0.654, 0.653, 0.648, 0.634)."""

PRETRAINED = 0.2
"""The weight of any other. With multilingual-e5-small, one of the smallest, 0.1 to 0.6 ranked 400 questions about alike (MRR 0.660,
0.673, 0.674, 0.676, 0.677, 0.665; words alone 0.635)."""

MIN_SCORE = 0.15  # see evidence.py


@dataclass(frozen=True)
class Choice:
    value: float
    by: By


@dataclass(frozen=True)
class Fusion:
    """Numbers from 0 to 1, and who chose each."""

    dense_weight: Choice  # share of the dense score in the fused one
    min_score: Choice  # evidence below it cites nothing

    @staticmethod
    def of(settings: RetrievalSettings, chosen: Fusion | None = None, *, pretrained: bool = False) -> Fusion:
        """What is set, else what was chosen, else the defaults of an encoder that was pretrained, or was not."""
        fusion = chosen or Fusion(
            Choice(PRETRAINED if pretrained else LEARNT_HERE, "default"), Choice(MIN_SCORE, "default")
        )
        weight, least = settings.dense_weight, settings.min_score
        return Fusion(
            fusion.dense_weight if weight == "auto" else Choice(weight, "setting"),
            fusion.min_score if least == "auto" else Choice(least, "setting"),
        )

    @staticmethod
    def from_json(raw: Mapping[str, Mapping[str, object]]) -> Fusion:
        """What `asdict` gives. Raises KeyError, TypeError or ValueError for anything else."""
        return Fusion(*(_choice(raw[name]) for name in ("dense_weight", "min_score")))


def _choice(raw: Mapping[str, object]) -> Choice:
    value, by = raw["value"], raw["by"]
    if not isinstance(value, int | float) or by not in ("setting", "questions", "default"):
        raise ValueError(raw)
    return Choice(float(value), by)
