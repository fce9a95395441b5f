"""How far the pairs have moved: since a model was fitted on them, or between two pair tables.

Transcripts with the same pairs in both cancel out by the digest of their rows, unread; of the others the pairs are
compared by their texts. So the cost goes with what changed, and a transcript that was moved or renamed counts nothing.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from hcf_pipeline.corpus.parts import Entry, Table
from hcf_pipeline.corpus.tables import read_pairs

FITTED_ON = "fitted_on.npz"

Hashes: TypeAlias = npt.NDArray[np.uint64]
NO_HASHES: Hashes = np.empty(0, dtype=np.uint64)


class Moved(NamedTuple):
    """Pairs that came and went; one that changed did both, one that stands twice counts twice."""

    came: int
    went: int
    n_old: int  # all pairs there were

    @property
    def share(self) -> float:
        """What came or went, whichever is more, of what there was."""
        return max(self.came, self.went) / max(1, self.n_old)


def pairs_between(old: Path, new: Path) -> Moved:
    """How the pairs of one pair table moved to another; transcripts whose pairs are the same in both are not read."""
    before, after = _filled(old), _filled(new)
    gone, come = _unlike([e.digest for e in before], [e.digest for e in after])
    went, came = _hashes(old, [before[n].path for n in gone]), _hashes(new, [after[n].path for n in come])
    return _moved(went, came, sum(entry.n_rows for entry in before))


def record_fitted_on(pairs: Path, folder: Path) -> None:
    """Writes FITTED_ON into a model's folder: of each transcript the digest, the number of pairs, and their hashes.

    The same pairs under the same paths give the same bytes.
    """
    entries = _filled(pairs)
    digests = np.array([entry.digest for entry in entries], dtype=np.bytes_)
    n_pairs = np.array([entry.n_rows for entry in entries], dtype=np.int64)
    hashes = _hashes(pairs, [entry.path for entry in entries])
    np.savez(folder / FITTED_ON, allow_pickle=False, digests=digests, n_pairs=n_pairs, hashes=hashes)


def changed_share(fitted_on: Path, pairs: Path) -> float:
    """Share of the pairs that came or went since, whichever is more, of those that the model was fitted on.

    Transcripts that the record `fitted_on` knows are not read.
    """
    with np.load(fitted_on, allow_pickle=False) as record:
        digests, n_pairs, hashes = record["digests"], record["n_pairs"], record["hashes"]
    now = _filled(pairs)
    gone, come = _unlike([digest.decode() for digest in digests.tolist()], [entry.digest for entry in now])
    of_transcript = np.split(hashes, np.cumsum(n_pairs)[:-1])
    went = np.concatenate([NO_HASHES, *(of_transcript[n] for n in gone)])
    return _moved(went, _hashes(pairs, [now[n].path for n in come]), len(hashes)).share


def _filled(pairs: Path) -> list[Entry]:
    return [entry for entry in Table(pairs).entries if entry.n_rows]


def _unlike(old: Sequence[str], new: Sequence[str]) -> tuple[list[int], list[int]]:
    """Places of the old digests that no new one cancels out, and of the new ones that no old one does."""
    return _left_over(old, Counter(new)), _left_over(new, Counter(old))


def _left_over(digests: Sequence[str], others: Counter[str]) -> list[int]:
    places: list[int] = []
    for place, digest in enumerate(digests):
        if others[digest]:
            others[digest] -= 1
        else:
            places.append(place)
    return places


def _hashes(pairs: Path, paths: Collection[str]) -> Hashes:
    """One 64-bit hash for each pair of some transcripts (its texts, not its place), in path order."""
    wanted = frozenset(paths)
    texts = (f"{pair.guest_text}\x1e{pair.host_text}" for _, _, found in read_pairs(pairs, wanted) for pair in found)
    hashes = [int.from_bytes(hashlib.sha256(text.encode("utf-8")).digest()[:8], "big") for text in texts]
    return np.array(hashes, dtype=np.uint64)


def _moved(went: Hashes, came: Hashes, n_old: int) -> Moved:
    values, places = np.unique(np.concatenate([went, came]), return_inverse=True)
    balance = np.bincount(places[len(went) :], minlength=len(values)) - np.bincount(
        places[: len(went)], minlength=len(values)
    )
    return Moved(int(balance[balance > 0].sum()), int(-balance[balance < 0].sum()), n_old)
