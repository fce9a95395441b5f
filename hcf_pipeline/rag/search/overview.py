"""What a time was about: for each broadcast of it the exchanges that stand for it, in the order in which they were said.

A broadcast is cut into as many stretches as exchanges are wanted, and each stretch gives one: the chunk whose host says most
of what sets the broadcast apart, by its words (telling.py, over the host's words alone) and by the direction in which
the mean of its vectors leaves that of the corpus. What was taken already counts for less, so that the next one is about
something else. Some 50 ms a broadcast.
"""

from __future__ import annotations

import datetime
from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np

from hcf_pipeline.rag.arrays import Ids, Ints, Vectors, Weights
from hcf_pipeline.rag.chunking.chunks import Chunk
from hcf_pipeline.rag.chunking.lines import words_of
from hcf_pipeline.rag.index.bm25 import QueryTerms
from hcf_pipeline.rag.index.index import Index
from hcf_pipeline.rag.index.terms import terms_of
from hcf_pipeline.rag.search.hits import Hit
from hcf_pipeline.rag.search.quotes import Quote, best_quotes
from hcf_pipeline.rag.search.telling import evenly, telling

MAX_BROADCASTS = 31  # that are named: all of a month; of a longer time so many, evenly spread
EXCHANGES = ((1, 5), (3, 3), (7, 2))  # up to so many broadcasts so many exchanges of each; one of each of more
N_TERMS = 64  # that tell a broadcast from others
VECTOR = 0.5  # of the best exchange's weight by words: what the one that its vector speaks for best gets beside
TAKEN = 0.25  # what a term still counts that another exchange has
LOOKED_AT = 6  # chunks of those, for the quotation that tells most
SAMPLE = 4096  # chunks, evenly spread, whose mean vector is the corpus's


@dataclass(frozen=True)
class Passage:
    """An exchange, and the host's words in it that tell most; None where there are none."""

    hit: Hit
    quote: Quote | None


@dataclass(frozen=True)
class Broadcast:
    transcript: str
    date: datetime.date | None
    passages: tuple[Passage, ...]


def overview(index: Index, rows: Ids, host_labels: Collection[str]) -> list[Broadcast]:
    """At most MAX_BROADCASTS of the broadcasts that some rows are of, by date.

    The quotations are numbered over all passages, from 1.
    """
    transcripts, first = np.unique(index.transcripts[rows], return_index=True)
    order = np.lexsort((transcripts, index.days[rows[first]]))
    n = len(order)
    named = order[np.unique(np.linspace(0, n - 1, min(n, MAX_BROADCASTS)).round().astype(np.int64))]
    each = next((exchanges for most, exchanges in EXCHANGES if len(named) <= most), 1)
    mean = _mean(index)
    found: list[Broadcast] = []
    n_passages = 0
    for number in transcripts[named].tolist():
        here = rows[index.transcripts[rows] == number]
        passages = tuple(_passages(index, here, host_labels, each, mean, n_passages))
        n_passages += len(passages)
        found.append(Broadcast(passages[0].hit.transcript, passages[0].hit.date, passages))
    return found


def _mean(index: Index) -> Vectors:
    mean: Vectors = index.vectors(evenly(index.live_rows, SAMPLE)).mean(axis=0)
    return mean


def _passages(
    index: Index, rows: Ids, host_labels: Collection[str], n: int, mean: Vectors, n_before: int
) -> list[Passage]:
    chunks = [index.row(row) for row in rows.tolist()]
    said = [words_of(line for line in chunk.lines if line.label in host_labels) for _, _, chunk in chunks]
    if not any(said):
        said = [words_of(chunk.lines) for _, _, chunk in chunks]
    terms, weights, holds = telling(index.lexical, said, N_TERMS)
    nearness = _nearness(index.vectors(rows), mean)
    most = max(float((holds @ weights).max(initial=0.0)), 1e-9)
    n = min(n, len(chunks))
    stretches = np.arange(len(chunks)) * n // len(chunks)
    is_open = np.ones(len(chunks), dtype=np.bool_)
    found: list[Passage] = []
    while is_open.any():
        value = np.where(is_open, holds @ weights / most + VECTOR * nearness, -1.0)
        best = np.argsort(-value, kind="stable")[: min(LOOKED_AT, int(is_open.sum()))].tolist()
        passages = [_passage(chunks[at], int(rows[at]), QueryTerms(terms, weights, ()), host_labels) for at in best]
        told = [value[at] + _told(one.quote, terms, weights) / most for at, one in zip(best, passages, strict=True)]
        chosen = int(np.argmax(told))
        found.append(passages[chosen])
        weights = np.where(holds[best[chosen]], weights * TAKEN, weights)
        is_open &= stretches != stretches[best[chosen]]
    found.sort(key=lambda passage: passage.hit.row)
    return [
        replace(passage, quote=passage.quote and replace(passage.quote, n=number))
        for number, passage in enumerate(found, n_before + 1)
    ]


def _passage(
    row: tuple[str, datetime.date | None, Chunk], number: int, telling_terms: QueryTerms, host_labels: Collection[str]
) -> Passage:
    transcript, date, chunk = row
    turns = chunk.first_turn, chunk.last_turn
    hit = Hit(transcript, date, turns, chunk.lines, score=1.0, chunk_id=chunk.chunk_id, row=number)
    return Passage(hit, next(iter(best_quotes(telling_terms, [hit], host_labels)), None))


def _told(quote: Quote | None, terms: Ints, weights: Weights) -> float:
    """What a quotation holds of what sets its broadcast apart."""
    if quote is None:
        return 0.0
    return float(weights[np.isin(terms, terms_of(quote.text), assume_unique=True)].sum())


def _nearness(vectors: Vectors, mean: Vectors) -> Weights:
    """How far each vector leaves the corpus's mean in the direction of the broadcast's, 0 to 1."""
    apart = (vectors - mean) @ (vectors.mean(axis=0) - mean)
    positive: Weights = np.maximum(apart, 0.0).astype(np.float64)
    return positive / max(float(positive.max(initial=0.0)), 1e-9)
