"""A question, read once: its terms, the time that it names, its vector. Retriever.query makes it, and all that follows
(candidates, the evidence score, quotations) is given it.

The words that name a time say which broadcasts are meant, and nobody need say them there: counted as terms like others
they are words that the corpus does not answer, and of 42 questions 13 were refused once the right day stood before them.
So they ask for nothing (evidence.py), and what they are to the ranking depends on the time that they name: a day or a
week is when it was said, and its words are no terms; a month or a year may as well be told of (11月的财报, 2023年对你意味着
什么), and its words count for TIME_WEIGHT. On 100 questions with their month before them the right broadcast comes first for
0.58 with the whole weight, 0.67 with half of it, 0.69 without the words; on the 21 of 7,258 that name such a time on their
own 0.90, 0.81 and 0.76.

All this only where there is a broadcast of that time: in 1999年的奥运会 the year is a word like others. Where hardly anything
else is asked (2024年5月说了什么), any broadcast of the time is an answer, and no other is.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from zoneinfo import ZoneInfo

import numpy as np

from hcf_pipeline.rag.arrays import Mask, Vectors
from hcf_pipeline.rag.index.bm25 import LexicalIndex, QueryTerms
from hcf_pipeline.rag.index.terms import compounds_of, normalise, terms_of
from hcf_pipeline.rag.search.periods import Mention, Period

TIME_WEIGHT = 0.5
LITTLE = (
    0.35  # of what a character weighs that stands nowhere: 说了什么 has 0.04, 他都聊了些什么 0.33, 房价 0.41, 木星 0.7
)


@dataclass(frozen=True)
class Query:
    """Of one index and its encoder: another one weighs the terms otherwise."""

    text: str
    terms: QueryTerms
    periods: tuple[Period, ...]  # that the question names and there is a broadcast of, in the order of its words
    vector: Vectors  # shape (dim,), of the whole text
    names_time: Mask  # which of the terms stand in nothing but the words for `periods`
    asks_little: bool  # hardly anything besides the periods: any broadcast of theirs is an answer
    asks_only_when: bool = False  # nothing besides them (only_when.py)
    encoding_s: float = field(default=0.0, compare=False)  # what the vector took

    @property
    def characters(self) -> Mask:
        """Which of the terms are single characters or words that ask for more than a time."""
        return ~self.terms.is_pair & ~self.names_time

    def names(self, date: datetime.date | None) -> bool:
        """Whether a day lies in one of the periods."""
        return date is not None and any(period.since <= date <= period.until for period in self.periods)


def without(text: str, mentions: Sequence[Mention]) -> str:
    """The text without some stretches of it, a line break in the place of each: no pair of characters spans one, as what stood on both sides of a date are no neighbours."""
    rest: list[str] = []
    at = 0
    for mention in mentions:
        rest.append(text[at : mention.start])
        at = mention.end
    return "\n".join([*rest, text[at:]])


def read(text: str, mentions: Sequence[Mention], vector: Vectors, lexical: LexicalIndex, encoding_s: float) -> Query:
    """The query of a text whose words for a time are known."""
    said = without(text, [mention for mention in mentions if mention.period.is_short])
    query_terms = lexical.ask(
        said if normalise(said).strip() else text
    )  # a day alone: there is nothing else to search with
    names_time, little = np.zeros(len(query_terms.terms), dtype=np.bool_), False
    if mentions:
        rest = without(text, mentions)
        names_time = ~np.isin(query_terms.terms, np.union1d(terms_of(rest), compounds_of(rest)), assume_unique=True)
        asks_for = float(query_terms.idf[~query_terms.is_pair & ~names_time].sum())
        little = asks_for < LITTLE * math.log1p(2 * lexical.n_texts + 1)
        query_terms = replace(query_terms, idf=query_terms.idf * np.where(names_time, TIME_WEIGHT, 1.0))
    periods = tuple(mention.period for mention in mentions)
    return Query(text, query_terms, periods, vector, names_time, little, encoding_s=encoding_s)


def today_in(timezone: str) -> datetime.date:
    """The calendar day in a time zone: the machine's own may be another (a container's is UTC)."""
    return datetime.datetime.now(ZoneInfo(timezone)).date()
