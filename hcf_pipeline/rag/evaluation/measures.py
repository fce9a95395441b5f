"""How good a ranking is where one broadcast is right: recall, mean reciprocal rank, nDCG."""

from __future__ import annotations

import math
from collections.abc import Sequence

DEPTH = 10
RECALLS = (1, 3, 5, 10)


def recall(ranks: Sequence[int], k: int) -> float:
    """Share of the questions whose right broadcast is among the first k; a rank of 0 says that it was not found."""
    return sum(0 < rank <= k for rank in ranks) / len(ranks)


def mrr(ranks: Sequence[int]) -> float:
    """Mean of 1/rank, 0 beyond DEPTH."""
    return sum(1 / rank for rank in ranks if 0 < rank <= DEPTH) / len(ranks)


def ndcg(ranks: Sequence[int]) -> float:
    """Mean of 1/log2(1 + rank), 0 beyond DEPTH: with one right answer the ideal gain is 1 (Järvelin & Kekäläinen 2002)."""
    return sum(1 / math.log2(1 + rank) for rank in ranks if 0 < rank <= DEPTH) / len(ranks)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]
