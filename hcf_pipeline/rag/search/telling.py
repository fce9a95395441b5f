"""The terms that set some texts apart from the rest of the corpus: those of a day, of a month, of one broadcast."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hcf_pipeline.rag.arrays import Ids, Ints, Mask, Weights
from hcf_pipeline.rag.index.bm25 import LexicalIndex, QueryTerms
from hcf_pipeline.rag.index.terms import SHIFT, terms_in, units_of

N_TERMS = 24
MOST_ROWS = 200  # chunks of a time that are looked at, evenly spread


def telling(lexical: LexicalIndex, texts: Sequence[str], n: int) -> tuple[Ints, Weights, Mask]:
    """(terms, weights, which text holds which) of the n terms that set some texts apart: said in more of them than elsewhere.

    A term's weight is the number of texts that hold it, times how much more usual it is there, in nats. Words and pairs of
    characters only; the terms are sorted, the mask has shape (len(texts), n terms).
    """
    units = units_of(texts)
    found, at = terms_in(units)
    owners = units.owners[at]
    kept = found >> SHIFT > 0  # no single characters
    keys, times = np.unique(np.stack([found[kept], owners[kept]]), axis=1, return_counts=True)
    terms, first, n_texts = np.unique(keys[0], return_index=True, return_counts=True)
    often = np.add.reduceat(times, first) > 1 if len(first) else n_texts > 0
    often |= not often.any()  # nothing is said twice
    here = np.log(len(texts) / n_texts[often])
    apart = n_texts[often] * np.maximum(lexical.rarity(terms[often]) - here, 0.0)
    if not apart.any():  # there is nothing else
        apart = n_texts[often] * np.maximum(here, 1e-3)
    best = np.sort(np.argsort(-apart, kind="stable")[:n])
    chosen = np.flatnonzero(often)[best]
    holds = np.zeros((len(texts), len(chosen)), dtype=np.bool_)
    for place, term in enumerate(chosen.tolist()):
        holds[keys[1, first[term] : first[term] + n_texts[term]], place] = True
    weights: Weights = apart[best].astype(np.float64)
    return terms[chosen], weights, holds


def telling_terms(lexical: LexicalIndex, texts: Sequence[str]) -> QueryTerms:
    """What a time is asked for with, where chunks of it are searched."""
    terms, _, _ = telling(lexical, texts, N_TERMS)
    return lexical.of_terms(terms)


def evenly(rows: Ids, n: int) -> Ids:
    """At most n of some rows, evenly spread."""
    return rows[:: max(1, -(-len(rows) // n))]
