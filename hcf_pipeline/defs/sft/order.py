"""What the steps that train tell the training process, and what they hear back."""

import base64
import dataclasses
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from hcf_pipeline import errors
from hcf_pipeline.defs.dagster_private import beta_is_meant
from hcf_pipeline.errors import HcfError, RunFailed
from hcf_pipeline.machine.threads import environment, wanted_threads
from hcf_pipeline.settings import Settings
from hcf_pipeline.store import Markdown, Metadata

Report = Mapping[str, Any]  # plain JSON


def ordered(
    context: dg.AssetExecutionContext, pipes: dg.PipesSubprocessClient, settings: Settings, order: Mapping[str, Any]
) -> Report:
    """The report of the training process on an `order` (see worker.py), which it carries out while this one waits.

    Raises the HcfError that the process died of, as the same kind.
    """
    number = wanted_threads(settings.sections.run.threads)
    with beta_is_meant():
        done = pipes.run(
            context=context,
            command=[sys.executable, "-m", "hcf_pipeline.defs.sft.train_process", str(os.getpid())],
            extras={"threads": number, **order},
            env=environment(number, os.environ),
        )
    return _report_of(done.get_custom_messages())


def numbers(report: object) -> Metadata:
    """A report's plain values as metadata."""
    return plain(dataclasses.asdict(report))  # type: ignore[call-overload]


def plain(report: Report) -> Metadata:
    return {
        key: round(value, 4) if isinstance(value, float) else value
        for key, value in report.items()
        if isinstance(value, (int, float, str)) and key != "version"
    }


def training_metadata(report: Report, adapter: Path) -> Metadata:
    curve = base64.b64encode((adapter / "loss.png").read_bytes()).decode("ascii")
    return {**plain(report), "loss_curve": Markdown(f"![loss](data:image/png;base64,{curve})")}


def _report_of(messages: Sequence[Any]) -> Report:
    """What the training process said last: its report, or an error in the user's words."""
    last = messages[-1] if messages else {}
    if error := last.get("error"):
        kind = getattr(errors, error["kind"], HcfError)
        raise kind(zh=error["zh"], en=error["en"])
    if "report" not in last:
        raise RunFailed(
            zh="训练进程没有交出结果；请用 hcf ui 看这次运行的日志。",
            en="The training process gave no result; see the run's log in hcf ui.",
        )
    report: Report = last["report"]
    return report
