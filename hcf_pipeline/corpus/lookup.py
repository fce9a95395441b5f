"""Turns in their place: where a citation leads."""

from __future__ import annotations

from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from hcf_pipeline.corpus.tables import TURNS
from hcf_pipeline.corpus.transcript import Turn


def turns_around(turn_table: Path, transcript: str, first: int, last: int, *, around: int = 0) -> list[Turn]:
    """The turns `first` to `last` of a transcript, in order, with `around` more on both sides.

    `turn_table` is the folder of one version of the turn table. Reads only the row groups that can hold the transcript.
    """
    wanted = (pc.field("transcript") == transcript) & (pc.field("turn") >= first - around)
    wanted &= pc.field("turn") <= last + around
    rows = pq.read_table(turn_table / TURNS, columns=list(_COLUMNS), filters=wanted)
    return [Turn(*row) for row in zip(*(rows[name].to_pylist() for name in _COLUMNS), strict=True)]


_COLUMNS = ("turn", "side", "label", "text", "flags")
