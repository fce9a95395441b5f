"""Questions in, the chunks that bear on them out: words at four widths (widths.py) and cosine in one score.

Both parts lie between 0 and 1 whatever the question: a share of the most that its wording could reach, and the cosine
(0 where it is negative). What lies outside the time that a question names (去年, 2024年5月) counts for less. Whether
anything bears on the question at all, is told by evidence.py.
"""

from __future__ import annotations

import datetime
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from hcf_pipeline.rag.arrays import Floats, Ids, Mask, Vectors, Weights
from hcf_pipeline.rag.bm25 import Asked, LexicalIndex
from hcf_pipeline.rag.dates import periods_in
from hcf_pipeline.rag.duplicates import originals
from hcf_pipeline.rag.encoder import Encoder
from hcf_pipeline.rag.evidence import N_HITS, evidence
from hcf_pipeline.rag.hits import Hit
from hcf_pipeline.rag.index import EPOCH, NO_DATE, Index
from hcf_pipeline.rag.lines import Line
from hcf_pipeline.rag.widths import N_PASSAGES, Widths
from hcf_pipeline.settings import RetrievalSettings

CANDIDATES = 200  # of the lexical side at least, whose scores are compared; half as many of the dense one
SHORT = 4  # times that the date factor counts for a day or a week
SPARE = 2  # times k that are looked through for near-duplicates
SCALE_CHUNKS = 10_000
STRETCH = 64  # scores whose largest one is looked at first, so that few of them have to be brought into order


class Reranks(Protocol):
    def scores(self, question: str, texts: Sequence[str]) -> npt.NDArray[np.float32]: ...


@dataclass(frozen=True)
class Candidates:
    """The rows that were compared for one question, in ascending order, with the parts of their scores."""

    rows: Ids
    lexical: Weights
    dense: Floats | None  # None: the dense side was not asked
    by_words: Mask  # which of them the lexical side brought
    factor: Weights  # below 1 outside the time that the question names
    lexical_s: float
    dense_s: float  # encoding the question included

    def scores(self, dense_weight: float) -> Weights:
        if self.dense is None:
            return self.lexical * self.factor
        fused: Weights = ((1 - dense_weight) * self.lexical + dense_weight * self.dense) * self.factor
        return fused


class Retriever:
    """One open index with its encoder; safe to share between threads, nothing is written."""

    def __init__(
        self, index: Index, encoder: Encoder, settings: RetrievalSettings, reranker: Reranks | None = None
    ) -> None:
        self._index = index
        self._encoder = encoder
        self._settings = settings
        self._reranker = reranker
        self._widths = Widths(index, settings.k1, settings.b)

    @staticmethod
    def open(
        index: Path,
        encoder: Encoder,
        settings: RetrievalSettings,
        reranker: Reranks | None = None,
        *,
        verified: bool = False,
    ) -> Retriever:
        """Raises ArtifactError when the index is damaged, or was made with another encoder.

        `verified` says that its bytes were compared with their checksums already.
        """
        return Retriever(Index(index, encoder.identity, encoder.dim, verified=verified), encoder, settings, reranker)

    @property
    def index(self) -> Index:
        return self._index

    @property
    def lexical(self) -> LexicalIndex:
        return self._index.lexical

    def search(
        self, question: str, k: int, since: datetime.date | None = None, until: datetime.date | None = None
    ) -> list[Hit]:
        """At most k chunks, best first. With `since` or `until` (both inclusive) undated broadcasts are left out.

        With a reranker the first ones are in its order, and keep the scores by which they were found.
        Raises EmptyText for a blank question.
        """
        n = max(k, self._settings.rerank_top) if self._reranker else k
        found = self.candidates(question, n, since, until)
        rows, scores = self.best(found, found.scores(self._settings.dense_weight), SPARE * n)
        hits = self._merged(rows.tolist(), scores.tolist(), n)
        if self._reranker and hits:
            opinion = self._reranker.scores(question, [hit.text for hit in hits])
            hits = [hits[at] for at in np.argsort(-opinion, kind="stable").tolist()]
        return hits[:k]

    def bears_on(self, question: str, hits: Sequence[Hit]) -> bool:
        """Whether the corpus says anything about a question, by its hits; if not, nothing should be cited."""
        return self.is_enough(self.evidence(question, [(hit.score, hit.words) for hit in hits]))

    def is_enough(self, evidence: float) -> bool:
        """With `min_score` = 0 any hit is."""
        return evidence >= (self._settings.min_score or -math.inf) and evidence > -math.inf

    def evidence(self, question: str, found: Sequence[tuple[float, str]]) -> float:
        """What (score, words) of a question's hits are worth together, see evidence.py; -inf where there are none."""
        if not found:
            return -math.inf
        best = sorted(found, key=lambda one: -one[0])[:N_HITS]
        return evidence(self._index.lexical.ask(question), [text for _, text in best], best[0][0] / self.scale)

    @property
    def scale(self) -> float:
        """What scores are divided by for this index: 1 where it holds `SCALE_CHUNKS`.

        The best of n scores that chance alone gives grows with log n.
        """
        return math.log1p(self._index.n_chunks) / math.log1p(SCALE_CHUNKS)

    def candidates(
        self, question: str, k: int, since: datetime.date | None = None, until: datetime.date | None = None
    ) -> Candidates:
        """What both sides bring for a question, enough of it for the first k.

        What has no term of the question comes only by its vector: with dense_weight = 0, not at all.
        """
        started = time.perf_counter()
        with_dense = self._settings.dense_weight > 0
        n = max(CANDIDATES, 10 * k)
        among, factors = self._among(question, since, until)
        vector = self._encoder.encode_query(question)
        nearest = self._index.nearest(vector, n // 2, among) if with_dense else np.empty(0, np.int64)
        encoded = time.perf_counter()
        asked = self._index.lexical.ask(question)
        lexical = self._lexical(asked)
        if factors is not None:
            lexical *= factors
        by_words = _best(lexical, n, among)
        rows = np.union1d(by_words, nearest)
        words = self._widths.scores(asked, rows, max(N_PASSAGES, 3 * k))
        counted = time.perf_counter()
        dense = self._dense(vector, rows) if with_dense and len(rows) else None
        return Candidates(
            rows=rows,
            lexical=words,
            dense=dense,
            by_words=np.isin(rows, by_words, assume_unique=True),
            factor=factors[rows].astype(np.float64) if factors is not None else np.ones(len(rows)),
            lexical_s=counted - encoded,
            dense_s=encoded - started + time.perf_counter() - counted,
        )

    def best(self, found: Candidates, scores: Weights, n: int) -> tuple[Ids, Weights]:
        """(rows, scores) of at most n candidates, best first; equal ones in the order of their ids.

        A score below 0 leaves a candidate out.
        """
        order = np.lexsort((self._index.ids[found.rows], -scores))
        order = order[scores[order] >= 0]
        if self._settings.one_per_transcript:
            first = np.unique(self._index.transcripts[found.rows[order]], return_index=True)[1]
            order = order[np.sort(first)]
        order = order[:n]
        return found.rows[order], scores[order]

    def around(self, hit: Hit, n_turns: int) -> tuple[tuple[Line, ...], tuple[Line, ...]]:
        """(the last turns before a hit, the first turns after it), at most `n_turns` each, of the chunks beside it."""
        before, after = self._index.beside(hit.row)
        first, last = hit.turns
        lines_before = [line for line in before.lines if line.turn < first] if before else []
        lines_after = [line for line in after.lines if line.turn > last] if after else []
        return tuple(lines_before[max(len(lines_before) - n_turns, 0) :]), tuple(lines_after[:n_turns])

    def _lexical(self, asked: Asked) -> Floats:
        """Share of the attainable BM25 for each row, with its neighbours'."""
        scores, best = self._index.lexical.scores(asked, self._settings.k1, self._settings.b)
        share, joined = self._settings.neighbour_share, self._index.joined
        if best > 0:
            scores /= np.float32(best * (1 + 2 * share))
        around = scores * np.float32(1)
        around[1:] += share * scores[:-1] * joined
        around[:-1] += share * scores[1:] * joined
        return around

    def _dense(self, vector: Vectors, rows: Ids) -> Floats:
        """Cosine for each of some rows, with its neighbours'."""
        share, joined, last = self._settings.neighbour_share, self._index.joined, self._index.n_rows - 1
        before, after = np.maximum(rows - 1, 0), np.minimum(rows + 1, last)
        wanted, places = np.unique(np.concatenate([rows, before, after]), return_inverse=True)
        products = np.einsum("ij,j->i", self._index.vectors(wanted), vector)  # no BLAS: its threads wait for each other
        cosines = np.maximum(products, 0)
        own, left, right = (cosines[part] for part in np.split(places, 3))
        has_left = (rows > 0) & joined[np.maximum(rows - 1, 0)] if last else np.zeros(len(rows), np.bool_)
        has_right = (rows < last) & joined[np.minimum(rows, last - 1)] if last else has_left
        fused: Floats = (own + share * (left * has_left + right * has_right)) / (1 + 2 * share)
        return fused

    def _among(
        self, question: str, since: datetime.date | None, until: datetime.date | None
    ) -> tuple[Mask | None, Floats | None]:
        """(the rows that may come out, None: all; what each row's score is multiplied with, None: nothing)."""
        days, live = self._index.days, self._index.live
        allowed = None if since is None and until is None else _within(days, since, until)
        if allowed is not None and live is not None:
            allowed &= live
        factors = self._by_time(question)
        if factors is None or self._settings.date_factor > 0:
            return (live if allowed is None else allowed), factors
        named = factors > 0
        return (named if allowed is None else named & allowed), None

    def _by_time(self, question: str) -> Floats | None:
        """What each row is worth for the time that the question names: 1 within it, the date factor outside.

        The factor counts `SHORT` times where the time is a day or a week: that is when it was said, where a year may be
        the one that is told of. None where no time is named, or none that there is a broadcast of.
        """
        if self._settings.date_factor == 1:
            return None
        days, live = self._index.days, self._index.live
        if live is not None:
            days = np.where(live, days, NO_DATE)
        newest = EPOCH + datetime.timedelta(int(days.max())) if days.max() != NO_DATE else None
        inside = np.zeros(len(days), dtype=np.bool_)
        outside: list[float] = []
        for period in periods_in(question, self._settings.today or datetime.date.today(), newest):
            within = _within(days, *period)
            if within.any():
                inside |= within
                outside.append(self._settings.date_factor ** (SHORT if period.is_short else 1))
        return np.where(inside, np.float32(1), np.float32(max(outside))) if outside else None

    def _merged(self, rows: Sequence[int], scores: Sequence[float], k: int) -> list[Hit]:
        """The first k of some rows that repeat none before; each hit knows where it is repeated."""
        repeated: dict[int, list[int]] = {}
        for n, original in enumerate(originals([self._index.text(row) for row in rows])):
            if original in repeated:
                repeated[original].append(rows[n])
            elif len(repeated) < k:
                repeated[original] = []
        hits = [(self._hit(rows[n], scores[n]), others) for n, others in repeated.items()]
        return [replace(hit, also=tuple(self._hit(row, 0).place for row in others)) for hit, others in hits]

    def _hit(self, row: int, score: float) -> Hit:
        transcript, date, chunk = self._index.row(row)
        return Hit(
            transcript=transcript,
            date=date,
            turns=(chunk.first_turn, chunk.last_turn),
            lines=chunk.lines,
            score=min(float(score), 1.0),
            chunk_id=chunk.chunk_id,
            row=row,
        )


def _within(days: npt.NDArray[np.int32], since: datetime.date | None, until: datetime.date | None) -> Mask:
    within: Mask = days != NO_DATE
    if since is not None:
        within &= days >= (since - EPOCH).days
    if until is not None:
        within &= days <= (until - EPOCH).days
    return within


def _best(scores: Floats, n: int, among: Mask | None) -> Ids:
    """The rows of the n largest scores above 0, and those that equal the last of them, in ascending order."""
    if among is not None:
        scores = np.where(among, scores, np.float32(0))
    best = np.flatnonzero(scores >= _at_most_least(scores, n))
    least = np.partition(scores[best], len(best) - n)[len(best) - n] if n < len(best) else 0
    return np.flatnonzero(scores >= least if least > 0 else scores > 0)


def _at_most_least(scores: Floats, n: int) -> np.float32:
    """A number that at least n scores reach, if there are so many above 0, and hardly more: that the n best stretches do."""
    stretches = scores[: len(scores) // STRETCH * STRETCH].reshape(-1, STRETCH).max(axis=1)
    if n >= len(stretches):
        return np.float32(0)
    reached: np.float32 = np.partition(stretches, len(stretches) - n)[len(stretches) - n]
    return reached
