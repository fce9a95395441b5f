"""Did he really say that? A quotation is looked for in everything that was said.

verbatim   it stands there, but for punctuation, width, case, white space and script variant
near       it stands there with differences: words changed or left out, joined across turns, or said by somebody else
not found  nothing is close enough

Every chunk that holds all of the quotation's terms is looked through for it as it stands, so that all places are known, and
counted. Where there is none, candidates are the chunks that hold most of its terms by weight; in each, with the chunks beside
it, the stretch that is most like the quotation is found by rapidfuzz. It is as like as the Levenshtein distance over characters
says (a character changed, put in or left out of n costs 1/n): the longest common subsequence would count for half of a
sentence whatever it has in common with another by chance. How like it has to be was chosen on real sentences of which a fifth
of the characters were changed, on others put together of two halves, and on invented ones (docs/retrieval.md).
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
from hcf_pipeline.rag.index.terms import normalise, terms_of

Verdict = Literal["verbatim", "near", "not found"]
Row = tuple[str, datetime.date | None, Chunk]

NEAR = 0.7  # similarity; of a short quotation, whose words meet by chance, more:
SHORT_CHARS, NEAR_SHORT = 8, 0.85
N_CANDIDATES = 32  # that the quotation is compared with
N_HOLDING = 2000  # in which it is looked for as it stands, all that hold its terms but for a phrase that is everywhere
LEAST = 0.5  # of a stretch as long as the quotation, to be looked at more closely
WIDER = (0.0, 0.2, 0.75)  # by which share of its length the stretch is widened at both ends
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

    @property
    def is_verbatim(self) -> bool:
        return self.similarity == 1 and self.by_host and self.n_turns == 1


@dataclass(frozen=True)
class Difference:
    """Where a quotation departs from what was said; one of the two is empty where words were left out or put in."""

    said: str
    quoted: str


@dataclass(frozen=True)
class Verification:
    quote: str
    verdict: Verdict
    matches: tuple[Match, ...]  # the earliest first where it is verbatim, else the best
    n_places: int = 0  # turns of a host's that hold it as it stands; of a phrase that is everywhere not all are counted
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
    found = [
        match
        for row in rows
        if wanted in normalise(index.text(row)).replace("\n", "")
        for match in _exact(wanted, index.row(row), host_labels)
    ]
    if not any(match.is_verbatim for match in found):
        found += [match for row in rows[:N_CANDIDATES] if (match := _match(wanted, index, row, host_labels))]
    found.sort(key=_rank)
    distinct = tuple({(match.transcript, match.turn): match for match in reversed(found)}.values())[::-1]
    if not distinct:
        return Verification(quote, "not found", ())
    best = distinct[0]
    if best.is_verbatim:
        same = tuple(match for match in distinct if match.similarity == 1)
        return Verification(quote, "verbatim", same[:n_matches], sum(match.is_verbatim for match in same))
    return Verification(quote, "near", distinct[:n_matches], differences=tuple(_differences(best.text, quote)))


def _rank(match: Match) -> tuple[object, ...]:
    """As it stands before nearly so, a host's words before others', one turn before several; of equals the earliest first."""
    place = (match.date or datetime.date.max, match.transcript, match.turn)
    return (match.similarity < 1, not match.by_host, -match.similarity, match.n_turns, *place)


def _candidates(quote: str, index: Index) -> list[int]:
    """The rows that hold most of the quotation's terms, by weight: those that hold all, and some more."""
    scores, _ = index.lexical.scores(index.lexical.of_terms(terms_of(quote)), 0.0, 0.0)
    if index.live is not None:
        scores = np.where(index.live, scores, 0)
    around = index.with_neighbours(scores, 0.5)  # of a quotation that ends in the next chunk each holds a part
    n = min(N_CANDIDATES, len(around))
    best = np.argpartition(-around, n - 1)[:n]
    best = best[np.argsort(-around[best], kind="stable")]
    whole = np.flatnonzero(scores >= scores.max() * (1 - 1e-6))  # chunks that hold as many of the terms as any does
    rows = [*best[:N_CANDIDATES].tolist(), *whole[:N_HOLDING].tolist()]
    return [row for row in dict.fromkeys(rows) if around[row] > 0]


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


def _exact(wanted: str, row: Row, host_labels: Collection[str]) -> Iterator[Match]:
    """Every place of a row where the quotation stands as it is."""
    transcript, date, chunk = row
    said = _stretch(chunk.lines)
    for place in _verbatim(wanted, said):
        yield _at(said, place, 1.0, transcript, date, host_labels)


def _match(wanted: str, index: Index, row: int, host_labels: Collection[str]) -> Match | None:
    """The best place of a row and of what stands beside it; None where nothing is near enough."""
    transcript, date, chunk = index.row(row)
    said = _stretch(_in_order(_lines_around(index, row, chunk, len(wanted))))
    exact = [_at(said, place, 1.0, transcript, date, host_labels) for place in _verbatim(wanted, said)]
    if exact:
        return min(exact, key=_rank)
    similarity, place = _nearest(wanted, said.text)
    if similarity < (NEAR if len(wanted) > SHORT_CHARS else NEAR_SHORT):
        return None
    return _at(said, _in_whole_words(said, place), similarity, transcript, date, host_labels)


def _at(
    said: _Stretch,
    place: tuple[int, int],
    similarity: float,
    transcript: str,
    date: datetime.date | None,
    host_labels: Collection[str],
) -> Match:
    start, end = place
    lines = said.lines
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
    from rapidfuzz.distance import Levenshtein
    from rapidfuzz.fuzz import partial_ratio_alignment

    near = partial_ratio_alignment(wanted, text, score_cutoff=100 * LEAST)
    if near is None:
        return 0.0, (0, 0)
    best, place = 0.0, (0, 0)
    for more in WIDER:
        n = int(more * len(wanted))
        first = max(0, near.dest_start - n)
        ops = list(Levenshtein.opcodes(wanted, text[first : near.dest_end + n]))
        while ops and ops[0].tag == "insert":  # what stands before the stretch and behind it
            del ops[0]
        while ops and ops[-1].tag == "insert":
            del ops[-1]
        if ops:
            start, end = first + ops[0].dest_start, first + ops[-1].dest_end
            costs = (max(op.src_end - op.src_start, op.dest_end - op.dest_start) for op in ops if op.tag != "equal")
            similarity = 1 - sum(costs) / max(len(wanted), end - start)
            if similarity > best and end > start:
                best, place = similarity, (start, end)
    return min(best, 0.999), place


def _in_whole_words(said: _Stretch, place: tuple[int, int]) -> tuple[int, int]:
    """A stretch with the rest of the words that its ends would cut."""
    start, end = place
    while _cuts(said, start):
        start -= 1
    while _cuts(said, end):
        end += 1
    return start, end


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
    """Where the two depart, punctuation and the like apart; character by character, in scripts with spaces word by word."""
    one, other = _stretch([Line(0, "", said.replace("\n", " "))]), _stretch([Line(0, "", quoted.replace("\n", " "))])
    first, second = _words(one), _words(other)
    said_words = [one.text[start:end] for start, end in first]
    quoted_words = [other.text[start:end] for start, end in second]
    for kind, a, b, c, d in SequenceMatcher(None, said_words, quoted_words, autojunk=False).get_opcodes():
        if kind != "equal":
            yield Difference(_original(one, first[a:b]), _original(other, second[c:d]))


def _words(text: _Stretch) -> list[tuple[int, int]]:
    """The places of the words of a line, a character of a script without spaces being one."""
    breaks = [at for at in range(len(text.text) + 1) if not _cuts(text, at)]
    return list(pairwise(breaks))


def _original(text: _Stretch, words: Sequence[tuple[int, int]]) -> str:
    """Some neighbouring words of a line as they are written there."""
    return text.lines[0].text[text.at[words[0][0]] : text.at[words[-1][1] - 1] + 1] if words else ""
