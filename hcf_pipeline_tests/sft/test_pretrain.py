"""The embedded base's training, part by part."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hcf_pipeline.settings import BaseSettings
from hcf_pipeline.sft.pretrain import (
    BATCH,
    FINAL_LEARNING_RATE,
    MAX_EPOCHS,
    MIN_STEPS,
    SEQUENCE,
    _schedule,
    bigrams,
    model_config,
    new_model,
    pretrain,
    steps_for,
)

TINY = BaseSettings(hidden_size=16, layers=1, steps=40)


def stream(n: int) -> np.ndarray:
    """Tokens that repeat in a round of seven."""
    return (np.arange(n) % 7 + 2).astype(np.int32)


@given(st.integers(1, 400))
def test_the_rate_rises_to_its_height_and_falls_to_a_twentieth_of_it(n_steps: int) -> None:
    rates = [_schedule(step, n_steps) for step in range(n_steps)]
    top = rates.index(max(rates))
    assert rates[top] == pytest.approx(1, abs=1e-6)
    assert top <= max(1, n_steps * 0.05 + 1)
    assert rates[: top + 1] == sorted(rates[: top + 1]) and rates[top:] == sorted(rates[top:], reverse=True)
    if n_steps >= 40:
        assert top >= 1 and rates[0] <= 0.5
        assert FINAL_LEARNING_RATE <= rates[-1] < 0.06


def test_a_small_corpus_gets_a_few_passes_and_no_corpus_more_steps_than_asked_for() -> None:
    per_epoch = BATCH * SEQUENCE
    asked = BaseSettings(steps=300)
    assert steps_for(100 * per_epoch, asked) == 300
    assert steps_for(20 * per_epoch, asked) == MAX_EPOCHS * 20
    assert steps_for(100, asked) == MIN_STEPS
    assert steps_for(100, BaseSettings(steps=5)) == 5


def test_training_learns_a_round_and_gives_the_mean_loss_of_its_last_tenth() -> None:
    torch.manual_seed(0)
    model = new_model(model_config(10, TINY, eos=1, pad=0))
    seen: list[tuple[int, int, float]] = []
    ids = stream(40_000)
    loss = pretrain(model, ids, TINY, lambda done, total, loss: seen.append((done, total, loss)))
    assert [(done, total) for done, total, _ in seen] == [(n + 1, 40) for n in range(40)]
    assert loss == pytest.approx(sum(loss for *_, loss in seen[-4:]) / 4)
    assert loss < 0.9 * seen[0][2] and not model.training


def test_the_same_seed_draws_the_same_windows_and_another_others() -> None:
    losses = []
    for seed in (1, 1, 2):
        torch.manual_seed(0)
        model = new_model(model_config(10, TINY, eos=1, pad=0))
        rng = np.random.default_rng(0)
        ids = rng.integers(2, 10, 3_000).astype(np.int32)
        losses.append(pretrain(model, ids, TINY.model_copy(update={"seed": seed, "steps": 2}), lambda *_: None))
    assert losses[0] == losses[1] != losses[2]


def test_bigrams_foretell_by_counts_and_forget_what_is_chance() -> None:
    ids = np.array([2, 5, 3, 7] * 300 + [2, 9], dtype=np.int32)
    known = bigrams(ids, 10, 9)
    scores = known.before @ known.after.T
    assert scores[2].argmax() == 5 and scores[3].argmax() == 7
    once = np.log((len(ids) - 1) / (ids[:-1] == 2).sum())  # what its share says of a pair that was seen once
    assert scores[2, 9] == pytest.approx(once / 2, abs=0.01)
    assert np.exp(known.log_p).sum() == pytest.approx(1, abs=1e-4)
    assert known.log_p[[2, 3, 5, 7]].min() > known.log_p[[0, 1, 4, 6, 8]].max()
    again = bigrams(ids, 10, 9)
    assert all((one == other).all() for one, other in zip(known, again, strict=True))
