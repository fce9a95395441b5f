"""How far the corpus has moved since a model was fitted on it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hcf_pipeline.corpus.tables import read_pairs

FITTED_ON = "fitted_on.npy"


def pair_hashes(pairs: Path) -> npt.NDArray[np.uint64]:
    """One 64-bit hash a pair (its texts, not its place), sorted, shape (n_pairs,)."""
    hashes = [
        int.from_bytes(hashlib.sha256(f"{pair.guest_text}\x1e{pair.host_text}".encode()).digest()[:8], "big")
        for _, _, found in read_pairs(pairs)
        for pair in found
    ]
    return np.sort(np.array(hashes, dtype=np.uint64))


def record_fitted_on(pairs: Path, folder: Path) -> None:
    np.save(folder / FITTED_ON, pair_hashes(pairs), allow_pickle=False)


def changed_share(fitted_on: Path, pairs: Path) -> float:
    """Share of the pairs that came or went since, whichever is more, of those that the model was fitted on."""
    old = np.load(fitted_on, allow_pickle=False)
    new = pair_hashes(pairs)
    came, went = len(np.setdiff1d(new, old)), len(np.setdiff1d(old, new))
    return max(came, went) / max(1, len(old))
