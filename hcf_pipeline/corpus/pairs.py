"""A transcript's turns as pairs: what the guest said, and the host's answer to it.

Where nobody asks (a monologue), a pair is a passage of the host's with no question: some sentences in a row, up to
`PASSAGE_CHARS`, so that what is learnt of a long turn is all of it. The prompt puts a neutral instruction in the place of
the question (lm/prompt.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from hcf_pipeline.corpus.sentences import chars_of, sentences, whole_words
from hcf_pipeline.corpus.transcript import Turn, joined_flags

PASSAGE_CHARS = 300


class Pair(NamedTuple):
    no: int  # from 1, in file order
    guest_text: str  # "" in a monologue
    host_text: str
    host_label: str
    first_turn: int
    last_turn: int
    flags: str


def pair_turns(turns: Iterable[Turn]) -> Iterator[Pair]:
    """Consecutive turns of one side are joined by a line break; what the host says before any guest is no pair.

    No pair reaches across another speaker's turn (a number is missing there), nor across a turn whose words were all
    removed. The flags of what a pair is made of are its own, and those of a removed turn go to what it damaged: the
    answer that went on with it, or the question that began with it.
    """
    for no, (guest, host, lost) in enumerate(_exchanges(turns), 1):
        first, last = guest[0], host[-1]
        if len(guest) == len(host) == 1:  # nine of ten
            flags = joined_flags(first.flags, last.flags, lost) if first.flags or last.flags or lost else ""
            values = (no, first.text, last.text, last.label, first.no, last.no, flags)
            yield tuple.__new__(Pair, values)  # half the time of the NamedTuple's own constructor
        else:
            flags = joined_flags(lost, *[turn.flags for turn in (*guest, *host)])
            guest_text, host_text = "\n".join([t.text for t in guest]), "\n".join([t.text for t in host])
            yield Pair(no, guest_text, host_text, host[0].label, first.no, last.no, flags)


def monologue_pairs(turns: Iterable[Turn]) -> Iterator[Pair]:
    """The host's passages in order, each as a pair without a question; the flags of a turn are those of its passages."""
    no = 0
    for turn in turns:
        if turn.side == "host":
            for text in passages(turn.text):
                no += 1
                yield Pair(no, "", text, turn.label, turn.no, turn.no, turn.flags)


def passages(text: str, max_chars: int = PASSAGE_CHARS) -> Iterator[str]:
    """The text in runs of whole sentences of at most `max_chars` characters, three times as many in a script with spaces; a
    longer sentence is cut at the limit, or before the word there."""
    max_chars *= chars_of([text])
    said = ""
    for sentence in sentences(text):
        if said and len(said) + len(sentence) > max_chars:
            if said.strip():
                yield said.strip()
            said = ""
        while len(sentence) > max_chars:
            end = whole_words(sentence, 0, max_chars)
            if piece := sentence[:end].strip():
                yield piece
            sentence = sentence[end:]  # noqa: PLW2901
        said += sentence
    if said.strip():
        yield said.strip()


def _exchanges(turns: Iterable[Turn]) -> Iterator[tuple[list[Turn], list[Turn], str]]:
    """The guest's turns, the host's that follow, and the flags of the removed turn next to them."""
    guest: list[Turn] = []
    host: list[Turn] = []
    lost = ""  # flags of a removed turn that the question began with
    last_no = 0
    for turn in turns:
        if turn.no != last_no + 1:
            if host:
                yield guest, host, lost
            guest, host, lost = [], [], ""
        last_no = turn.no
        if turn.text:
            if turn.side == "host":
                if guest:
                    host.append(turn)
                else:
                    lost = ""
            elif host:
                yield guest, host, lost
                guest, host, lost = [turn], [], ""
            else:
                guest.append(turn)
        elif turn.flags:  # without a word and without a flag nothing was removed
            if host:
                yield guest, host, f"{lost} {turn.flags}" if turn.side == "host" else lost
            guest, host, lost = [], [], turn.flags if turn.side == "guest" else ""
    if host:
        yield guest, host, lost
