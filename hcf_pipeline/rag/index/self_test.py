"""Whether an index can be trusted to find what is in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hcf_pipeline.rag.index.index import Index

N_TRIED = 20
SAME = 0.999  # cosine of a vector with itself, or with a repetition of the same text


@dataclass(frozen=True)
class SelfTest:
    n_chunks: int
    n_tried: int  # chunks at even distances
    n_wrong: int  # of these, what the nearest vector to their own is another's


def self_test(folder: Path) -> SelfTest:
    """Opens an index, reading every byte, and looks chunks up by their own vectors.

    Raises ArtifactError when the index is damaged.
    """
    index = Index(folder)
    live = index.live_rows
    tried = live[:: max(1, len(live) // N_TRIED)][:N_TRIED]
    wrong = 0
    for row, vector in zip(tried.tolist(), index.vectors(tried), strict=True):
        found = index.nearest(vector, 1, index.live)
        same = len(found) == 1 and (int(found[0]) == row or float(index.vectors(found)[0] @ vector) >= SAME)
        wrong += not same and bool(vector.any())  # a text of unknown characters alone has no direction
    return SelfTest(index.n_chunks, len(tried), wrong)
