"""BM25 over all segments of an index, as if it were one: only texts that are live count, wherever they lie.

k1 and b come with the question, so that they can change without a new index. Those of words are larger than those of
characters: a word that is said again tells more than a character that is, and a long chunk holds more of them by chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from hcf_pipeline.rag.arrays import Floats, Ids, Ints, Mask, Places, Weights
from hcf_pipeline.rag.index.lexical import LexicalSegment, Matches
from hcf_pipeline.rag.index.terms import compounds_of, is_pair, is_word, terms_of

WORD_WEIGHT = 2.0  # of a word beside characters: a name of two or three of these is as many terms, and their pairs
WORD_K1, WORD_B = 5 / 3, 15 / 8  # of words, as multiples of k1 and b; b is 1 at most (docs/retrieval.md)
USUAL_IDF, USUAL_TEXTS = 1.6, 20  # a few texts tell little of how usual a term is: as if so many more had told this
NO_NORM = np.float32(1e-30)  # with k1 = 0 a count of 0 is still worth 0, and no division fails


@dataclass(frozen=True)
class QueryTerms:
    """A question's terms, sorted, and what each segment holds of them."""

    terms: Ints
    idf: Weights  # log(1 + (n - df + 0.5) / (df + 0.5)), of few texts less different; a term never seen weighs most
    matches: Sequence[Matches]

    @property
    def is_pair(self) -> Mask:
        """Which terms are pairs of characters."""
        return is_pair(self.terms)

    @property
    def is_word(self) -> Mask:
        """Which terms are words."""
        return is_word(self.terms)


def of_words(k1: float, b: float) -> tuple[float, float]:
    """(k1, b) of words where those of characters are these."""
    return WORD_K1 * k1, min(WORD_B * b, 1.0)


class LexicalIndex:
    """Read only, safe to share between threads. `live[i]` tells which texts of segment i count; None: all.

    Texts are numbered over all segments in turn.
    """

    def __init__(self, segments: Sequence[LexicalSegment], live: Sequence[Mask | None]) -> None:
        self._segments = segments
        self._live = live
        lengths = [s.lengths if mask is None else s.lengths[mask] for s, mask in zip(segments, live, strict=True)]
        self.n_texts = sum(map(len, lengths))
        n_terms = sum(int(of_segment.sum(dtype=np.int64)) for of_segment in lengths)
        self.mean_length = n_terms / self.n_texts if n_terms else 1.0
        self.lengths: Places = np.concatenate([segment.lengths for segment in segments])
        """Terms of each text, repetitions included; also of those that are not live."""
        self._starts = np.cumsum([0, *(segment.n_texts for segment in segments)])
        self._norms = lru_cache(maxsize=4)(self._length_norms)

    def ask(self, question: str) -> QueryTerms:
        """The question's terms count once each, and so does what two words of it make where some text has that (MacBookPro)."""
        compounds = compounds_of(question)
        if len(compounds):
            compounds = compounds[self._n_docs(self.find(compounds), len(compounds)) > 0]
        return self.of_terms(np.union1d(terms_of(question), compounds))

    def of_terms(self, terms: Ints) -> QueryTerms:
        """Some sorted, distinct terms as those of a question."""
        matches = self.find(terms)
        return QueryTerms(terms, self._idf(matches, len(terms)), matches)

    def scores(self, query_terms: QueryTerms, k1: float, b: float) -> tuple[Floats, float]:
        """(BM25 of every text, what a text could reach at most); float32, those of texts that aren't live mean nothing.

        The maximum is the sum over the question's terms, known or not, of idf × (k1 + 1).
        """
        words = query_terms.is_word
        word_k1, word_b = of_words(k1, b)
        weights = query_terms.idf * np.where(words, WORD_WEIGHT * (word_k1 + 1), k1 + 1)
        norms = self._norms(k1, b)
        word_norms = self._norms(word_k1, word_b) if words.any() else norms
        parts = [
            _score(found, weights, words, *of_segment)
            for found, *of_segment in zip(query_terms.matches, norms, word_norms, strict=True)
        ]
        return np.concatenate(parts), float(weights.sum())

    def find(self, terms: Ints) -> list[Matches]:
        """What each segment holds of some sorted, distinct terms."""
        return [segment.find(terms) for segment in self._segments]

    def counts(self, matches: Sequence[Matches], texts: Ids) -> Weights:
        """How often each term stands in some texts, which have to be in ascending order; shape (len(texts), n_terms)."""
        counts = np.zeros((len(texts), len(matches[0].n_docs)))
        ends = np.searchsorted(texts, self._starts)
        for n, found in enumerate(matches):
            here = slice(ends[n], ends[n + 1])
            wanted = texts[here] - self._starts[n]
            place: Places = np.full(self._segments[n].n_texts, -1, dtype=np.int32)
            place[wanted] = np.arange(len(wanted))
            at = place[found.docs]
            kept = np.flatnonzero(at >= 0)
            counts[here][at[kept], found.term[kept]] = found.counts[kept]
            counts[here, found.common_term] = found.rows[:, wanted].T
        return counts

    def idf(self, terms: Ints) -> Weights:
        """Weight of each term, as in `QueryTerms`."""
        return self._idf(self.find(terms), len(terms))

    def _n_docs(self, matches: Sequence[Matches], n_terms: int) -> Ints:
        n_docs = np.zeros(n_terms, dtype=np.int64)
        for found, live in zip(matches, self._live, strict=True):
            n_docs += found.n_docs if live is None else _live_docs(found, live)
        return n_docs

    def rarity(self, terms: Ints) -> Weights:
        """The idf of each term as these texts alone tell it."""
        return self._rarity(self.find(terms), len(terms))

    def _rarity(self, matches: Sequence[Matches], n_terms: int) -> Weights:
        n_docs = self._n_docs(matches, n_terms)
        rarity: Weights = np.log1p((self.n_texts - n_docs + 0.5) / (n_docs + 0.5))
        return rarity

    def _idf(self, matches: Sequence[Matches], n_terms: int) -> Weights:
        idf = self._rarity(matches, n_terms)
        return (self.n_texts * idf + USUAL_TEXTS * USUAL_IDF) / (self.n_texts + USUAL_TEXTS)

    def _length_norms(self, k1: float, b: float) -> list[Floats]:
        norms = [k1 * (1 - b + b * np.asarray(s.lengths) / self.mean_length) for s in self._segments]
        return [np.maximum(of_segment, NO_NORM).astype(np.float32) for of_segment in norms]


def _live_docs(found: Matches, live: Mask) -> Ints:
    dead = found.term[~live[found.docs]]
    n_docs: Ints = found.n_docs - np.bincount(dead, minlength=len(found.n_docs))
    for term, row in zip(found.common_term.tolist(), found.rows, strict=True):
        n_docs[term] = np.count_nonzero(np.logical_and(row, live))
    return n_docs


def _score(found: Matches, weights: Weights, words: Mask, norms: Floats, word_norms: Floats) -> Floats:
    """Shape (texts of the segment,). Summed in float64, where adding float32 is exact: so the order of the terms, which
    depends on the segment, leaves no trace, and equal texts have equal scores in all segments.
    """
    factors = weights.astype(np.float32)
    counts = found.counts.astype(np.float32)
    of_docs = norms[found.docs]
    if word_norms is not norms:
        of_word = np.flatnonzero(words[found.term])
        of_docs[of_word] = word_norms[found.docs[of_word]]
    worth = factors[found.term] * counts / (counts + of_docs)
    total = np.bincount(found.docs, weights=worth, minlength=len(norms)).astype(np.float64)  # int64 of no postings
    for factor, of_word, row in zip(factors[found.common_term], words[found.common_term], found.rows, strict=True):
        counts = row.astype(np.float32)
        below = counts + (word_norms if of_word else norms)
        counts *= factor
        counts /= below
        total += counts
    return total.astype(np.float32)
