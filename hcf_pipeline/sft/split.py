"""Which of the broadcasts that may be trained on are: all, or a sample of whole ones."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def sampled_transcripts(paths: Iterable[str], ratio: float, seed: int) -> frozenset[str]:
    """About `ratio` of the transcripts, whole, and at least one.

    Each is drawn by its own hash: others that come or go, or another order, don't change whether it is in. A larger
    ratio keeps what a smaller one had.
    """
    drawn = {path: _draw(path, seed) for path in paths}
    chosen = frozenset(path for path, number in drawn.items() if number < ratio)
    return chosen or frozenset(sorted(drawn, key=drawn.__getitem__)[:1])


def _draw(path: str, seed: int) -> float:
    """A number in [0, 1) that the path and the seed decide."""
    digest = hashlib.sha256(f"{seed}:{path}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
