"""How well retrieval finds the right broadcast, stage by stage, and what it missed: as it is served.

Stages: the words alone (lexical), the vectors alone (dense), both (fused), and both after the reranker, where there is
one. The last stage is what `Retriever.search` finds with the same settings: dates weighed, near-duplicates merged. All
stages order the same candidates, and one pass over the questions measures them all.

A question counts at k (recall@k) when a right broadcast is among the first k distinct broadcasts of the hits, in their
order. A hit stands for its own broadcast, and is right as well where a right one is named with it (`Hit.also`): whoever
reads it is told that the same words stand there. Where the first hits are of fewer than DEPTH broadcasts, more hits are
taken from the same candidates, after those that are served.

Words such as 去年 are meant from the day that the question was asked on: its own `asked` (a guest's is the day of the
broadcast), else `[retrieval] today`, else the day of the newest broadcast. The calendar has no part in it, so that the
same index gives the same card on any day.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hcf_pipeline.rag.arrays import Mask, Weights
from hcf_pipeline.rag.encode.encoder import Encoder
from hcf_pipeline.rag.evaluation.calibration import (
    Calibration,
    Evidence,
    Interval,
    Ranked,
    choose_threshold,
    choose_weight,
    interval,
)
from hcf_pipeline.rag.evaluation.card import Miss, QuestionSet, Scorecard, Stage, question_key
from hcf_pipeline.rag.evaluation.measures import DEPTH, RECALLS, mrr, ndcg, percentile, recall
from hcf_pipeline.rag.evaluation.questions import Question
from hcf_pipeline.rag.index.index import Index
from hcf_pipeline.rag.search.fusion import Fusion
from hcf_pipeline.rag.search.hits import Hit
from hcf_pipeline.rag.search.query import Query
from hcf_pipeline.rag.search.retriever import Candidates, Reranks, Retriever
from hcf_pipeline.settings import RetrievalSettings

PLOT = "recall.png"
N_MISSES = 20
MOST_RANKED = 1000  # questions of a set, evenly spread, that the weight of the vectors is chosen by


@dataclass(frozen=True)
class Asked:
    """A question and what was compared for it; the postings of its terms are let go."""

    question: Question
    query: Query
    found: Candidates
    is_right: Mask  # which candidates are of a right broadcast
    seconds: float


@dataclass(frozen=True)
class AskedSet:
    """A set of questions that were put to an index, before anything is ranked."""

    name: str
    retriever: Retriever
    settings: RetrievalSettings
    asked: tuple[Asked, ...]
    with_reranker: bool
    by_users: bool  # a file of theirs
    n_left_out: int = 0  # questions that were not asked, because something that is judged by them had seen them

    @property
    def ranked(self) -> list[Ranked]:
        """What the weight of the vectors is chosen by: at most MOST_RANKED of the questions that have an answer."""
        index = self.retriever.index
        answerable = [one for one in self.asked if one.question.is_answerable and one.found.dense is not None]
        return [
            Ranked(index.transcripts[one.found.rows], one.is_right, one.found.scores)
            for one in answerable[:: -(-len(answerable) // MOST_RANKED) or 1]
        ]


def ask_all(
    name: str,
    index: Path,
    encoder: Encoder,
    settings: RetrievalSettings,
    questions: Sequence[Question],
    reranker: Reranks | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    *,
    by_users: bool = False,
    n_left_out: int = 0,
) -> AskedSet:
    """Everything that is compared for some questions. `progress(done, total)` counts them."""
    retriever = Retriever.open(index, encoder, settings, reranker, verified=True)
    n = retriever.n_read(settings.top_k)
    asked: list[Asked] = []
    for question in questions:
        began = time.perf_counter()
        query = retriever.query(question.text, question.asked)
        found = retriever.candidates(query, n)
        seconds = time.perf_counter() - began
        kept = replace(query, terms=replace(query.terms, matches=()))
        asked.append(Asked(question, kept, found, _right(retriever.index, question, found), seconds))
        progress(len(asked), len(questions))
    return AskedSet(name, retriever, settings, tuple(asked), reranker is not None, by_users, n_left_out)


def scorecard_of(sets: Sequence[AskedSet], settings: RetrievalSettings, *, pretrained: bool) -> Scorecard:
    """The figures of some sets, under the weight and the threshold that are set, or that these questions choose.

    `pretrained` says that the encoder knew more than this corpus before.
    """
    stands = Fusion.of(settings, pretrained=pretrained)
    weight, weight_why, gain = choose_weight([one for of_set in sets for one in of_set.ranked], stands.dense_weight)
    measured = [_Measured(of_set, replace(stands, dense_weight=weight)) for of_set in sets]
    least, least_why = choose_threshold([one.evidence for one in measured], stands.min_score)
    return Scorecard(
        tuple(one.result(least.value) for one in measured),
        Calibration(Fusion(weight, least), weight_why, least_why, gain),
    )


def judge_retrieval(
    index: Path,
    encoder: Encoder,
    settings: RetrievalSettings,
    name: str,
    questions: Sequence[Question],
    reranker: Reranks | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    fusion: Fusion | None = None,
) -> QuestionSet:
    """The stages' figures for one set of questions, with `fusion` for what is "auto", else the defaults."""
    asked = ask_all(name, index, encoder, settings, questions, reranker, progress)
    stands = Fusion.of(settings, fusion)
    return _Measured(asked, stands).result(stands.min_score.value)


class _Measured:
    """What was found for a set of questions, with one weight of the vectors."""

    def __init__(self, asked: AskedSet, fusion: Fusion) -> None:
        self._set = asked
        self._settings = asked.settings
        self._retriever = asked.retriever.fused_by(fusion)
        self._weight = self._retriever.fusion.dense_weight.value
        self._places: dict[str, list[int]] = {}  # stage -> the rank of each question
        self._seconds: dict[str, list[float]] = {}
        self._evidence: dict[bool, list[float]] = {True: [], False: []}  # by whether there was an answer
        self._left_out: list[float] = []
        self._misses: list[Miss] = []
        self._ranks: dict[str, int] = {}
        for one in asked.asked:
            self._measure(one)

    def _measure(self, one: Asked) -> None:
        retriever, question, query, found = self._retriever, one.question, one.query, one.found
        n = retriever.n_read(self._settings.top_k)
        began = time.perf_counter() - one.seconds
        scores = found.scores(self._weight)
        fused = retriever.hits(found, scores, n)
        fused_s = time.perf_counter() - began
        served = retriever.reranked(query, fused)
        served_s = time.perf_counter() - began
        self._evidence[question.is_answerable].append(self._evidence_of(query, served))
        if not question.is_answerable:
            return
        words = np.where(found.by_words, found.lexical * found.factor, -1.0)
        self._count("lexical", self._rank(question, found, words, []), found.lexical_s)
        if found.dense is not None:
            self._count("dense", self._rank(question, found, found.dense * found.factor, []), found.dense_s)
        rank = self._count("fused", self._rank(question, found, scores, fused), fused_s)
        if self._set.with_reranker:
            rank = self._count("reranked", self._rank(question, found, scores, served), served_s)
        right = question.transcript or str(question.date)
        self._ranks[question_key(question.text, right)] = rank
        if rank != 1 and served:
            self._misses.append(Miss(question.text, right, rank, served[0].transcript, served[0].text))
        others = np.where(one.is_right, -1.0, scores)
        self._left_out.append(self._evidence_of(query, retriever.hits(found, others, self._settings.top_k)))

    def _evidence_of(self, query: Query, hits: Sequence[Hit]) -> float:
        return self._retriever.evidence(query, hits[: self._settings.top_k])

    @property
    def evidence(self) -> Evidence:
        return Evidence(self._evidence[True], self._left_out, self._evidence[False], self._set.by_users)

    def _rank(self, question: Question, found: Candidates, scores: Weights, first: list[Hit]) -> int:
        """The place of the first right broadcast among the first DEPTH distinct ones, 0 where it is not there.

        Of the hits `first`, then of the further candidates in the order of their scores.
        """
        n = max(len(first), DEPTH)
        while True:
            hits = self._retriever.hits(found, scores, n)
            rank, n_distinct = _rank_among([*first, *hits[len(first) :]], question)
            if rank or n_distinct >= DEPTH or len(hits) < n:
                return rank
            n *= 2

    def _count(self, stage: str, rank: int, seconds: float) -> int:
        self._places.setdefault(stage, []).append(rank)
        self._seconds.setdefault(stage, []).append(seconds)
        return rank

    def result(self, min_score: float) -> QuestionSet:
        least = min_score or np.nextafter(-np.inf, 0)  # with 0 any hit is enough
        found = self.evidence
        return QuestionSet(
            name=self._set.name,
            n_answerable=len(found.answerable),
            n_unanswerable=len(found.unanswerable),
            refused_answerable=_share_below(found.answerable, least),
            refused_unanswerable=_share_below(found.unanswerable, least),
            refused_left_out=_share_below(found.left_out, least),
            stages=tuple(self._stage(stage) for stage in self._places),
            misses=tuple(sorted(self._misses, key=lambda miss: (miss.rank > 0, -miss.rank))[:N_MISSES]),
            ranks=self._ranks,
            n_left_out=self._set.n_left_out,
            dense_gain=self._dense_gain(),
        )

    def _dense_gain(self) -> Interval | None:
        if "dense" not in self._places:
            return None
        fused, lexical = (
            np.array([1 / rank if rank else 0.0 for rank in self._places[s]]) for s in ("fused", "lexical")
        )
        return interval(fused - lexical)

    def _stage(self, name: str) -> Stage:
        ranks, milliseconds = self._places[name], [1000 * s for s in self._seconds[name]]
        return Stage(
            name=name,
            recall={str(k): round(recall(ranks, k), 4) for k in RECALLS},
            mrr=round(mrr(ranks), 4),
            ndcg=round(ndcg(ranks), 4),
            p50_ms=round(percentile(milliseconds, 0.5), 2),
            p99_ms=round(percentile(milliseconds, 0.99), 2),
        )


def _rank_among(hits: Sequence[Hit], question: Question) -> tuple[int, int]:
    """(rank of the first right broadcast or 0, how many distinct broadcasts were looked at, DEPTH at most)."""
    seen: set[str] = set()
    for hit in hits:
        seen.add(hit.transcript)
        if len(seen) > DEPTH:
            return 0, DEPTH
        if any(question.is_right(place.transcript, place.date) for place in (hit.place, *hit.also)):
            return len(seen), len(seen)
    return 0, len(seen)


def _right(index: Index, question: Question, found: Candidates) -> Mask:
    """Which candidates are of a right broadcast."""
    numbers, first, of_rows = np.unique(index.transcripts[found.rows], return_index=True, return_inverse=True)
    right = [question.is_right(*index.place(int(row))) for row in found.rows[first].tolist()]
    mask: Mask = np.array(right, dtype=np.bool_)[of_rows] if len(numbers) else np.empty(0, np.bool_)
    return mask


def _share_below(evidence: Sequence[float], least: float) -> float:
    return round(sum(score < least for score in evidence) / len(evidence), 4) if evidence else 0.0


def draw(card: Scorecard, out: Path) -> None:
    """Writes PLOT into `out`: recall at 1, 3, 5 and 10 by stage, a panel for each set of questions."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = [of_set for of_set in card.sets if of_set.stages]
    figure = Figure(figsize=(max(5.0 * len(shown), 5.0), 3.5), layout="constrained")
    FigureCanvasAgg(figure)
    for n, of_set in enumerate(shown, 1):
        axes = figure.add_subplot(1, len(shown), n)
        for stage in of_set.stages:
            axes.plot(RECALLS, [stage.recall[str(k)] for k in RECALLS], marker="o", label=stage.name)
        axes.set(title=f"{of_set.n_answerable} questions", xlabel="first k broadcasts", ylabel="recall", ylim=(0, 1.02))
        axes.set_xticks(RECALLS)
        axes.grid(alpha=0.3)
        axes.legend(loc="lower right")
    figure.savefig(out / PLOT, dpi=110, metadata={"Software": None})
