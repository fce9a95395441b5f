"""The training process: started through Dagster Pipes, so that its memory, its crash and its GPU are its own.

It dies with the process that started it, and never publishes: what it writes is published by the step that waits.
"""

from __future__ import annotations

import ctypes
import dataclasses
import os
import signal
import sys
from pathlib import Path

from dagster_pipes import PipesContext, open_dagster_pipes

from hcf_pipeline.errors import HcfError, MachineError
from hcf_pipeline.settings import LoraSettings

PR_SET_PDEATHSIG = 1


def main() -> None:
    die_with_parent()
    with open_dagster_pipes() as pipes:
        try:
            _train(pipes)
        except HcfError as error:
            _tell(pipes, error)
        except RuntimeError as error:
            if type(error).__name__ not in ("OutOfMemoryError", "AcceleratorError"):
                raise
            _tell(pipes, _out_of_memory(error))


def _train(pipes: PipesContext) -> None:
    from hcf_pipeline.sft.train import train_adapter
    from hcf_pipeline.sft.training_log import TrainProgress

    def say(progress: TrainProgress) -> None:
        pipes.log.info(
            f"[{progress.step}/{progress.n_steps}] loss {progress.loss:.2f}, {progress.tokens_per_s:.0f} tokens/s"
        )

    order = pipes.extras
    report = train_adapter(
        base=Path(order["base"]),
        base_name=order["base_name"],
        samples=Path(order["samples"]),
        lora=LoraSettings.model_validate(order["lora"]),
        quantize=order["quantize"],
        device=order["device"],
        work=Path(order["work"]),
        out=Path(order["out"]),
        report=say,
    )
    pipes.report_custom_message({"report": dataclasses.asdict(report)})


def _tell(pipes: PipesContext, error: HcfError) -> None:
    """The step that waits raises it again, in the user's words."""
    pipes.report_custom_message({"error": {"zh": error.zh, "en": error.en, "exit_code": error.exit_code}})


def _out_of_memory(error: RuntimeError) -> HcfError:
    said = str(error).splitlines()[0]
    return MachineError(
        zh=f'显存不够（{said}）；请调小 [lora] batch_size 或 max_length，打开 gradient_checkpointing，或设 [base] quantize = "4bit"。',
        en=f"The GPU's memory is too small ({said}); lower [lora] batch_size or max_length, turn on gradient_checkpointing, "
        'or set [base] quantize = "4bit".',
    )


def die_with_parent() -> None:
    """A trainer whose parent was killed must not train on: the next run would meet it on the GPU."""
    if sys.platform != "linux":
        return
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
