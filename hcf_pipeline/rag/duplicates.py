"""Near-duplicates: a broadcast that was uploaded twice, turns that two chunks share, a standing phrase."""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from hcf_pipeline.rag.terms import sampled_pairs

SAME = 0.8  # of the pairs of characters of the one that has fewer, which the other has too
MIN_PAIRS = 6  # of those that were sampled; what is shorter has to be equal
ONE_IN = 4  # pairs are compared, always the same ones: enough to tell, and a quarter of the work


def originals(texts: Sequence[str]) -> list[int]:
    """For each text the position of the first one that it repeats, or its own.

    A text is compared only with those that share one of the rare pairs of either, so the cost is about that of reading
    the texts, however many there are.
    """
    known = _Originals()
    by_text: dict[str, int] = {}
    found: list[int] = []
    for n, (text, pairs) in enumerate(zip(texts, _rarest_first(texts), strict=True)):
        original = min(by_text.get(text, n), known.first_like(pairs, n))
        if original == n:
            known.add(n, pairs)
            by_text[text] = n
        found.append(original)
    return found


class _Originals:
    """The texts so far that repeat none before, by their pairs.

    Two texts can only be the same where the smaller one has all but a fifth of its pairs in common with the other: so
    at least one of any few that are more than that fifth, its rarest ones for choice.
    """

    def __init__(self) -> None:
        self._pairs: dict[int, frozenset[int]] = {}
        self._by_pair: dict[int, list[int]] = defaultdict(list)
        self._by_rare: dict[int, list[int]] = defaultdict(list)

    def add(self, n: int, pairs: Sequence[int]) -> None:
        if len(pairs) < MIN_PAIRS:
            return
        self._pairs[n] = frozenset(pairs)
        for pair in pairs:
            self._by_pair[pair].append(n)
        for pair in _rare(pairs):
            self._by_rare[pair].append(n)

    def first_like(self, pairs: Sequence[int], default: int) -> int:
        """The first one that shares enough pairs, else the default."""
        if len(pairs) < MIN_PAIRS:
            return default
        asked = frozenset(pairs)
        near = {n for pair in _rare(pairs) for n in self._by_pair.get(pair, ())}
        near |= {n for pair in pairs for n in self._by_rare.get(pair, ())}
        for n in sorted(near):
            other = self._pairs[n]
            if len(asked & other) >= SAME * min(len(asked), len(other)):
                return n
        return default


def _rare(pairs: Sequence[int]) -> Sequence[int]:
    """Of a text's pairs, rarest first, so many that another text cannot lack all and still be the same."""
    return pairs[: len(pairs) - math.ceil(SAME * len(pairs)) + 1]


def _rarest_first(texts: Sequence[str]) -> list[list[int]]:
    """The distinct pairs of each text that are compared, those that few texts have first."""
    owners, pairs = sampled_pairs(texts, ONE_IN)
    starts = np.searchsorted(owners, np.arange(len(texts) + 1)).tolist()
    distinct = [set(pairs[start:end].tolist()) for start, end in itertools.pairwise(starts)]
    n_texts = Counter(pair for of_text in distinct for pair in of_text)
    return [sorted(of_text, key=lambda pair: (n_texts[pair], pair)) for of_text in distinct]
