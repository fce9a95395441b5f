"""Checkpoints that can be trusted: a hash manifest is written last, and only one that verifies is resumed from.

The trainer itself takes the highest number unchecked, and resumes silently and wrongly where optimizer.pt or
rng_state.pth is missing. The manifest also says what the run's weights depend on (settings, base, samples, libraries,
threads …), so that what another run left in the folder is never continued, and the log says what differs.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

from hcf_pipeline.files import file_sha256, files_below

MANIFEST = "checkpoint.json"
PREFIX = "checkpoint-"
NEEDED = frozenset({"optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json", "adapter_model.safetensors"})

Run: TypeAlias = Mapping[str, str]  # what weights depend on: "threads" -> "2"


def seal(checkpoint: Path, run: Run) -> None:
    """Writes the manifest: sha256 of every file of the checkpoint, and the run it belongs to."""
    files = {p.relative_to(checkpoint).as_posix(): file_sha256(p) for p in sorted(files_below(checkpoint))}
    draft = checkpoint / f"{MANIFEST}.draft"
    draft.write_text(json.dumps({"run": dict(run), "files": files}, indent=1), encoding="utf-8")
    draft.replace(checkpoint / MANIFEST)


def newest(work: Path, run: Run, say: Callable[[str], None] = lambda line: None) -> Path | None:
    """The checkpoint with the highest step that is whole, unchanged and of this run; those that aren't are removed.

    A broken folder left in place would count among the last two that the trainer keeps. `say` is told why one is
    passed over.
    """
    for checkpoint in sorted(work.glob(f"{PREFIX}*"), key=step_of, reverse=True):
        fault = _fault(checkpoint, run)
        if not fault:
            return checkpoint
        say(f"{checkpoint.name} is not continued: {fault}")
        shutil.rmtree(checkpoint, ignore_errors=True)
    return None


def step_of(checkpoint: Path) -> int:
    number = checkpoint.name.removeprefix(PREFIX)
    return int(number) if number.isdecimal() else -1


def _fault(checkpoint: Path, run: Run) -> str:
    """What keeps a checkpoint from being continued; "" for nothing."""
    try:
        manifest = json.loads((checkpoint / MANIFEST).read_text(encoding="utf-8"))
        files, of_run = dict(manifest["files"]), dict(manifest["run"])
    except (OSError, ValueError, KeyError, TypeError):
        return "its manifest is missing or unreadable"
    if moved := [name for name in sorted(of_run.keys() | run.keys()) if of_run.get(name) != run.get(name)]:
        return "it was trained with " + ", ".join(f"{name} {of_run.get(name)}, not {run.get(name)}" for name in moved)
    if not files.keys() >= NEEDED:
        return "a part is missing"
    damaged = (n for n, sha in files.items() if not (checkpoint / n).is_file() or file_sha256(checkpoint / n) != sha)
    return next((f"{name} is damaged" for name in damaged), "")
