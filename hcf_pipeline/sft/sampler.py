"""The order of training samples: batches of like length, shuffled, and the same again for the same seed and epoch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

POOL_BATCHES = 50  # batches among which lengths are sorted: more means less padding and less chance


class LengthGroupedSampler:
    """Indices of one epoch, batch after batch.

    Random padding wastes two thirds of the tokens at batch size 8, this order a twentieth. Everything follows from
    seed + epoch, so a resumed run sees the batches that an undisturbed one would have seen (TRL's own grouping has no
    generator and does not).
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self._lengths = np.asarray(lengths)
        self._batch_size = batch_size
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        generator = np.random.default_rng(self._seed + self._epoch)
        order = generator.permutation(len(self._lengths))
        pool = self._batch_size * POOL_BATCHES
        batches: list[list[int]] = []
        for start in range(0, len(order), pool):
            members = order[start : start + pool]
            members = members[np.argsort(-self._lengths[members], kind="stable")]
            batches += [members[i : i + self._batch_size].tolist() for i in range(0, len(members), self._batch_size)]
        # Only the last batch may be short, or every batch after it would mix two groups.
        full = [batch for batch in batches if len(batch) == self._batch_size]
        short = [batch for batch in batches if len(batch) < self._batch_size]
        for n in generator.permutation(len(full)):
            yield from full[n]
        for batch in short:
            yield from batch
