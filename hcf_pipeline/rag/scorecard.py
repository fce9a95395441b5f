"""How well retrieval finds the right broadcast, stage by stage, and what it missed.

A question counts at k when a right broadcast is among the first k distinct broadcasts. Stages: the words alone
(lexical), the vectors alone (dense), both (fused), and both after the reranker, where there is one. One pass over the
questions measures them all. Date words mean nothing here: a question file does not say from which day they are meant.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from hcf_pipeline.rag.arrays import Ids
from hcf_pipeline.rag.asked import Question
from hcf_pipeline.rag.card import Miss, QuestionSet, Scorecard, Stage, question_key
from hcf_pipeline.rag.encoder import Encoder
from hcf_pipeline.rag.evidence import N_HITS
from hcf_pipeline.rag.measures import DEPTH, RECALLS, mrr, ndcg, percentile, recall
from hcf_pipeline.rag.retriever import Reranks, Retriever
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
    plain = settings.model_copy(update={"one_per_transcript": True, "date_factor": 1.0})
    retriever = Retriever.open(index, encoder, plain, verified=True)
    measured = _Measured(retriever, plain, reranker)
    for n, question in enumerate(questions, 1):
        measured.ask(question)
        progress(n, len(questions))
    return measured.result(name, n_left_out)


class _Measured:
    """What was found for the questions so far."""

    def __init__(self, retriever: Retriever, settings: RetrievalSettings, reranker: Reranks | None) -> None:
        self._retriever = retriever
        self._settings = settings
        self._reranker = reranker
        self._ranks: dict[str, list[int]] = {}
        self._seconds: dict[str, list[float]] = {}
        self._refused: dict[bool, list[bool]] = {True: [], False: []}  # by whether there was an answer
        self._misses: list[Miss] = []
        self._last_ranks: dict[str, int] = {}

    def ask(self, question: Question) -> None:
        found = self._retriever.candidates(question.text, max(DEPTH, self._settings.rerank_top))
        scores = found.scores(self._settings.dense_weight)
        rows, best = self._retriever.best(found, scores, max(DEPTH, self._settings.rerank_top))
        texts = (self._retriever.index.text(row) for row in rows[:N_HITS].tolist())
        evidence = self._retriever.evidence(question.text, list(zip(best.tolist(), texts, strict=False)))
        self._refused[question.is_answerable].append(not self._retriever.is_enough(evidence))
        if not question.is_answerable:
            return
        words = np.where(found.by_words, found.lexical, -1.0)
        self._count("lexical", question, self._retriever.best(found, words, DEPTH)[0], found.lexical_s)
        if found.dense is not None:
            vectors = found.dense.astype(np.float64)
            self._count("dense", question, self._retriever.best(found, vectors, DEPTH)[0], found.dense_s)
        both_s = found.lexical_s + found.dense_s
        rank = self._count("fused", question, rows, both_s)
        if self._reranker:
            rank = self._count("reranked", question, *self._rerank(self._reranker, question, rows, both_s))
        right = question.transcript or str(question.date)
        self._last_ranks[question_key(question.text, right)] = rank
        if rank != 1 and len(rows):
            transcript, _ = self._retriever.index.place(int(rows[0]))
            words_of = self._retriever.index.text(int(rows[0]))
            self._misses.append(Miss(question.text, right, rank, transcript, words_of))

    def _rerank(self, reranker: Reranks, question: Question, rows: Ids, both_s: float) -> tuple[Ids, float]:
        began = time.perf_counter()
        texts = [self._retriever.index.text(row) for row in rows.tolist()]
        order = np.argsort(-reranker.scores(question.text, texts), kind="stable")
        return rows[order], both_s + time.perf_counter() - began

    def _count(self, stage: str, question: Question, rows: Ids, seconds: float) -> int:
        """The rank of the first right row, 0 where it is not among the first DEPTH."""
        places = (self._retriever.index.place(row) for row in rows[:DEPTH].tolist())
        rank = next((n for n, place in enumerate(places, 1) if question.is_right(*place)), 0)
        self._ranks.setdefault(stage, []).append(rank)
        self._seconds.setdefault(stage, []).append(seconds)
        return rank

    def result(self, name: str, n_left_out: int) -> QuestionSet:
        return QuestionSet(
            name=name,
            n_answerable=len(self._refused[True]),
            n_unanswerable=len(self._refused[False]),
            refused_answerable=_share(self._refused[True]),
            refused_unanswerable=_share(self._refused[False]),
            stages=tuple(self._stage(stage) for stage in self._ranks),
            misses=tuple(sorted(self._misses, key=lambda miss: (miss.rank > 0, -miss.rank))[:N_MISSES]),
            ranks=self._last_ranks,
            n_left_out=n_left_out,
        )

    def _stage(self, name: str) -> Stage:
        ranks, milliseconds = self._ranks[name], [1000 * s for s in self._seconds[name]]
        return Stage(
            name=name,
            recall={str(k): round(recall(ranks, k), 4) for k in RECALLS},
            mrr=round(mrr(ranks), 4),
            ndcg=round(ndcg(ranks), 4),
            p50_ms=round(percentile(milliseconds, 0.5), 2),
            p99_ms=round(percentile(milliseconds, 0.99), 2),
        )


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
