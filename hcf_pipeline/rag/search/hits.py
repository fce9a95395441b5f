"""What retrieval finds."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from hcf_pipeline.rag.chunking.lines import Line, begins_at, shown, words_of


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
    lines: tuple[Line, ...]
    score: float  # 0 to 1
    chunk_id: str
    row: int  # of the index that it was found in
    also: tuple[Place, ...] = ()  # of near-duplicates that scored less

    @property
    def text(self) -> str:
        """To be read: labels kept, one turn after the other."""
        return shown(self.lines)

    @property
    def start_s(self) -> float | None:
        """When its first turn begins that has a time."""
        return begins_at(self.lines)

    @property
    def words(self) -> str:
        """To be compared: without the labels."""
        return words_of(self.lines)

    @property
    def place(self) -> Place:
        return Place(self.transcript, self.date, self.turns)
