"""Did he really say that? A quotation is looked for in everything that was said.

verbatim   it stands there, but for punctuation, width, case, white space and script variant
near       it stands there with differences: words changed or left out, joined across turns, or said by somebody else
not found  nothing is close enough

Candidates are the chunks that hold most of the quotation's terms by weight; in each, with the chunks beside it, the stretch
that is most like the quotation is found by rapidfuzz (partial_ratio_alignment, Indel similarity over characters: one
character changed of n costs 1/n). How like it has to be was chosen on real sentences of which a fifth of the characters were
changed, and on others put together of two halves (docs/retrieval.md).
"""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache
from itertools import pairwise
from typing import Literal

import numpy as np

from hcf_pipeline.corpus.scripts import is_spaced
from hcf_pipeline.errors import UserError
from hcf_pipeline.rag.chunking.chunks import Chunk
from hcf_pipeline.rag.chunking.lines import Line
from hcf_pipeline.rag.index.index import Index
from hcf_pipeline.rag.index.terms import normalise

Verdict = Literal["verbatim", "near", "not found"]

NEAR = 0.76  # similarity; of a short quotation, whose words meet by chance, more:
SHORT_CHARS, NEAR_SHORT = 8, 0.85
N_CANDIDATES = 32  # that the quotation is compared with
N_HOLDING = 400  # in which it is looked for as it stands: all that hold its terms, but for a phrase that is everywhere
LEAST = 0.5  # of a stretch as long as the quotation, to be looked at more closely
WIDER = (0.0, 0.2, 0.5)  # by which share of its length the stretch is widened at both ends
MAX_MATCHES = 5
MAX_CHARS = 2000


@dataclass(frozen=True)
class Match:
    """A stretch of a transcript."""

    transcript: str
    date: datetime.date | None
    turn: int  # that holds most of it
    label: str  # of who says that
    start_s: float | None
    text: str  # as it was said there; the turns that it spans one after the other, a line each
    similarity: float  # 0 to 1
    by_host: bool
    n_turns: int  # that it spans


@dataclass(frozen=True)
class Difference:
    """Where a quotation departs from what was said; one of the two is empty where words were left out or put in."""

    said: str
    quoted: str


@dataclass(frozen=True)
class Verification:
    quote: str
    verdict: Verdict
    matches: tuple[Match, ...]  # best first
    differences: tuple[Difference, ...] = ()  # from the best match

    @property
    def only_by_others(self) -> bool:
        """Whether the words are there, but not from a host."""
        return bool(self.matches) and not any(match.by_host for match in self.matches)


def verify(quote: str, index: Index, host_labels: Collection[str], n_matches: int = MAX_MATCHES) -> Verification:
    """Whether a host said what is quoted. Raises UserError for a quotation without a letter, or longer than MAX_CHARS."""
    wanted = normalise(quote).replace("\n", "")
    if not wanted:
        raise UserError(zh="要核对的话是空的。", en="There is nothing in the quotation to look for.")
    if len(quote) > MAX_CHARS:
        raise UserError(
            zh=f"要核对的话超过 {MAX_CHARS} 个字；请一次核对一两句。",
            en=f"The quotation is longer than {MAX_CHARS} characters; look for a sentence or two at a time.",
        )
    rows = _candidates(quote, index)
    holding = [row for row in rows if wanted in normalise(index.text(row)).replace("\n", "")]
    rows = list(dict.fromkeys([*holding, *rows[:N_CANDIDATES]]))
    found = [match for row in rows if (match := _match(wanted, index, row, host_labels))]
    found.sort(key=lambda match: (match.similarity < 1, not match.by_host, -match.similarity, match.n_turns))
    matches = tuple({(match.transcript, match.turn): match for match in reversed(found)}.values())[::-1][:n_matches]
    if not matches:
        return Verification(quote, "not found", ())
    best = matches[0]
    if best.similarity == 1 and best.by_host and best.n_turns == 1:
        return Verification(quote, "verbatim", tuple(m for m in matches if m.similarity == 1))
    return Verification(quote, "near", matches, tuple(_differences(best.text, quote)))


def _candidates(quote: str, index: Index) -> list[int]:
    """The rows that hold most of the quotation's terms, by weight: those that hold all, and some more."""
    scores, _ = index.lexical.scores(index.lexical.ask(quote), 0.0, 0.0)
    if index.live is not None:
        scores = np.where(index.live, scores, 0)
    around = index.with_neighbours(scores, 0.5)  # of a quotation that ends in the next chunk each holds a part
    n = min(N_HOLDING, len(around))
    best = np.argpartition(-around, n - 1)[:n]
    best = best[np.argsort(-around[best], kind="stable")]
    n_whole = int(np.count_nonzero(scores >= scores.max() * (1 - 1e-6)))  # chunks that hold every term
    return [int(row) for row in best[: max(N_CANDIDATES, n_whole)] if around[row] > 0]


@dataclass(frozen=True)
class _Stretch:
    """What some lines say, as it is compared, and where each character of it comes from."""

    lines: Sequence[Line]
    text: str
    line: list[int]
    at: list[int]  # position in the line's text


def _stretch(lines: Sequence[Line]) -> _Stretch:
    kept: list[str] = []
    line: list[int] = []
    at: list[int] = []
    for n, one in enumerate(lines):
        for place, character in enumerate(one.text):
            for compared in _compared(character):
                kept.append(compared)
                line.append(n)
                at.append(place)
    return _Stretch(lines, "".join(kept), line, at)


@lru_cache(maxsize=65536)
def _compared(character: str) -> str:
    return normalise(character).replace("\n", "")


def _match(wanted: str, index: Index, row: int, host_labels: Collection[str]) -> Match | None:
    transcript, date, chunk = index.row(row)
    lines = _in_order(_lines_around(index, row, chunk, len(wanted)))
    said = _stretch(lines)
    places, similarity = [*_verbatim(wanted, said)], 1.0
    if not places:
        similarity, place = _nearest(wanted, said.text)
        if similarity < (NEAR if len(wanted) > SHORT_CHARS else NEAR_SHORT):
            return None
        places = [place]
    whole = [place for place in places if said.line[place[0]] == said.line[place[1] - 1]]
    by_host = [place for place in whole if said.lines[said.line[place[0]]].label in host_labels]
    start, end = (by_host or whole or places)[0]
    of_line = np.bincount(said.line[start:end])
    most = int(of_line.argmax())
    first, last = said.line[start], said.line[end - 1]
    return Match(
        transcript=transcript,
        date=date,
        turn=lines[most].turn,
        label=lines[most].label,
        start_s=lines[most].start_s,
        text="\n".join(_text(said, start, end)),
        similarity=round(similarity, 4),
        by_host=all(lines[n].label in host_labels for n in range(first, last + 1) if of_line[n]),
        n_turns=len({lines[n].turn for n in range(first, last + 1)}),
    )


def _lines_around(index: Index, row: int, chunk: Chunk, n_chars: int) -> list[Line]:
    """The lines of a chunk and of those beside it in its transcript, at least `n_chars` on both sides where there are."""
    lines = list(chunk.lines)
    for step in (-1, 1):
        n, other = 0, row + step
        while n < n_chars and 0 <= other < index.n_rows and index.transcripts[other] == index.transcripts[row]:
            found = index.row(other)[2]
            lines = [*found.lines, *lines] if step < 0 else [*lines, *found.lines]
            n, other = n + len(found.text), other + step
    return lines


def _nearest(wanted: str, text: str) -> tuple[float, tuple[int, int]]:
    """(similarity below 1, place) of the stretch that is most like the quotation; as long as that, or longer where words
    were left out of it."""
    from rapidfuzz.distance import Indel
    from rapidfuzz.fuzz import partial_ratio_alignment

    near = partial_ratio_alignment(wanted, text, score_cutoff=100 * LEAST)
    if near is None:
        return 0.0, (0, 0)
    best, place = 0.0, (0, 0)
    for more in WIDER:
        n = int(more * len(wanted))
        start, end = max(0, near.dest_start - n), near.dest_end + n
        equal = [op for op in Indel.opcodes(wanted, text[start:end]) if op.tag == "equal"]
        if equal:  # without what the quotation has nothing of at both ends
            start, end = start + equal[0].dest_start, start + equal[-1].dest_end
            held = sum(op.src_end - op.src_start for op in equal)
            # what is in the quotation and was not said weighs in full, however short the stretch that is like the rest
            similarity = min(2 * held / (len(wanted) + end - start), held / len(wanted))
            if similarity > best:
                best, place = similarity, (start, end)
    return min(best, 0.999), place


def _in_order(lines: Sequence[Line]) -> list[Line]:
    """The lines of neighbouring chunks; the parts of a turn that was cut are put together, what both hold stands once."""
    found: list[Line] = []
    for line in lines:
        if found and found[-1].turn == line.turn and not found[-1].text.endswith(line.text):
            found[-1] = found[-1]._replace(text=found[-1].text + line.text)
        elif not found or found[-1].turn < line.turn:
            found.append(line)
    return found


def _verbatim(wanted: str, said: _Stretch) -> Iterator[tuple[int, int]]:
    """The places where the quotation stands as it is, and no word is cut at its ends."""
    at = said.text.find(wanted)
    while at >= 0:
        end = at + len(wanted)
        if not (_cuts(said, at) or _cuts(said, end)):
            yield at, end
        at = said.text.find(wanted, at + 1)


def _cuts(said: _Stretch, at: int) -> bool:
    """Whether a word goes on across a place."""
    if not 0 < at < len(said.text) or said.line[at - 1] != said.line[at]:
        return False
    between = said.lines[said.line[at]].text[said.at[at - 1] + 1 : said.at[at]]
    both = said.text[at - 1 : at + 1]
    return (both.isdigit() and between in ("", ".", ",")) or (
        between in ("", "'", "’") and all(c.isalpha() and is_spaced(c) for c in both)
    )


def _text(said: _Stretch, start: int, end: int) -> Iterator[str]:
    """What was said from one compared character to another, with the marks between and behind, line by line."""
    breaks = [start, *(n for n in range(start + 1, end) if said.line[n] != said.line[n - 1]), end]
    for first, last in pairwise(breaks):
        text, until = said.lines[said.line[first]].text, said.at[last - 1] + 1
        while until < len(text) and text[until] in "。！？!?….」』”）\"'’)":
            until += 1
        yield text[said.at[first] : until]


def _differences(said: str, quoted: str) -> Iterator[Difference]:
    """Where the two depart, punctuation and the like apart."""
    one, other = _stretch([Line(0, "", said.replace("\n", " "))]), _stretch([Line(0, "", quoted.replace("\n", " "))])
    for kind, a, b, c, d in SequenceMatcher(None, one.text, other.text, autojunk=False).get_opcodes():
        if kind != "equal":
            yield Difference(one.text[a:b], other.text[c:d])
