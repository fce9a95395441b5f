"""The question's words at four widths: in the best passage of a chunk, in the chunk, around it, in its whole broadcast.

BM25 of a chunk alone loses an answer that stands beside the words of its question, and one that is three words in a
chunk of many. So what BM25 found is scored once more, at each width as a share of what the question could reach, and
the shares are added (SHARES). A pair of characters counts for half as much as one character here: at greater widths
most pairs that match belong together by chance.

Chosen on 1,216 questions by other people about broadcasts before 27 November 2023 (a linear ranker fitted on three
quarters of their days, tried on the fourth, then rounded): right broadcast first 0.56 → 0.59, among the first three
0.71 → 0.75, among the first ten 0.84 → 0.86. What added nothing: three and four characters in a row, host's and guest's
words apart, squared idf, a window of five or nine chunks beside that of three, passages of 60 or 200 characters.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hcf_pipeline.rag.arrays import Ids, Weights
from hcf_pipeline.rag.index.bm25 import WORD_WEIGHT, QueryTerms, of_words
from hcf_pipeline.rag.index.index import Index
from hcf_pipeline.rag.index.terms import occurrences

PAIR_WEIGHT = 0.5
PASSAGE_CHARS = 120
WORDS_PASSAGE = 60  # of a question in words alone: 180 letters
SHARES = {"passage": 0.3, "chunk": 0.15, "around": 0.35, "broadcast": 0.2}
N_PASSAGES = 64  # chunks whose text is read, those that are best at the other widths


class _Asked(NamedTuple):
    """A question's terms, with what each counts for."""

    terms: QueryTerms
    weights: Weights  # 1 in all
    k1: Weights
    b: Weights

    def share(self, counts: Weights, lengths: npt.NDArray[np.float64]) -> Weights:
        """BM25 as a share of what the question could reach; `lengths` as multiples of the mean, or one for all."""
        norms = self.k1 * (1 - self.b + self.b * lengths[:, None])
        share: Weights = np.einsum("ij,j->i", counts / (counts + np.maximum(norms, 1e-30)), self.weights)
        return share


class Widths:
    """Scores rows of one index for one question after the other; nothing is kept between them."""

    def __init__(self, index: Index, k1: float, b: float) -> None:
        self._index = index
        self._characters, self._words = (k1, b), of_words(k1, b)

    def scores(self, query_terms: QueryTerms, rows: Ids, n_passages: int = N_PASSAGES) -> Weights:
        """One score from 0 to 1 for each of some rows, which have to be in ascending order.

        Only the best `n_passages` by the other widths have their passages looked at; the rest go without that share.
        """
        weights = query_terms.idf * np.where(query_terms.is_pair, PAIR_WEIGHT, 1.0)
        weights *= np.where(query_terms.is_word, WORD_WEIGHT, 1.0)
        if not len(rows) or not weights.sum():
            return np.zeros(len(rows))
        weights /= weights.sum()
        k1, b = (np.where(query_terms.is_word, *both) for both in zip(self._words, self._characters, strict=True))
        asked = _Asked(query_terms, weights, k1, b)
        chunk, around = self._near(asked, rows)
        without = SHARES["chunk"] * chunk + SHARES["around"] * around
        without += SHARES["broadcast"] * self._broadcast(asked, rows)
        best = np.argsort(-without, kind="stable")[:n_passages]
        passage = np.zeros(len(rows))
        passage[best] = self._passage(asked, rows[best])
        return without + SHARES["passage"] * passage

    def _near(self, asked: _Asked, rows: Ids) -> tuple[Weights, Weights]:
        """(chunk, around) for each row: by itself, and with the row before and after where they belong to its broadcast."""
        index = self._index
        before = np.where((rows > 0) & (index.transcripts[rows - 1] == index.transcripts[rows]), rows - 1, -1)
        after = np.minimum(rows + 1, index.n_rows - 1)
        after = np.where((after > rows) & (index.transcripts[after] == index.transcripts[rows]), after, -1)
        wanted = np.unique(np.concatenate([[-1], before, rows, after]))[1:]
        counts = np.vstack([index.lexical.counts(asked.terms.matches, wanted), np.zeros((1, len(asked.weights)))])
        lengths = np.append(index.lexical.lengths[wanted], 0).astype(np.float64)
        own, left, right = (np.where(part < 0, -1, np.searchsorted(wanted, part)) for part in (rows, before, after))
        mean = index.lexical.mean_length
        chunk = asked.share(counts[own], lengths[own] / mean)
        near = lengths[left] + lengths[own] + lengths[right]
        return chunk, asked.share(counts[left] + counts[own] + counts[right], near / (3 * mean))

    def _broadcast(self, asked: _Asked, rows: Ids) -> Weights:
        broadcasts = self._index.broadcasts
        wanted, of_rows = np.unique(self._index.transcripts[rows], return_inverse=True)
        counts = broadcasts.counts(broadcasts.find(asked.terms.terms), wanted)
        share = asked.share(counts, broadcasts.lengths[wanted] / broadcasts.mean_length)
        shares: Weights = share[of_rows]
        return shares

    def _passage(self, asked: _Asked, rows: Ids) -> Weights:
        """The best window of a passage's length in each row, in steps of half of that."""
        step = (WORDS_PASSAGE if asked.terms.is_word.all() else PASSAGE_CHARS) // 2
        texts = [self._index.text(row) for row in rows.tolist()]
        owner, at, term = occurrences(texts, asked.terms.terms)
        n_terms = len(asked.weights)
        n_blocks = np.zeros(len(rows), dtype=np.int64)
        np.maximum.at(n_blocks, owner, at // step + 1)
        first = np.cumsum(n_blocks + 1) - n_blocks - 1  # with an empty block after each text
        n_cells = int((n_blocks + 1).sum())
        cells = (first[owner] + at // step) * n_terms + term
        counts = np.bincount(cells, minlength=n_cells * n_terms).reshape(n_cells, n_terms).astype(np.float64)
        counts[:-1] += counts[1:]
        counts[first + n_blocks] = 0
        shares = asked.share(counts, np.ones(1))
        best: Weights = np.maximum.reduceat(shares, first)
        return best
