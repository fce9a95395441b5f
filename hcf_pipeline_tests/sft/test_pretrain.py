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
        assert rates[top + 1] > 0.98 and rates[(top + n_steps) // 2] == pytest.approx(
            (1 + FINAL_LEARNING_RATE) / 2, abs=0.05
        )


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


def test_the_last_steps_move_the_weights_little() -> None:
    torch.manual_seed(0)
    model = new_model(model_config(10, TINY, eos=1, pad=0))
    weights = model.get_output_embeddings().weight
    before, moved = weights.detach().clone(), list[float]()

    def look(*_: object) -> None:
        moved.append(float((weights.detach() - before).norm()))
        before.copy_(weights.detach())

    pretrain(model, stream(40_000), TINY, look)
    assert moved[-1] < 0.2 * max(moved) and moved[0] < max(moved)


def test_the_same_seed_draws_the_same_windows_and_another_others() -> None:
    losses = []
    for seed in (1, 1, 2):
        torch.manual_seed(0)
        model = new_model(model_config(10, TINY, eos=1, pad=0))
        rng = np.random.default_rng(0)
        ids = rng.integers(2, 10, 3_000).astype(np.int32)
        losses.append(pretrain(model, ids, TINY.model_copy(update={"seed": seed, "steps": 2}), lambda *_: None))
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.parametrize("n", [40, SEQUENCE + 1, 3 * SEQUENCE])
def test_every_window_is_a_run_of_the_stream_and_a_short_stream_is_one_window(n: int) -> None:
    """Each token stands for its place, so that a window that wraps round or leaves one out is seen."""
    ids = np.arange(n, dtype=np.int32)
    model = new_model(model_config(n, TINY, eos=1, pad=0))
    windows: list[torch.Tensor] = []
    model.register_forward_pre_hook(lambda _, __, given: windows.append(given["input_ids"]), with_kwargs=True)
    pretrain(model, ids, TINY.model_copy(update={"steps": 8}), lambda *_: None)
    length = min(SEQUENCE, n - 1)
    assert {tuple(window.shape) for window in windows} == {(BATCH, length - 1)}
    starts = [int(row[0]) for window in windows for row in window]
    assert all(
        (row == torch.arange(int(row[0]), int(row[0]) + length - 1)).all() for window in windows for row in window
    )
    assert min(starts) >= 0 and max(starts) <= n - length - 1
    assert len(set(starts)) > 10 or n - length == 1


def test_what_follows_by_chance_tells_nothing() -> None:
    ids = np.array([0, 0, 1, 1, 2, 2, 0, 2, 1] * 300, dtype=np.int32)  # each of the nine pairs as often as the others
    known = bigrams(ids, 3, 3)
    assert np.abs(known.before @ known.after.T).max() < 0.01


def test_a_corpus_of_one_token_has_bigrams_too() -> None:
    known = bigrams(np.zeros(50, dtype=np.int32), 1, 3)
    assert known.before.shape == known.after.shape == (1, 3) and np.exp(known.log_p).sum() == pytest.approx(1)


def test_bigrams_foretell_by_counts_and_forget_what_is_chance() -> None:
    ids = np.array([2, 5, 3, 7] * 300 + [2, 9], dtype=np.int32)
    known = bigrams(ids, 10, 9)
    scores = known.before @ known.after.T
    assert scores[2].argmax() == 5 and scores[3].argmax() == 7
    once = np.log((len(ids) - 1) / (ids[:-1] == 2).sum())  # what its share says of a pair that was seen once
    assert scores[2, 9] == pytest.approx(once / 2, abs=0.01)
    often = np.log(
        300 * (len(ids) - 1) / (301 * 300)
    )  # 2 stands 301 times before another, 5 as often after one as after 2
    assert scores[2, 5] == pytest.approx(often * 300 / 301, abs=0.001)
    assert np.exp(known.log_p).sum() == pytest.approx(1, abs=1e-4)
    assert known.log_p[[2, 3, 5, 7]].min() > known.log_p[[0, 1, 4, 6, 8]].max()
    again = bigrams(ids, 10, 9)
    assert all((one == other).all() for one, other in zip(known, again, strict=True))
