"""Questions in, the chunks that bear on them out: BM25 and cosine, each with its neighbours' share, in one score.

Both parts lie between 0 and 1 whatever the question: BM25 over the most that its wording could reach, and the cosine
(0 where it is negative). So a score means the same for every question, and one threshold tells when nothing bears on
it.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hcf_pipeline.rag.bm25 import Floats, LexicalIndex
from hcf_pipeline.rag.chunks import COLON
from hcf_pipeline.rag.dense import Ids, Mask
from hcf_pipeline.rag.encoder import Encoder
from hcf_pipeline.rag.index import EPOCH, NO_DATE, Index
from hcf_pipeline.settings import RetrievalSettings

CANDIDATES = 200  # of either side at least, whose fused scores are compared
SCALE_CHUNKS = 10_000


@dataclass(frozen=True)
class Line:
    """What one turn (or the part of it in the chunk) says."""

    turn: int
    label: str
    text: str


@dataclass(frozen=True)
class Hit:
    transcript: str
    date: datetime.date | None
    turns: tuple[int, int]  # first and last
    text: str  # labels kept, one turn after the other
    score: float  # 0 to 1
    chunk_id: str
    lines: tuple[Line, ...]


class Retriever:
    """One open index with its encoder; safe to share between threads, nothing is written."""

    def __init__(self, index: Index, encoder: Encoder, settings: RetrievalSettings) -> None:
        self._index = index
        self._encoder = encoder
        self._settings = settings

    @staticmethod
    def open(index: Path, encoder: Encoder, settings: RetrievalSettings, *, verified: bool = False) -> Retriever:
        """Raises ArtifactError when the index is damaged, or was made with another encoder.

        `verified` says that its bytes were compared with their checksums already.
        """
        return Retriever(Index(index, encoder.identity, encoder.dim, verified=verified), encoder, settings)

    @property
    def lexical(self) -> LexicalIndex:
        return self._index.lexical

    def search(
        self, question: str, k: int, since: datetime.date | None = None, until: datetime.date | None = None
    ) -> list[Hit]:
        """At most k chunks, best first. With `since` or `until` (both inclusive) undated broadcasts are left out.

        Raises EmptyText for a blank question.
        """
        rows, scores = self.rank(question, k, since, until)
        return [self._hit(row, score) for row, score in zip(rows.tolist(), scores.tolist(), strict=True)]

    def bears_on(self, hits: Sequence[Hit]) -> bool:
        """Whether the best hit reaches `threshold`; if not, the corpus has no answer and nothing should be cited."""
        return bool(hits) and hits[0].score >= self.threshold

    @property
    def threshold(self) -> float:
        return self._settings.min_score * self.scale

    @property
    def scale(self) -> float:
        """What `min_score` is multiplied with for this index: 1 where it holds `SCALE_CHUNKS`.

        The best of n scores that chance alone gives grows with log n. Measured on parts of one corpus: the score that
        95 % of the answerable questions reach was 0.117 at 300 chunks, 0.129 at 2,000 and 0.156 at 46,000.
        """
        return math.log1p(self._index.n_chunks) / math.log1p(SCALE_CHUNKS)

    def rank(
        self, question: str, k: int, since: datetime.date | None = None, until: datetime.date | None = None
    ) -> tuple[Ids, Floats]:
        """(rows of the index, scores) of at most k chunks, best first; equal ones in the order of their ids.

        What has no term of the question comes only by its vector: with dense_weight = 0, not at all.
        """
        weight = self._settings.dense_weight
        vector = self._encoder.encode_query(question)
        among = self._among(since, until)
        lexical = self._lexical(question)
        n = max(CANDIDATES, 10 * k)
        rows = _best(lexical, n, among)
        if weight > 0:
            rows = np.union1d(rows, self._index.nearest(vector, n, among))
        if not len(rows):
            return rows, lexical[:0]
        scores = (1 - weight) * lexical[rows]
        if weight > 0:
            scores = scores + weight * self._dense(vector, rows)
        order = np.lexsort((self._index.ids[rows], -scores))
        if self._settings.one_per_transcript:
            first = np.unique(self._index.transcripts[rows[order]], return_index=True)[1]
            order = order[np.sort(first)]
        order = order[:k]
        return rows[order], scores[order]

    def _lexical(self, question: str) -> Floats:
        """Share of the attainable BM25 for each row, with its neighbours'."""
        scores, best = self._index.lexical.scores(question, self._settings.k1, self._settings.b)
        share, joined = self._settings.neighbour_share, self._index.joined
        if best > 0:
            scores /= np.float32(best * (1 + 2 * share))
        around = scores * np.float32(1)
        around[1:] += share * scores[:-1] * joined
        around[:-1] += share * scores[1:] * joined
        return around

    def _dense(self, vector: Floats, rows: Ids) -> Floats:
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

    def _among(self, since: datetime.date | None, until: datetime.date | None) -> Mask | None:
        """The rows that may come out; None: all."""
        if since is None and until is None:
            return self._index.live
        days = self._index.days
        allowed: Mask = days != NO_DATE
        if self._index.live is not None:
            allowed &= self._index.live
        if since is not None:
            allowed &= days >= (since - EPOCH).days
        if until is not None:
            allowed &= days <= (until - EPOCH).days
        return allowed

    def _hit(self, row: int, score: float) -> Hit:
        transcript, date, chunk = self._index.row(row)
        return Hit(
            transcript=transcript,
            date=date,
            turns=(chunk.first_turn, chunk.last_turn),
            text=chunk.text,
            score=min(float(score), 1.0),
            chunk_id=chunk.chunk_id,
            lines=lines_of(chunk.text, chunk.turn_nos),
        )


def lines_of(text: str, turn_nos: Sequence[int]) -> tuple[Line, ...]:
    """The turns of a chunk's text, whose lines have the turn numbers given."""
    lines: list[Line] = []
    for no, line in zip(turn_nos, text.split("\n"), strict=True):
        if lines and lines[-1].turn == no:
            before = lines[-1]
            lines[-1] = Line(no, before.label, f"{before.text}\n{line}")
        else:
            label, _, said = line.partition(COLON)
            lines.append(Line(no, label, said))
    return tuple(lines)


def _best(scores: Floats, n: int, among: Mask | None) -> Ids:
    """The rows of the n largest scores above 0, and those that equal the last of them, in ascending order."""
    if among is not None:
        scores = np.where(among, scores, np.float32(0))
    least = np.partition(scores, len(scores) - n)[len(scores) - n] if n < len(scores) else 0
    return np.flatnonzero(scores >= least if least > 0 else scores > 0)
