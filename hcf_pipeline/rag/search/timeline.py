"""What was said on a matter over time: month by month, the first and the last time, and where it was put otherwise.

Each month is searched on its own, so that one that is full of a matter does not hide the others. A hit counts where the host's
best words in it hold at least SHARE of what the best words of all months hold of the question's weight: a threshold on what
would be quoted, as the score of a chunk also counts what a guest says, and what is said around it. What is said in the same words again
(a broadcast that was uploaded twice, a standing phrase) counts once.
"""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from hcf_pipeline.rag.index.terms import terms_of
from hcf_pipeline.rag.search.contrast import Contrast, contrasts, question_words
from hcf_pipeline.rag.search.duplicates import originals
from hcf_pipeline.rag.search.hits import Hit
from hcf_pipeline.rag.search.overview import Broadcast
from hcf_pipeline.rag.search.periods import Period, Span, months
from hcf_pipeline.rag.search.query import Query
from hcf_pipeline.rag.search.quotes import Quote, best_quotes
from hcf_pipeline.rag.search.retriever import Retriever

OF_A_MONTH = 20  # hits at most
SHARE = 0.6  # of what the best quotation holds of the question, to count
ENOUGH = 0.6  # of the question's weight in one quotation: it is about it, whatever the evidence score says
ASKS, SHORT_CHARS = 0.7, 15  # what a question that he asks counts as a month's quotation; shorter ones count less too


@dataclass(frozen=True)
class Said:
    """A host's words, and the hit that they stand in."""

    hit: Hit
    quote: Quote
    holds: float  # share of the question's weight

    @property
    def date(self) -> datetime.date:
        assert self.hit.date
        return self.hit.date


@dataclass(frozen=True)
class Month:
    year: int
    month: int
    n_passages: int  # OF_A_MONTH at most
    n_broadcasts: int
    said: Said  # what holds most of the question


@dataclass(frozen=True)
class Timeline:
    months: tuple[Month, ...]  # those in which something was said, in their order
    first: Said | None
    last: Said | None
    contrasts: tuple[Contrast, ...]
    n_passages: int
    n_broadcasts: int


def timeline(retriever: Retriever, query: Query, span: Span, host_labels: Collection[str]) -> Timeline:
    """What hosts said on a question, in the broadcasts of a span, of the time that it names where it names one."""
    if query.asks_only_when:
        return _of_a_time(retriever.overview(query, span, host_labels))
    found = [
        said for period in _months(retriever, query, span) for said in _said(retriever, query, period, host_labels)
    ]
    most = max((said.holds for said in found), default=0.0)
    hits = sorted((said.hit for said in found), key=lambda hit: -hit.score)
    is_answered = most >= ENOUGH or retriever.bears_on(query, hits)
    kept = [said for said in found if said.holds >= SHARE * most] if is_answered else []
    kept.sort(key=lambda said: (said.date, said.hit.transcript, said.hit.turns))
    first_said = originals([said.hit.words for said in kept])
    kept = [said for n, said in enumerate(kept) if first_said[n] == n]
    return _timeline(kept, contrasts(question_words(query), [said.hit for said in kept], host_labels))


def _of_a_time(broadcasts: Sequence[Broadcast]) -> Timeline:
    """Of a question that is only about a time: what overview.py chose of each broadcast."""
    passages = [passage for broadcast in broadcasts for passage in broadcast.passages]
    return _timeline([Said(one.hit, one.quote, 1.0) for one in passages if one.quote], [])


def _timeline(kept: Sequence[Said], contrasting: Sequence[Contrast]) -> Timeline:
    return Timeline(
        months=tuple(
            _month(list(of_month)) for _, of_month in groupby(kept, key=lambda said: (said.date.year, said.date.month))
        ),
        first=kept[0] if kept else None,
        last=kept[-1] if kept else None,
        contrasts=tuple(contrasting),
        n_passages=len(kept),
        n_broadcasts=len({said.hit.transcript for said in kept}),
    )


def _month(said: Sequence[Said]) -> Month:
    best = max(said, key=_tells)
    n_broadcasts = len({one.hit.transcript for one in said})
    return Month(best.date.year, best.date.month, len(said), n_broadcasts, best)


def _tells(said: Said) -> tuple[float, float]:
    text = said.quote.text
    asks = ASKS if text.endswith(("？", "?", "吗", "呢")) else 1.0
    return round(said.holds * asks * min(1.0, len(text) / SHORT_CHARS), 2), said.hit.score


def _months(retriever: Retriever, query: Query, span: Span) -> Iterator[Period]:
    """The months that there are broadcasts of, cut to the span and to the times that the question names."""
    since, until = (day or edge for day, edge in zip(span, (datetime.date.min, datetime.date.max), strict=True))
    for year, month in retriever.days.months:
        whole = months(year, month, month)
        for period in query.periods or ((whole,) if whole else ()):
            if whole:
                cut = Period(max(whole.since, since, period.since), min(whole.until, until, period.until))
                if cut.since <= cut.until:
                    yield cut


def _said(retriever: Retriever, query: Query, period: Period, host_labels: Collection[str]) -> Iterator[Said]:
    for hit in retriever.search(query, OF_A_MONTH, *period, one_per_transcript=False):
        for quote in best_quotes(query.terms, [hit], host_labels)[:1]:
            yield Said(hit, quote, _holds(query, quote.text))


def _holds(query: Query, text: str) -> float:
    """The share of the question's weight that a text holds, the words for a time apart."""
    weights = np.where(query.names_time, 0.0, query.terms.idf)
    held = np.isin(query.terms.terms, terms_of(text), assume_unique=True)
    return float(weights[held].sum()) / max(float(weights.sum()), 1e-9)
