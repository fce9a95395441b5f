"""Questions in, the chunks that bear on them out: words at four widths (widths.py) and cosine in one score.

Both parts lie between 0 and 1 whatever the question: a share of the most that its wording could reach, and the cosine on
the encoder's own scale (cosines.py). What lies outside the time that a question names (去年, 2024年5月) counts for less. Whether
anything bears on the question at all, is told by evidence.py.
"""

from __future__ import annotations

import copy
import datetime
import math
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from hcf_pipeline.rag.arrays import Floats, Ids, Mask, Vectors, Weights
from hcf_pipeline.rag.chunking.lines import Line
from hcf_pipeline.rag.encode.encoder import Encoder
from hcf_pipeline.rag.index.bm25 import USUAL_TEXTS, LexicalIndex, QueryTerms
from hcf_pipeline.rag.index.index import Index
from hcf_pipeline.rag.search.dates import mentions_in
from hcf_pipeline.rag.search.days import Days
from hcf_pipeline.rag.search.duplicates import originals
from hcf_pipeline.rag.search.evidence import N_HITS, evidence
from hcf_pipeline.rag.search.fusion import Fusion
from hcf_pipeline.rag.search.hits import Hit
from hcf_pipeline.rag.search.only_when import asks_only_when
from hcf_pipeline.rag.search.overview import Broadcast, overview
from hcf_pipeline.rag.search.periods import EVER, Mention, Period, Span
from hcf_pipeline.rag.search.query import Query, read
from hcf_pipeline.rag.search.telling import MOST_ROWS, evenly, telling_terms
from hcf_pipeline.rag.search.widths import N_PASSAGES, Widths
from hcf_pipeline.settings import RetrievalSettings
from hcf_pipeline.text import well_formed

CANDIDATES = 200  # of the lexical side at least, whose scores are compared; half as many of the dense one
SHORT = 4  # times that the date factor counts for a day or a week
SPARE = 2  # times k that are looked through for near-duplicates
SCALE_CHUNKS = 10_000
CERTAIN = 1.0  # the evidence score of a question that any broadcast of its time answers
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
        self,
        index: Index,
        encoder: Encoder,
        settings: RetrievalSettings,
        reranker: Reranks | None = None,
        fusion: Fusion | None = None,
    ) -> None:
        """`fusion` is what "auto" stands for; without it the defaults."""
        self.fusion = Fusion.of(settings, fusion)
        self._index = index
        self._encoder = encoder
        self._settings = settings
        self._reranker = reranker
        self._widths = Widths(index, settings.k1, settings.b)
        self.days = Days(index)

    @staticmethod
    def open(
        index: Path,
        encoder: Encoder,
        settings: RetrievalSettings,
        reranker: Reranks | None = None,
        *,
        verified: bool = False,
        fusion: Fusion | None = None,
    ) -> Retriever:
        """Raises ArtifactError when the index is damaged, or was made with another encoder.

        `verified` says that its bytes were compared with their checksums already.
        """
        opened = Index(index, encoder.identity, encoder.dim, verified=verified)
        return Retriever(opened, encoder, settings, reranker, fusion)

    def fused_by(self, fusion: Fusion) -> Retriever:
        """The same with other numbers for "auto"."""
        other = copy.copy(self)
        other.fusion = Fusion.of(self._settings, fusion)
        return other

    @property
    def index(self) -> Index:
        return self._index

    @property
    def lexical(self) -> LexicalIndex:
        return self._index.lexical

    def query(
        self, text: str, today: datetime.date | None = None, span: Span = EVER, names: Sequence[str] = ()
    ) -> Query:
        """A question, read once for all that is done with it. `span` is what it is searched in, `names` who is asked.

        去年 and 上个月 are meant from `today`; without it from `[retrieval] today`, else from the newest broadcast's day: no
        clock is read here. Raises EmptyText for a blank question.
        """
        text = well_formed(text)
        began = time.perf_counter()
        vector = self._encoder.encode_query(text)
        encoding_s = time.perf_counter() - began
        day = today or self._settings.today or self.days.newest()
        named = [] if self._settings.date_factor == 1 else mentions_in(text, day, self.days.newest(day))
        there_is = [mention for mention in named if self.days.within(*mention.period).any()]
        query = read(text, there_is, vector, self._index.lexical, encoding_s)
        return self._asked_with_its_words(query, named, span, names)

    def _asked_with_its_words(self, query: Query, named: Sequence[Mention], span: Span, names: Sequence[str]) -> Query:
        """A question that is only about a time has the words of that time for its terms; any other is as it was.

        `named` are its words for a time, also for one that there is no broadcast of.
        """
        if not (named or any(span)) or not asks_only_when(query.text, named, names):
            return query
        since, until = span
        periods = tuple(mention.period for mention in named) or (
            Period(since or datetime.date.min, until or datetime.date.max),
        )
        query = replace(query, periods=periods, asks_little=True, asks_only_when=True)
        rows = evenly(self.days.rows_of(periods, span), MOST_ROWS)
        if not len(rows):
            return query
        terms = telling_terms(self._index.lexical, [self._index.text(row) for row in rows.tolist()])
        return replace(query, terms=terms, names_time=np.zeros(len(terms.terms), dtype=np.bool_))

    def overview(self, query: Query, span: Span, host_labels: Collection[str]) -> list[Broadcast]:
        """What the time of a question was about that asks for nothing else."""
        rows = self.days.rows_of(query.periods, span)
        return overview(self._index, rows, host_labels) if len(rows) else []

    def search(
        self,
        question: str | Query,
        k: int,
        since: datetime.date | None = None,
        until: datetime.date | None = None,
        *,
        one_per_transcript: bool | None = None,
    ) -> list[Hit]:
        """At most k chunks, best first. With `since` or `until` (both inclusive) undated broadcasts are left out.

        With `one_per_transcript` (default: the setting) there are k unless fewer broadcasts have a term of the question or
        come near it. With a reranker the first ones are in its order, and keep the scores by which they were found.
        """
        query = self.query(question) if isinstance(question, str) else question
        apart = self._settings.one_per_transcript if one_per_transcript is None else one_per_transcript
        n = n_candidates = self.n_read(k)
        while True:
            found = self.candidates(query, n_candidates, since, until)
            hits = self.hits(found, found.scores(self.fusion.dense_weight.value), n, one_per_transcript=apart)
            if not one_per_transcript or len(hits) >= n or n_candidates >= self._index.n_rows:
                return self.reranked(query, hits)[:k]
            n_candidates *= 4  # many chunks of few broadcasts

    def n_read(self, k: int) -> int:
        """How many hits `search` looks at for k of them: with a reranker at least those that it reads."""
        return max(k, self._settings.rerank_top) if self._reranker else k

    def hits(self, found: Candidates, scores: Weights, n: int, *, one_per_transcript: bool | None = None) -> list[Hit]:
        """The first n candidates by some scores, near-duplicates merged into the best of them."""
        apart = self._settings.one_per_transcript if one_per_transcript is None else one_per_transcript
        rows, best = self.best(found, scores, SPARE * n, one_per_transcript=apart)
        return self._merged(rows.tolist(), best.tolist(), n)

    def reranked(self, query: Query, hits: list[Hit]) -> list[Hit]:
        """The hits in the reranker's order; as they are where there is none."""
        if not self._reranker or not hits:
            return hits
        opinion = self._reranker.scores(query.text, [hit.text for hit in hits])
        return [hits[at] for at in np.argsort(-opinion, kind="stable").tolist()]

    def bears_on(self, query: Query, hits: Sequence[Hit]) -> bool:
        """Whether the corpus says anything about a question, by its hits; if not, nothing should be cited.

        With `min_score` = 0 any hit is enough.
        """
        evidence = self.evidence(query, hits)
        return evidence >= (self.fusion.min_score.value or -math.inf) and evidence > -math.inf

    def evidence(self, query: Query, hits: Sequence[Hit]) -> float:
        """The evidence score of a question's hits, whatever their order, see evidence.py; -inf where there are none."""
        if not hits:
            return -math.inf
        if query.asks_little:
            return CERTAIN
        everywhere, named = self._scales(query)
        found = [(hit.score / (named if query.names(hit.date) else everywhere), hit.words) for hit in hits]
        found.sort(key=lambda one: -one[0])
        query_terms, idf = query.terms.terms[query.characters], query.terms.idf[query.characters]
        return evidence(query_terms, idf, [text for _, text in found[:N_HITS]], found[0][0])

    def _scales(self, query: Query) -> tuple[float, float]:
        """What scores are divided by: those of any hit, and those of one in the time that the question names.

        The best of one day's few chunks scores less than the best of all, so that a question which names the right day
        would be refused where without it it is not. Halfway between the scales of both as few of these are refused as
        without the day, and as many of those that have no answer (docs/retrieval.md).
        """
        if not query.periods:
            return self.scale, self.scale
        return self.scale, (self.scale + _scale(int(self.days.named(query.periods).sum()))) / 2

    @property
    def scale(self) -> float:
        """What scores are divided by for this index: 1 where it holds `SCALE_CHUNKS`; of a few chunks no less than of some."""
        return _scale(self._index.n_chunks + USUAL_TEXTS)

    def candidates(
        self, query: Query, k: int, since: datetime.date | None = None, until: datetime.date | None = None
    ) -> Candidates:
        """What both sides bring for a question, enough of it for the first k.

        What has no term of the question comes only by its vector: where dense_weight is set to 0, not at all.
        """
        started = time.perf_counter()
        with_dense = self._settings.dense_weight != 0
        n = max(CANDIDATES, 10 * k)
        among, factors = self._among(query, since, until)
        nearest = self._index.nearest(query.vector, n // 2, among) if with_dense else np.empty(0, np.int64)
        near = time.perf_counter()
        lexical = self._lexical(query.terms)
        if factors is not None:
            lexical *= factors
        by_words = _best(lexical, n, among)
        rows = np.union1d(by_words, nearest)
        words = self._widths.scores(query.terms, rows, max(N_PASSAGES, 3 * k))
        counted = time.perf_counter()
        dense = self._dense(query.vector, rows) if with_dense and len(rows) else None
        return Candidates(
            rows=rows,
            lexical=words,
            dense=dense,
            by_words=np.isin(rows, by_words, assume_unique=True),
            factor=factors[rows].astype(np.float64) if factors is not None else np.ones(len(rows)),
            lexical_s=counted - near,
            dense_s=query.encoding_s + near - started + time.perf_counter() - counted,
        )

    def best(self, found: Candidates, scores: Weights, n: int, *, one_per_transcript: bool) -> tuple[Ids, Weights]:
        """(rows, scores) of at most n candidates, best first; equal ones in the order of their ids.

        A score below 0 leaves a candidate out.
        """
        order = np.lexsort((self._index.ids[found.rows], -scores))
        order = order[scores[order] >= 0]
        if one_per_transcript:
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

    def _lexical(self, query_terms: QueryTerms) -> Floats:
        """Share of the attainable BM25 for each row, with its neighbours'."""
        scores, best = self._index.lexical.scores(query_terms, self._settings.k1, self._settings.b)
        share = self._settings.neighbour_share
        if best > 0:
            scores /= np.float32(best * (1 + 2 * share))
        return self._index.with_neighbours(scores, share)

    def _dense(self, vector: Vectors, rows: Ids) -> Floats:
        """The cosine of each of some rows on the encoder's own scale, with its neighbours'."""
        share, joined, last = self._settings.neighbour_share, self._index.joined, self._index.n_rows - 1
        before, after = np.maximum(rows - 1, 0), np.minimum(rows + 1, last)
        wanted, places = np.unique(np.concatenate([rows, before, after]), return_inverse=True)
        products = np.einsum("ij,j->i", self._index.vectors(wanted), vector)  # no BLAS: its threads wait for each other
        scores = self._index.scale.scores(products)
        own, left, right = (scores[part] for part in np.split(places, 3))
        has_left = (rows > 0) & joined[np.maximum(rows - 1, 0)] if last else np.zeros(len(rows), np.bool_)
        has_right = (rows < last) & joined[np.minimum(rows, last - 1)] if last else has_left
        fused: Floats = ((own + share * (left * has_left + right * has_right)) / (1 + 2 * share)).astype(np.float32)
        return fused

    def _among(
        self, query: Query, since: datetime.date | None, until: datetime.date | None
    ) -> tuple[Mask | None, Floats | None]:
        """(the rows that may come out, None: all; what each row's score is multiplied with, None: nothing)."""
        allowed = self._index.live if since is None and until is None else self.days.within(since, until)
        factors = self._by_time(query.periods)
        if factors is None or (self._settings.date_factor > 0 and not query.asks_little):
            return allowed, factors
        named = factors == 1
        return (named if allowed is None else named & allowed), None

    def _by_time(self, periods: Sequence[Period]) -> Floats | None:
        """What each row is worth for some periods: 1 within them, the date factor outside; None where there are none.

        The factor counts `SHORT` times where the time is a day or a week: that is when it was said, where a year may be
        the one that is told of.
        """
        if not periods:
            return None
        outside = self._settings.date_factor ** min(SHORT if period.is_short else 1 for period in periods)
        return np.where(self.days.named(periods), np.float32(1), np.float32(outside))

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


def _scale(n_chunks: int) -> float:
    """The best of n scores that chance alone gives grows with log n."""
    return math.log1p(n_chunks) / math.log1p(SCALE_CHUNKS)


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
