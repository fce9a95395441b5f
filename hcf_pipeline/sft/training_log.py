"""The course of a training run, for machines (training_log.jsonl) and for eyes (loss.png)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

LOG = "training_log.jsonl"
CURVE = "loss.png"


@dataclass(frozen=True)
class TrainProgress:
    step: int
    n_steps: int
    loss: float  # nats per token of the host's, mean since the last report
    tokens_per_s: float  # host tokens, since the start or the resumption


def write_log(
    history: Sequence[Mapping[str, float]], out: Path, held_out_base: float | None, held_out: float | None
) -> list[float]:
    """Writes LOG and CURVE into `out`; returns the training losses in step order.

    No times in it: the same run again gives the same bytes.
    """
    logged = [entry for entry in history if "loss" in entry]
    with (out / LOG).open("w", encoding="utf-8") as file:
        for entry in logged:
            row = {"step": int(entry["step"]), "epoch": entry["epoch"], "loss": entry["loss"]}
            file.write(json.dumps(row | {"learning_rate": entry["learning_rate"]}) + "\n")
        if held_out is not None:
            file.write(json.dumps({"held_out_loss_base": held_out_base, "held_out_loss": held_out}) + "\n")
    _draw([int(entry["step"]) for entry in logged], [entry["loss"] for entry in logged], held_out_base, held_out, out)
    return [entry["loss"] for entry in logged]


def _draw(
    steps: Sequence[int], losses: Sequence[float], held_out_base: float | None, held_out: float | None, out: Path
) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.plot(steps, losses, linewidth=1, label="training")
    if held_out_base is not None and held_out is not None:
        axes.axhline(held_out_base, linestyle=":", color="gray", label="held out, base")
        axes.axhline(held_out, linestyle="--", color="tab:green", label="held out, with the adapter")
    axes.set_xlabel("step")
    axes.set_ylabel("loss, nats per token")
    axes.legend()
    figure.savefig(out / CURVE, dpi=110, metadata={"Software": None})
