"""One transcript's turns as spans of at most so many characters: whole exchanges, a question with its answer.

One pass over the turns, in which an exchange (the guest's turns with the host's that follow) is what is packed. Only an
exchange larger than a whole chunk is cut, at sentence ends; what remains of it is packed on with the next exchange.

Spans stay where they are when the transcript changes elsewhere: a span that is at least half full also ends before
a guest turn whose length is a multiple of `STEP`, so two packings of nearly the same turns soon fall into step again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from hcf_pipeline.corpus.sentences import CLAUSE_MARKS, MARKS, first_full_stop, last_full_stop, whole_words
from hcf_pipeline.corpus.transcript import Turn

STEP = 4


class Span(NamedTuple):
    """The turns first..last (positions, inclusive): the first from character `begin`, the last up to `end`."""

    first: int
    begin: int
    last: int
    end: int


def pack_turns(turns: Sequence[Turn], max_chars: int, overlap_turns: int = 0) -> list[Span]:
    """Spans in order that cover every character of every turn, each of at most `max_chars` of the turns' text.

    Labels and the breaks between turns don't count. With `overlap_turns` a span begins with that many whole turns of
    the one before, as far as both they and what must follow them fit. Turns without text must have been left out.
    """
    packer = _Packer([len(turn.text) for turn in turns], [turn.text for turn in turns], max_chars, overlap_turns)
    start, size, after_host = 0, 0, False
    for position, turn in enumerate(turns):
        n_chars = len(turn.text)
        if turn.side == "host":
            after_host = True
        elif after_host:
            packer.add(start, position, size)
            if packer.size * 2 >= max_chars and not n_chars % STEP:
                packer.close()
            start, size, after_host = position, 0, False
        size += n_chars
    if turns:
        packer.add(start, len(turns), size)
        packer.close()
    return packer.spans


class _Packer:
    """The spans so far, and the open one: turns first..stop (exclusive) with `size` characters."""

    def __init__(self, lengths: list[int], texts: list[str], max_chars: int, overlap_turns: int) -> None:
        self.spans: list[Span] = []
        self.size = 0
        self._lengths = lengths
        self._texts = texts
        self._max = max_chars
        self._overlap = overlap_turns
        self._first = self._begin = self._stop = 0
        self._carried = 0  # turns at the front that stand in the span before too

    def add(self, start: int, stop: int, size: int) -> None:
        """The exchange of the turns start..stop (exclusive), `size` characters long."""
        if self.size + size > self._max:
            self.close()
            self._drop_carried(size)
            if size > self._max:
                self._cut(start, stop, size)
                return
        self._stop = stop
        self.size += size

    def close(self) -> None:
        """Ends the open span, unless it holds nothing new."""
        if self._first + self._carried >= self._stop:
            return
        last = self._stop - 1
        self.spans.append(Span(self._first, self._begin, last, self._lengths[last]))
        self._first, self._begin, self.size, self._carried = self._stop, 0, 0, 0
        for turn in range(last, max(self.spans[-1].first, last - self._overlap), -1):
            if self.size + self._lengths[turn] > self._max // 2:
                break
            self._first, self.size, self._carried = turn, self.size + self._lengths[turn], self._carried + 1

    def _drop_carried(self, size: int) -> None:
        while self._carried and self.size + size > self._max:
            self.size -= self._lengths[self._first]
            self._first += 1
            self._carried -= 1

    def _cut(self, start: int, stop: int, size: int) -> None:
        """An exchange larger than a span: pieces of about one length, so that none is a mere tail."""
        left = size
        for turn in range(start, stop):
            text, done = self._texts[turn], 0
            while self.size + len(text) - done > self._max:
                share = -(-left // -(-left // self._max))
                room = self._max - self.size
                if room < min(self._max // 8, 32):  # not worth a piece, and it may be none at all
                    self.close()
                    self._drop_carried(self._max)
                    continue
                wish = min(room, max(share + share // 8 - self.size, 1))
                end = sentence_end(text, done, wish, room)
                self.spans.append(Span(self._first, self._begin, turn, end))
                left -= end - done
                self._first, self._begin, self.size, self._carried = turn, end, 0, 0
                done = end
            self.size += len(text) - done
            left -= len(text) - done
            self._stop = turn + 1


def sentence_end(text: str, start: int, wish: int, room: int) -> int:
    """Where to cut `text[start:]`: after the last sentence end of the first `wish` characters, else the first one up to
    `room`, else after a comma, else at `room` or before the word there. A cut in the first third counts as none."""
    earliest, wanted, latest = start + max(wish // 3, 1), start + wish, start + room
    for marks in (MARKS, CLAUSE_MARKS):
        end = max(text.rfind(mark, earliest - 1, wanted) for mark in marks) + 1
        if marks is MARKS:
            end = max(end, last_full_stop(text, earliest - 1, wanted))
        if end > 0:
            return end
        later = [at + 1 for mark in marks if (at := text.find(mark, wanted, latest)) >= 0]
        if marks is MARKS and (stop := first_full_stop(text, wanted - 1, latest)) > 0:
            later.append(stop)
        if later:
            return min(later)
    return whole_words(text, start, latest)
