"""Near-duplicates: a broadcast that was uploaded twice, turns that two chunks share, a standing phrase.

Two texts can only be the same where the smaller one has all but a fifth of its pairs in common with the other: so at
least one of any few that are more than that fifth. Those are its rarest ones here, and only texts that share one are
compared. The cost is about that of reading the texts, however many there are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from hcf_pipeline.rag.arrays import Ids, Mask
from hcf_pipeline.rag.index.terms import sampled_pairs

SAME = 0.8  # of the pairs of characters of the one that has fewer, which the other has too
MIN_PAIRS = 6  # of those that were sampled; what is shorter has to be equal
ONE_IN = 4  # pairs are compared, always the same ones: enough to tell, and a quarter of the work


def originals(texts: Sequence[str]) -> list[int]:
    """For each text the position of the first one that it repeats, or its own."""
    bags = _Bags(texts)
    by_text: dict[str, int] = {}
    by_pair: dict[int, list[int]] = defaultdict(list)  # the originals so far that have a pair,
    by_rare: dict[int, list[int]] = defaultdict(list)  # and those to which it is a rare one
    found: list[int] = []
    for n, text in enumerate(texts):
        near = {by_text[text]} if text in by_text else set()
        telling = bags.telling(n)
        for pair, is_rare in telling:
            near.update((by_pair if is_rare else by_rare).get(pair, ()))
        original = next((other for other in sorted(near) if texts[other] == text or bags.are_same(other, n)), n)
        found.append(original)
        if original == n:
            by_text[text] = n
            for pair, is_rare in telling:
                by_pair[pair].append(n)
                if is_rare:
                    by_rare[pair].append(n)
    return found


class _Bags:
    """The distinct pairs of each text, as numbers; those of a text that is too short are none."""

    def __init__(self, texts: Sequence[str]) -> None:
        owners, pairs = sampled_pairs(texts, ONE_IN)
        numbers = np.unique(pairs, return_inverse=True)[1]
        n_distinct = int(numbers.max(initial=0)) + 1
        owners, numbers = np.divmod(np.unique(owners * n_distinct + numbers), n_distinct)
        long = np.bincount(owners, minlength=len(texts)) >= MIN_PAIRS
        self._numbers: Ids = numbers[long[owners]]
        owners = owners[long[owners]]
        self._starts = np.searchsorted(owners, np.arange(len(texts) + 1)).tolist()
        self._sets: dict[int, frozenset[int]] = {}
        is_rare = _rare(owners, self._numbers)
        used = np.zeros(n_distinct, dtype=np.bool_)
        used[self._numbers[is_rare]] = True
        kept = np.flatnonzero(used[self._numbers])
        self._telling = list(zip(self._numbers[kept].tolist(), is_rare[kept].tolist(), strict=True))
        self._firsts = np.searchsorted(owners[kept], np.arange(len(texts) + 1)).tolist()

    def telling(self, n: int) -> list[tuple[int, bool]]:
        """(pair, whether it is one of the rare ones of this text) of those pairs that are to any text."""
        return self._telling[self._firsts[n] : self._firsts[n + 1]]

    def are_same(self, one: int, two: int) -> bool:
        first, second = self._set(one), self._set(two)
        return len(first & second) >= SAME * min(len(first), len(second))

    def _set(self, n: int) -> frozenset[int]:
        if n not in self._sets:
            self._sets[n] = frozenset(self._numbers[self._starts[n] : self._starts[n + 1]].tolist())
        return self._sets[n]


def _rare(owners: Ids, pairs: Ids) -> Mask:
    """Which pairs, of those that several texts have, are the rarest of their text: so many that another text cannot lack
    them all and still be the same."""
    n_texts = np.bincount(pairs)[pairs]
    order = np.lexsort((n_texts, owners))
    n_pairs = np.bincount(owners)[owners]
    rank = np.empty(len(owners), dtype=np.int64)
    rank[order] = np.arange(len(owners)) - np.searchsorted(owners, owners)
    rare: Mask = (rank <= n_pairs - np.ceil(SAME * n_pairs)) & (n_texts > 1)
    return rare
