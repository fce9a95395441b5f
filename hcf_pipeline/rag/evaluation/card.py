"""A scorecard of retrieval: figures by set of questions and stage, and the misses to read."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hcf_pipeline.errors import damaged
from hcf_pipeline.files import hash_of
from hcf_pipeline.rag.evaluation.calibration import Calibration, Interval

CARD = "scorecard.json"


def question_key(question: str, right: str) -> str:
    """16 hex digits that stay the same from card to card; `right` is a transcript, or a date in ISO format."""
    return hashlib.sha256(f"{question}\n{right}".encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Stage:
    """One way to rank, over all answerable questions of a set."""

    name: str
    recall: dict[str, float]  # "1", "3", "5", "10" -> share
    mrr: float
    ndcg: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True)
class Miss:
    question: str
    right: str  # transcript or date
    rank: int  # of the right broadcast, 0 where it is not among the first DEPTH
    came_first: str  # transcript
    its_words: str


@dataclass(frozen=True)
class QuestionSet:
    name: str
    n_answerable: int
    n_unanswerable: int
    refused_answerable: float  # shares of those that the threshold refuses
    refused_unanswerable: float
    stages: tuple[Stage, ...]
    misses: tuple[Miss, ...] = field(default=())
    ranks: dict[str, int] = field(default_factory=dict)
    """By `question_key`: the rank in the last stage of each question that has an answer, 0 where it is not among the
    first DEPTH. So two cards are compared on the questions that both asked. Empty in older cards."""
    n_left_out: int = 0  # questions that were not asked, because something that is judged by them had seen them
    refused_left_out: float = 0.0  # share of the answerable ones that is refused once the right broadcasts are left out
    dense_gain: Interval | None = None  # MRR of words and vectors above that of words alone; None: without vectors

    def stage(self, name: str) -> Stage:
        return next(stage for stage in self.stages if stage.name == name)


@dataclass(frozen=True)
class Scorecard:
    sets: tuple[QuestionSet, ...]
    calibration: Calibration | None = None  # what was chosen by them; None in older cards

    @property
    def content(self) -> str:
        """20 hex digits over all but the times, which differ from run to run."""
        raw = asdict(self)
        for of_set in raw["sets"]:
            for stage in of_set["stages"]:
                del stage["p50_ms"], stage["p99_ms"]
        return hash_of(raw)

    def save(self, folder: Path) -> None:
        (folder / CARD).write_text(json.dumps(asdict(self), ensure_ascii=False, indent=1), encoding="utf-8")

    @staticmethod
    def load(file: Path) -> Scorecard:
        """Raises ArtifactError where the file is unreadable."""
        try:
            raw = json.loads(file.read_text(encoding="utf-8"))
            calibration = raw.get("calibration")
            return Scorecard(
                tuple(map(_set_of, raw["sets"])), Calibration.from_json(calibration) if calibration else None
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise damaged(file) from error


def _set_of(raw: dict[str, Any]) -> QuestionSet:
    gain = raw.get("dense_gain")
    read = {
        "stages": tuple(Stage(**stage) for stage in raw["stages"]),
        "misses": tuple(Miss(**miss) for miss in raw["misses"]),
        "dense_gain": Interval(**gain) if gain else None,
    }
    return QuestionSet(**raw | read)
