"""The host's own words for an answer, and the marks that say where a sentence comes from."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hcf_pipeline.corpus.sentences import chars_of, sentences, whole_words
from hcf_pipeline.rag.arrays import Ints
from hcf_pipeline.rag.index.bm25 import QueryTerms
from hcf_pipeline.rag.index.terms import normalise, pairs_of, terms_of
from hcf_pipeline.rag.search.hits import Hit

MAX_QUOTES = 3
BEST_CHARS = (15, 120)  # shorter says too little, longer is no quotation; three times as many in a script with spaces
LONG_CHARS = 90  # of a longer sentence's part that ends at a comma
SPAN_SENTENCES = 3  # neighbouring sentences that a quotation may join
ENOUGH = 0.45  # of the best quotation's score: what a second or third must reach
FOLLOWS = 0.5  # of a sentence's score goes to the one after it: people repeat a question before they answer it
OVERLAP = 0.5  # of a generated sentence's pairs of characters, to be counted as taken from a hit

MARK = re.compile(r"\[(\d+)\]")
DIGITS = 9  # of a mark that may name a hit; Python refuses to read a number of thousands
UNFINISHED = re.compile(r"\[\d*$")
PLEASANTRY = re.compile(r"^(感谢|谢谢|欢迎|晚上好|大家好|你好|哈喽|来来来|再见|拜拜)")


@dataclass(frozen=True)
class Quote:
    """Verbatim words of a host."""

    n: int  # which hit, from 1
    turn: int
    label: str  # of who says them in that turn
    text: str  # a part of one line of that hit


@dataclass(frozen=True)
class _Sentence:
    n: int
    turn: int
    label: str
    line: str
    start: int
    end: int
    matched: float  # share of the question's weight that it holds
    chars: int  # that say as much as one of a script without spaces

    @property
    def text(self) -> str:
        return self.line[self.start : self.end]


def best_quotes(query_terms: QueryTerms, hits: Sequence[Hit], host_labels: Collection[str]) -> list[Quote]:
    """One to three quotations of the hosts that answer the question best, best first; none where they say nothing."""
    terms, weights = query_terms.terms, query_terms.idf
    best = max((hit.score for hit in hits), default=0.0) or 1.0
    spans = [
        (_value(run, (hit.score / best) ** 2), run)
        for n, hit in enumerate(hits, 1)
        for sentences in _sentences(n, hit, host_labels, terms, weights)
        for run in _runs(sentences)
    ]
    chosen: list[tuple[_Sentence, ...]] = []
    spans.sort(key=lambda span: -span[0])
    for value, run in spans:
        if chosen and (value < ENOUGH * spans[0][0] or len(chosen) == MAX_QUOTES):
            break
        if not any(_same_words(run, other) for other in chosen):
            chosen.append(run)
    return [Quote(run[0].n, run[0].turn, run[0].label, run[0].line[run[0].start : run[-1].end]) for run in chosen]


def attribute(text: str, hits: Sequence[Hit]) -> str:
    """The generated text with [n] after each sentence that overlaps a hit enough; marks that name no hit are removed.

    A sentence that carries a valid mark keeps it as it is.
    """
    sources = [set(pairs_of(hit.words).tolist()) for hit in hits]
    marked: list[str] = []
    for sentence in _with_marks(text):
        kept = _cited(sentence, len(hits))
        if not MARK.search(kept) and (n := _source(kept, sources)):
            body = kept.rstrip()
            kept = f"{body}[{n}]{kept[len(body) :]}"
        marked.append(kept)
    return "".join(marked)


def only_cited(pieces: Iterable[str], n_hits: int) -> Iterator[str]:
    """The pieces of a text, without the marks [n] that name no hit; what may become a mark is held back for a moment."""
    held = ""
    for piece in pieces:
        text = held + piece
        held = found[0] if (found := UNFINISHED.search(text)) else ""
        if said := _cited(text[: len(text) - len(held)], n_hits):
            yield said
    if held:
        yield held


def _cited(text: str, n_hits: int) -> str:
    return MARK.sub(lambda mark: mark[0] if len(mark[1]) <= DIGITS and 1 <= int(mark[1]) <= n_hits else "", text)


def _sentences(
    n: int, hit: Hit, host_labels: Collection[str], terms: Ints, weights: npt.NDArray[np.float64]
) -> Iterator[list[_Sentence]]:
    """The hosts' sentences in a hit, those of one line of a turn together."""
    total = float(weights.sum()) or 1.0
    chars = chars_of(line.text for line in hit.lines)
    for line in hit.lines:
        if line.label not in host_labels:
            continue
        for piece in line.text.split("\n"):
            here: list[_Sentence] = []
            at = 0
            for part in _parts(piece, chars):
                said = part.strip()
                if normalise(said):
                    start = at + part.index(said)
                    matched = float(weights[np.isin(terms, terms_of(said), assume_unique=True)].sum()) / total
                    here.append(_Sentence(n, line.turn, line.label, piece, start, start + len(said), matched, chars))
                at += len(part)
            yield here


def _parts(text: str, chars: int) -> Iterator[str]:
    """The sentences of a text; those too long for a quotation in parts that end at a comma, else between words."""
    for sentence in sentences(text, semicolons=True):
        rest = sentence
        while len(rest) > LONG_CHARS * chars:
            end = max(rest.rfind(mark, 0, LONG_CHARS * chars + 1) for mark in "，,、") + 1
            end = end or whole_words(rest, 0, BEST_CHARS[1] * chars)
            yield rest[:end]
            rest = rest[end:]
        if rest:
            yield rest


def _runs(sentences: Sequence[_Sentence]) -> Iterator[tuple[_Sentence, ...]]:
    """Every run of neighbouring sentences that is short enough for a quotation (single ones always)."""
    for first in range(len(sentences)):
        for last in range(first, min(first + SPAN_SENTENCES, len(sentences))):
            run = tuple(sentences[first : last + 1])
            if last > first and run[-1].end - run[0].start > BEST_CHARS[1] * run[0].chars:
                break
            yield run


def _value(run: Sequence[_Sentence], share: float) -> float:
    """How well a run answers: what it matches, and that it goes on after the match, times its hit's share."""
    matched = 1 - float(np.prod([1 - sentence.matched for sentence in run]))
    follows = FOLLOWS * max((s.matched for s in run[:-1]), default=0.0)
    n_chars = (run[-1].end - run[0].start) / run[0].chars
    length = min(n_chars / BEST_CHARS[0], 1.0) if n_chars < BEST_CHARS[0] else min(BEST_CHARS[1] / n_chars, 1.0)
    manners = 0.2 if PLEASANTRY.match(run[0].text) else 1.0
    asks = 0.7 if run[-1].text.endswith(("？", "?", "吗", "呢")) else 1.0
    return (matched + follows) * length * manners * asks * share


def _same_words(run: Sequence[_Sentence], other: Sequence[_Sentence]) -> bool:
    """Whether two runs share most of their words: one passage, or one thing said twice."""
    mine, theirs = (set(pairs_of(r[0].line[r[0].start : r[-1].end]).tolist()) for r in (run, other))
    return len(mine & theirs) > 0.4 * min(len(mine), len(theirs))


def _with_marks(text: str) -> list[str]:
    """The text cut after each sentence and the marks that follow it; joined again it is the same text."""
    ends = [found.end() for found in re.finditer(r"[。！？!?；;…\n]+(?:\s*\[\d+\])*\s*", text)]
    starts = [0, *ends]
    return [text[start:end] for start, end in zip(starts, [*ends, len(text)], strict=True) if start < end]


def _source(sentence: str, sources: Sequence[set[int]]) -> int:
    """The number of the hit that holds the largest share of the sentence, 0 where none holds enough."""
    pairs = pairs_of(sentence)
    if len(pairs) < 5:
        return 0
    shares = [sum(pair in source for pair in pairs.tolist()) / len(pairs) for source in sources]
    best = int(np.argmax(shares)) if shares else 0
    return best + 1 if shares and shares[best] >= OVERLAP else 0
