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
from pathlib import Path

import numpy as np

from hcf_pipeline.rag.arrays import Weights
from hcf_pipeline.rag.encode.encoder import Encoder
from hcf_pipeline.rag.evaluation.card import Miss, QuestionSet, Scorecard, Stage, question_key
from hcf_pipeline.rag.evaluation.measures import DEPTH, RECALLS, mrr, ndcg, percentile, recall
from hcf_pipeline.rag.evaluation.questions import Question
from hcf_pipeline.rag.search.hits import Hit
from hcf_pipeline.rag.search.retriever import Candidates, Reranks, Retriever
from hcf_pipeline.settings import RetrievalSettings

PLOT = "recall.png"
N_MISSES = 20


def judge_retrieval(
    index: Path,
    encoder: Encoder,
    settings: RetrievalSettings,
    name: str,
    questions: Sequence[Question],
    reranker: Reranks | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    n_left_out: int = 0,
) -> QuestionSet:
    """The stages' figures for one set of questions. `progress(done, total)` counts questions.

    `n_left_out` says how many of the set are not among them, because what is judged had seen them.
    """
    retriever = Retriever.open(index, encoder, settings, reranker, verified=True)
    measured = _Measured(retriever, settings, reranker is not None)
    for n, question in enumerate(questions, 1):
        measured.ask(question)
        progress(n, len(questions))
    return measured.result(name, n_left_out)


class _Measured:
    """What was found for the questions so far."""

    def __init__(self, retriever: Retriever, settings: RetrievalSettings, with_reranker: bool) -> None:
        self._retriever = retriever
        self._settings = settings
        self._with_reranker = with_reranker
        self._places: dict[str, list[int]] = {}  # stage -> the rank of each question
        self._seconds: dict[str, list[float]] = {}
        self._refused: dict[bool, list[bool]] = {True: [], False: []}  # by whether there was an answer
        self._misses: list[Miss] = []
        self._ranks: dict[str, int] = {}

    def ask(self, question: Question) -> None:
        retriever, n = self._retriever, self._retriever.n_read(self._settings.top_k)
        began = time.perf_counter()
        query = retriever.query(question.text, question.asked)
        found = retriever.candidates(query, n)
        scores = found.scores(self._settings.dense_weight)
        fused = retriever.hits(found, scores, n)
        fused_s = time.perf_counter() - began
        served = retriever.reranked(query, fused)
        served_s = time.perf_counter() - began
        bears_on = retriever.bears_on(query, served[: self._settings.top_k])
        self._refused[question.is_answerable].append(not bears_on)
        if not question.is_answerable:
            return
        words = np.where(found.by_words, found.lexical * found.factor, -1.0)
        self._count("lexical", self._rank(question, found, words, []), found.lexical_s)
        if found.dense is not None:
            self._count("dense", self._rank(question, found, found.dense * found.factor, []), found.dense_s)
        rank = self._count("fused", self._rank(question, found, scores, fused), fused_s)
        if self._with_reranker:
            rank = self._count("reranked", self._rank(question, found, scores, served), served_s)
        right = question.transcript or str(question.date)
        self._ranks[question_key(question.text, right)] = rank
        if rank != 1 and served:
            self._misses.append(Miss(question.text, right, rank, served[0].transcript, served[0].text))

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

    def result(self, name: str, n_left_out: int) -> QuestionSet:
        return QuestionSet(
            name=name,
            n_answerable=len(self._refused[True]),
            n_unanswerable=len(self._refused[False]),
            refused_answerable=_share(self._refused[True]),
            refused_unanswerable=_share(self._refused[False]),
            stages=tuple(self._stage(stage) for stage in self._places),
            misses=tuple(sorted(self._misses, key=lambda miss: (miss.rank > 0, -miss.rank))[:N_MISSES]),
            ranks=self._ranks,
            n_left_out=n_left_out,
        )

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


def _share(refused: Sequence[bool]) -> float:
    return round(sum(refused) / len(refused), 4) if refused else 0.0


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
