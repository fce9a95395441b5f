"""What a model was fitted on: how far the pairs have moved since, and whether it has seen a transcript's.

Transcripts with the same pairs in both cancel out by the digest of their rows, unread; of the others the pairs are
compared by their texts. So the cost goes with what changed, and a transcript that was moved or renamed counts nothing,
and is known again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from hcf_pipeline.corpus.pairs import Pair
from hcf_pipeline.corpus.parts import Entry, Table
from hcf_pipeline.corpus.tables import read_pairs
from hcf_pipeline.files import number_of

FITTED_ON = "fitted_on.npz"

TELLING_CHARS = 20
"""Of guest and host together. Shorter pairs ("喂？喂。") stand in many broadcasts: of 21 held-out ones of a real corpus of 421,
15 shared one with the others, and none a pair as long as this."""
KNOWN_SHARE = 0.5  # of a transcript's pairs, however short

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
    return _difference(went, came, sum(entry.n_rows for entry in before))


def record_fitted_on(pairs: Path, folder: Path, seen: Collection[str]) -> None:
    """Writes FITTED_ON into a model's folder, which was made of `pairs` and has `seen` the pairs of some transcripts.

    It holds of each transcript the digest, the number of pairs, their hashes, and whether it was seen. The same pairs
    under the same paths give the same bytes.
    """
    entries = _filled(pairs)
    digests = np.array([entry.digest for entry in entries], dtype=np.bytes_)
    n_pairs = np.array([entry.n_rows for entry in entries], dtype=np.int64)
    wanted = frozenset(seen)
    were_seen = np.array([entry.path in wanted for entry in entries], dtype=np.bool_)
    hashes = _hashes(pairs, [entry.path for entry in entries])
    np.savez(folder / FITTED_ON, allow_pickle=False, digests=digests, n_pairs=n_pairs, hashes=hashes, seen=were_seen)


def seen_transcripts(fitted_on: Iterable[Path], transcripts: Iterable[tuple[str, Sequence[Pair]]]) -> frozenset[str]:
    """Those of some transcripts (path, pairs) that one of the records `fitted_on` has seen, under whatever name.

    That is one of which a telling pair was seen, or half of all pairs. A record from before they said what was seen
    counts as having seen all that it knows.
    """
    seen = np.unique(np.concatenate([NO_HASHES, *map(_seen, fitted_on)]))
    return frozenset(path for path, pairs in transcripts if _is_known(pairs, seen))


def _seen(fitted_on: Path) -> Hashes:
    with np.load(fitted_on, allow_pickle=False) as record:
        hashes: Hashes = record["hashes"]
        return hashes[np.repeat(record["seen"], record["n_pairs"])] if "seen" in record else hashes


def _is_known(pairs: Sequence[Pair], seen: Hashes) -> bool:
    known = np.isin(hashes_of(pairs), seen)
    telling = np.array([len(pair.guest_text) + len(pair.host_text) >= TELLING_CHARS for pair in pairs], dtype=np.bool_)
    return bool(len(known)) and bool(known[telling].any() or known.mean() >= KNOWN_SHARE)


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
    return _difference(went, _hashes(pairs, [now[n].path for n in come]), len(hashes)).share


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
    """The hashes of the pairs of some transcripts, in path order."""
    return np.concatenate([NO_HASHES, *(hashes_of(found) for _, _, found in read_pairs(pairs, frozenset(paths)))])


def hashes_of(pairs: Iterable[Pair]) -> Hashes:
    """One 64-bit hash for each pair: of its texts, not its place."""
    texts = (f"{pair.guest_text}\x1e{pair.host_text}" for pair in pairs)
    hashes = [number_of(text) for text in texts]
    return np.array(hashes, dtype=np.uint64)


def _difference(went: Hashes, came: Hashes, n_old: int) -> Moved:
    values, places = np.unique(np.concatenate([went, came]), return_inverse=True)
    balance = np.bincount(places[len(went) :], minlength=len(values)) - np.bincount(
        places[: len(went)], minlength=len(values)
    )
    return Moved(int(balance[balance > 0].sum()), int(-balance[balance < 0].sum()), n_old)
