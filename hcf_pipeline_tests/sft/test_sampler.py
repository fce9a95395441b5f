from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hcf_pipeline.sft.sampler import LengthGroupedSampler


@given(st.lists(st.integers(1, 500), min_size=1, max_size=300), st.integers(1, 9), st.integers(0, 5))
def test_every_sample_comes_once_and_the_order_follows_seed_and_epoch(
    lengths: list[int], batch_size: int, epoch: int
) -> None:
    sampler, again = (LengthGroupedSampler(lengths, batch_size, seed=7) for _ in range(2))
    sampler.set_epoch(epoch)
    list(again)  # iterating leaves no trace
    again.set_epoch(epoch)
    order = list(sampler)
    assert sorted(order) == list(range(len(lengths)))
    assert order == list(again)


def test_batches_of_like_length_waste_little_padding() -> None:
    lengths = [(n * 7919) % 400 + 30 for n in range(2000)]
    sampler = LengthGroupedSampler(lengths, 8, seed=7)
    order = list(sampler)
    padded = sum(8 * max(lengths[i] for i in order[start : start + 8]) for start in range(0, 2000, 8))
    assert sum(lengths) / padded > 0.95
    sampler.set_epoch(1)
    assert list(sampler) != order
