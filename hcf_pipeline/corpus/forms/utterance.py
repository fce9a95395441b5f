"""What the forms with fields of their own give: who says what, and when."""

from __future__ import annotations

from typing import NamedTuple


class Utterance(NamedTuple):
    label: str  # "" where the file names no speaker
    text: str
    start_s: float | None
