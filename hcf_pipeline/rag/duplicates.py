"""Near-duplicates: a broadcast that was uploaded twice, turns that two chunks share, a standing phrase."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hcf_pipeline.rag.terms import sampled_pairs

SAME = 0.8  # of the pairs of characters of the one that has fewer, which the other has too
MIN_PAIRS = 6  # of those that were sampled; what is shorter has to be equal
ONE_IN = 4  # pairs are compared, always the same ones: enough to tell, and a quarter of the work


def originals(texts: Sequence[str]) -> list[int]:
    """For each text the position of the first one that it repeats, or its own."""
    owners, pairs = sampled_pairs(texts, ONE_IN)
    _, which = np.unique(pairs, return_inverse=True)
    has = np.zeros((len(texts), int(which.max(initial=-1)) + 1), dtype=np.float32)
    has[owners, which] = 1
    shared = has @ has.T
    n_pairs = np.diag(shared)
    fewer = np.minimum(n_pairs[:, None], n_pairs)
    same = (shared >= SAME * fewer) & (fewer >= MIN_PAIRS)
    found: list[int] = []
    for n, text in enumerate(texts):
        firsts = (first for first, own in enumerate(found) if first == own)
        found.append(next((first for first in firsts if same[first, n] or texts[first] == text), n))
    return found
