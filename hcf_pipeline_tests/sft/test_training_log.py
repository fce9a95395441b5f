from __future__ import annotations

import json
from pathlib import Path

import pytest

from hcf_pipeline.sft.training_log import CURVE, LOG, write_log

HISTORY = [
    {"step": 1, "epoch": 0.5, "loss": 3.0, "learning_rate": 0.1, "grad_norm": 1.0},
    {"step": 2, "epoch": 1.0, "loss": 2.0, "learning_rate": 0.0},
    {"step": 2, "epoch": 1.0, "train_runtime": 12.5},
]


@pytest.mark.parametrize("held_out", [None, 1.5])
def test_the_log_holds_each_step_and_last_what_is_held_out_and_no_times(tmp_path: Path, held_out: float | None) -> None:
    assert write_log(HISTORY, tmp_path, held_out and 2.5, held_out) == [3.0, 2.0]
    rows = [json.loads(line) for line in (tmp_path / LOG).read_text(encoding="utf-8").splitlines()]
    assert rows[:2] == [
        {"step": 1, "epoch": 0.5, "loss": 3.0, "learning_rate": 0.1},
        {"step": 2, "epoch": 1.0, "loss": 2.0, "learning_rate": 0.0},
    ]
    assert rows[2:] == ([{"held_out_loss_base": 2.5, "held_out_loss": 1.5}] if held_out else [])
    first = (tmp_path / CURVE).read_bytes()
    write_log(HISTORY, tmp_path, held_out and 2.5, held_out)
    assert (tmp_path / CURVE).read_bytes() == first
    write_log(HISTORY, tmp_path, 2.6, 1.5)
    assert (tmp_path / CURVE).read_bytes() != first
