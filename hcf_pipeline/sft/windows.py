"""Consecutive pairs of one broadcast, as windows that fit a sample."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from hcf_pipeline.corpus.pairs import Pair
from hcf_pipeline.corpus.sentences import sentence_ends, whole_words
from hcf_pipeline.lm.prompt import Exchange
from hcf_pipeline.settings import SftSettings
from hcf_pipeline.sft.left_out import USED, left_out

CUT = "cut"  # what `tally` counts beside the reasons of left_out.py


class Window(NamedTuple):
    exchanges: tuple[Exchange, ...]
    first_turn: int
    last_turn: int
    n_chars: int  # of guest and host together, at most max_chars


def windows(pairs: Iterable[Pair], sft: SftSettings, tally: Counter[str]) -> Iterator[Window]:
    """Windows of up to max_pairs pairs and max_chars characters, in order, no pair twice.

    Left out is what left_out.py says; a window never reaches across such a pair, nor across turns that are in no
    pair. A pair that is longer than max_chars alone is cut: the answer at the end of a sentence, the guest (who gets
    half of the room at most) at the beginning of one.
    """
    pending: list[Pair] = []
    n_chars = 0
    for pair in pairs:
        reason = left_out(pair, sft)
        tally[reason or USED] += 1
        if reason:
            if pending:
                yield _window(pending, n_chars)
                pending, n_chars = [], 0
            continue
        size = len(pair.guest_text) + len(pair.host_text)
        if size > sft.max_chars:
            pair = _cut(pair, sft.max_chars)  # noqa: PLW2901
            size = len(pair.guest_text) + len(pair.host_text)
            tally[CUT] += 1
        if pending and (
            pair.first_turn - pending[-1].last_turn not in (0, 1)  # 0: the next passage of one turn of a monologue
            or len(pending) == sft.max_pairs
            or n_chars + size > sft.max_chars
        ):
            yield _window(pending, n_chars)
            pending, n_chars = [], 0
        pending.append(pair)
        n_chars += size
    if pending:
        yield _window(pending, n_chars)


def _window(pairs: list[Pair], n_chars: int) -> Window:
    exchanges = tuple(Exchange(pair.guest_text, pair.host_text) for pair in pairs)
    return Window(exchanges, pairs[0].first_turn, pairs[-1].last_turn, n_chars)


def _cut(pair: Pair, max_chars: int) -> Pair:
    guest = pair.guest_text and _last_sentences(pair.guest_text, max(max_chars // 2, max_chars - len(pair.host_text)))
    host = _first_sentences(pair.host_text, max_chars - len(guest))
    return pair._replace(guest_text=guest, host_text=host)


def _first_sentences(text: str, room: int) -> str:
    """The beginning of a text up to its last sentence end that fits; where there is none, up to the limit."""
    if len(text) <= room:
        return text
    ends = sentence_ends(text, room, semicolons=True)
    return text[: ends[-1] if ends else whole_words(text, 0, room)].rstrip()


def _last_sentences(text: str, room: int) -> str:
    """The end of a text from its first sentence start that fits; where there is none, as much as fits."""
    if len(text) <= room:
        return text
    tail = text[-room:]
    starts = [start for start in sentence_ends(tail, semicolons=True)[:1] if start < len(tail)]
    return tail[starts[0] :].lstrip() if starts else tail
