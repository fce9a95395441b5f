"""Turns in their place: where a citation leads."""

from __future__ import annotations

from pathlib import Path

from hcf_pipeline.corpus.tables import TURNS, read_transcripts
from hcf_pipeline.corpus.transcript import Turn


def turns_around(turn_table: Path, transcript: str, first: int, last: int, *, around: int = 0) -> list[Turn]:
    """The turns `first` to `last` of a transcript, in order, with `around` more on both sides.

    `turn_table` is the folder of one version of the turn table; only the part that holds the transcript is read.
    """
    found = read_transcripts(turn_table / TURNS, {transcript})
    return [turn for _, _, turns in found for turn in turns if first - around <= turn.no <= last + around]
