"""What the step that makes an adapter tells the training process, and what it hears back."""

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from hcf_pipeline.defs.dagster_private import beta_is_meant
from hcf_pipeline.errors import HcfError, RunFailed
from hcf_pipeline.store import Markdown, Metadata

Report = Mapping[str, int | float | str]


def train_elsewhere(
    context: dg.AssetExecutionContext, pipes: dg.PipesSubprocessClient, order: Mapping[str, Any]
) -> Report:
    """Trains in a process of its own, by `order` (see `train_process`), and waits for its report.

    Raises the HcfError that the process died of.
    """
    command = [sys.executable, "-m", "hcf_pipeline.defs.sft.train_process"]
    with beta_is_meant():
        done = pipes.run(context=context, command=command, extras=dict(order))
    return _report_of(done.get_custom_messages())


def numbers(report: object) -> dict[str, int | float | str]:
    """A report's plain values as metadata."""
    values = dataclasses.asdict(report)  # type: ignore[call-overload]
    return {
        key: round(value, 4) if isinstance(value, float) else value
        for key, value in values.items()
        if isinstance(value, (int, float, str)) and key != "version"
    }


def training_metadata(report: Report, adapter: Path) -> Metadata:
    import base64

    curve = base64.b64encode((adapter / "loss.png").read_bytes()).decode("ascii")
    numbers = {key: round(value, 4) if isinstance(value, float) else value for key, value in report.items()}
    return {**numbers, "loss_curve": Markdown(f"![loss](data:image/png;base64,{curve})")}


def _report_of(messages: Sequence[Any]) -> Report:
    """What the training process said last: its report, or an error in the user's words."""
    last = messages[-1] if messages else {}
    if error := last.get("error"):
        refusal = HcfError(zh=error["zh"], en=error["en"])
        refusal.exit_code = error["exit_code"]
        raise refusal
    if "report" not in last:
        raise RunFailed(
            zh="训练进程没有交出结果；请用 hcf ui 看这次运行的日志。",
            en="The training process gave no result; see the run's log in hcf ui.",
        )
    report: Report = last["report"]
    return report
