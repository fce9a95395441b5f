"""What one turn says, with its speaker: how it is kept, and how it is shown."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol


class Line(NamedTuple):
    """What one turn (or the part of it in the chunk) says; the text may hold line breaks."""

    turn: int
    label: str
    text: str
    start_s: float | None = None  # when the turn begins, seconds from the file's beginning; None where nobody wrote it


class Said(Protocol):
    """A line, or a whole turn."""

    @property
    def label(self) -> str: ...
    @property
    def text(self) -> str: ...


def begins_at(lines: Iterable[Line]) -> float | None:
    """When the first turn begins that has a time."""
    return next((line.start_s for line in lines if line.start_s is not None), None)


def words_of(lines: Iterable[Said]) -> str:
    """What is searched and encoded: the words alone, one turn after the other."""
    return "\n".join([line.text for line in lines])


def shown(lines: Iterable[Said], colon: str = "：") -> str:
    """What a person or a model reads: each turn after its label. For the eye only, it is not to be parsed again."""
    return "\n".join([f"{line.label}{colon}{line.text}" for line in lines])
