"""A transcript's turns as pairs: what the guest said, and the host's answer to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from hcf_pipeline.corpus.transcript import Turn


class Pair(NamedTuple):
    no: int  # from 1, in file order
    guest_text: str
    host_text: str
    host_label: str
    first_turn: int
    last_turn: int
    flags: str


def pair_turns(turns: Iterable[Turn]) -> Iterator[Pair]:
    """Consecutive turns of one side are joined by a line break; what the host says before any guest is no pair."""
    no = 0
    guest: list[Turn] = []
    host: list[Turn] = []
    for turn in turns:
        if turn.side == "host":
            if guest and turn.text:
                host.append(turn)
        elif turn.text:
            if host:
                no += 1
                yield _pair(no, guest, host)
                guest, host = [turn], []
            else:
                guest.append(turn)
    if host:
        yield _pair(no + 1, guest, host)


def _pair(no: int, guest: list[Turn], host: list[Turn]) -> Pair:
    first, last = guest[0], host[-1]
    if len(guest) == len(host) == 1:  # nine of ten
        flags = f"{first.flags} {last.flags}".strip() if first.flags or last.flags else ""
        values = (no, first.text, last.text, last.label, first.no, last.no, flags)
        return tuple.__new__(Pair, values)  # half the time of the NamedTuple's own constructor
    flags = " ".join(sorted({flag for turn in (*guest, *host) for flag in turn.flags.split()}))
    guest_text, host_text = "\n".join([t.text for t in guest]), "\n".join([t.text for t in host])
    return Pair(no, guest_text, host_text, host[0].label, first.no, last.no, flags)
