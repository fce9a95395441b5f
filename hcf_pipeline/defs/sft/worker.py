"""What the training process is ordered to do, through Dagster Pipes: fit the embedded base, or train an adapter.

It never publishes: what it writes is published by the step that waits. Two never work in one work folder or on one GPU:
each is locked for as long as this process lives. A retry that meets the lock of a trainer that outlived its run waits:
that one is about to die where the kernel sees to it, and elsewhere it leaves checkpoints that the retry goes on from,
while a work folder of its own would begin at the first step, with the GPU shared.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from dagster_pipes import PipesContext, open_dagster_pipes

from hcf_pipeline.errors import HcfError, MachineError
from hcf_pipeline.settings import BaseSettings, LoraSettings
from hcf_pipeline.store.locks import REFUSED, exclusive, try_exclusive

GPU_LOCK = ".gpu.lock"
WORK_LOCK = ".lock"

Order = Mapping[str, Any]  # plain JSON
Say = Callable[[str], None]


def carry_out() -> None:
    """Does what Pipes hands over, and reports the result, or an error in the user's words."""
    with open_dagster_pipes() as pipes:
        try:
            report = TASKS[pipes.get_extra("task")](pipes.extras, pipes.log.info)
            pipes.report_custom_message({"report": dataclasses.asdict(report)})
        except HcfError as error:
            _tell(pipes, error)
        except RuntimeError as error:
            if type(error).__name__ not in ("OutOfMemoryError", "AcceleratorError"):
                raise
            _tell(pipes, _out_of_memory(error))


def _fit_base(order: Order, say: Say) -> Any:
    from hcf_pipeline.sft.base_model import fit_base

    def progress(done: int, total: int, loss: float) -> None:
        if done == total or done % PROGRESS_STEPS == 0:
            say(f"[{done}/{total}] pretraining steps, loss {loss:.2f}")

    return fit_base(
        pairs=Path(order["pairs"]),
        base=BaseSettings.model_validate(order["base"]),
        held_out=order["held_out"],
        system=order["system"],
        out=Path(order["out"]),
        progress=progress,
        n_threads=order["threads"],
    )


PROGRESS_STEPS = 10


def _train_adapter(order: Order, say: Say) -> Any:
    work = Path(order["work"])
    work.mkdir(parents=True, exist_ok=True)
    with only_one(work / WORK_LOCK, f"the work folder {work.name}", say):
        from hcf_pipeline.sft.base_model import pick_device
        from hcf_pipeline.sft.train import train_adapter
        from hcf_pipeline.sft.training_log import TrainProgress

        def report(at: TrainProgress) -> None:
            say(f"[{at.step}/{at.n_steps}] loss {at.loss:.2f}, {at.tokens_per_s:.0f} tokens/s")

        with gpu(Path(order["home"]), pick_device(order["device"]), say):
            return train_adapter(
                base=Path(order["base"]),
                base_name=order["base_name"],
                base_revision=order["base_revision"] or None,
                samples=Path(order["samples"]),
                lora=LoraSettings.model_validate(order["lora"]),
                quantize=order["quantize"],
                device=order["device"],
                work=work,
                out=Path(order["out"]),
                report=report,
                say=say,
                left_out=order["left_out"],
                n_threads=order["threads"],
            )


TASKS: Mapping[str, Callable[[Order, Say], Any]] = {"base": _fit_base, "adapter": _train_adapter}


def gpu(home: Path, device: str, say: Say) -> AbstractContextManager[object]:
    """The GPU of a home for oneself; a CPU is shared."""
    return nullcontext() if device == "cpu" else only_one(home / GPU_LOCK, "the GPU", say)


def only_one(file: Path, what: str, say: Say) -> AbstractContextManager[object]:
    """Waits until no other process holds the lock, and says for whom. It is held until the end, or the death, of this one."""
    lock = try_exclusive(file)
    if lock is None:
        holder = file.read_text(encoding="utf-8", errors="replace").strip()
        say(f"{what} is in use by process {holder or '?'}; waiting until it has ended.")
        try:
            lock = exclusive(file)
        except OSError as error:
            if error.errno not in REFUSED:
                raise
            say(f"{file} cannot be locked ({error.strerror}); going on without.")
            return nullcontext()
    file.write_text(str(os.getpid()), encoding="utf-8")
    return lock


def _tell(pipes: PipesContext, error: HcfError) -> None:
    """The step that waits raises it again."""
    pipes.report_custom_message({"error": {"kind": type(error).__name__, "zh": error.zh, "en": error.en}})


def _out_of_memory(error: RuntimeError) -> HcfError:
    said = str(error).splitlines()[0]
    return MachineError(
        zh=f'显存不够（{said}）；请调小 [lora] batch_size 或 max_length，打开 gradient_checkpointing，或设 [base] quantize = "4bit"。',
        en=f"The GPU's memory is too small ({said}); lower [lora] batch_size or max_length, turn on gradient_checkpointing, "
        'or set [base] quantize = "4bit".',
    )
