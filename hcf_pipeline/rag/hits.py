"""What retrieval finds."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

from hcf_pipeline.rag.chunks import COLON


@dataclass(frozen=True)
class Line:
    """What one turn (or the part of it in the chunk) says."""

    turn: int
    label: str
    text: str


@dataclass(frozen=True)
class Place:
    """Where else the same words stand."""

    transcript: str
    date: datetime.date | None
    turns: tuple[int, int]


@dataclass(frozen=True)
class Hit:
    transcript: str
    date: datetime.date | None
    turns: tuple[int, int]  # first and last
    text: str  # labels kept, one turn after the other
    score: float  # 0 to 1
    chunk_id: str
    lines: tuple[Line, ...]
    row: int  # of the index that it was found in
    also: tuple[Place, ...] = ()  # of near-duplicates that scored less

    @property
    def place(self) -> Place:
        return Place(self.transcript, self.date, self.turns)


def lines_of(text: str, turn_nos: Sequence[int]) -> tuple[Line, ...]:
    """The turns of a chunk's text, whose lines have the turn numbers given."""
    lines: list[Line] = []
    for no, line in zip(turn_nos, text.split("\n"), strict=True):
        if lines and lines[-1].turn == no:
            before = lines[-1]
            lines[-1] = Line(no, before.label, f"{before.text}\n{line}")
        else:
            label, _, said = line.partition(COLON)
            lines.append(Line(no, label, said))
    return tuple(lines)
