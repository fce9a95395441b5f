"""Checkpoints that can be trusted: a hash manifest is written last, and only one that verifies is resumed from.

The trainer itself takes the highest number unchecked, and resumes silently and wrongly where optimizer.pt or
rng_state.pth is missing. The manifest also names the run (settings, base, samples), so that what another run left
in the folder is never continued.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from hcf_pipeline.files import file_sha256

MANIFEST = "checkpoint.json"
PREFIX = "checkpoint-"
NEEDED = frozenset({"optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json", "adapter_model.safetensors"})


def seal(checkpoint: Path, run: str) -> None:
    """Writes the manifest: sha256 of every file of the checkpoint, and the run it belongs to."""
    files = {p.relative_to(checkpoint).as_posix(): file_sha256(p) for p in sorted(checkpoint.rglob("*")) if p.is_file()}
    draft = checkpoint / f"{MANIFEST}.draft"
    draft.write_text(json.dumps({"run": run, "files": files}, indent=1), encoding="utf-8")
    draft.replace(checkpoint / MANIFEST)


def verifies(checkpoint: Path, run: str) -> bool:
    """Whether the checkpoint is whole, unchanged and of this run."""
    try:
        manifest = json.loads((checkpoint / MANIFEST).read_text(encoding="utf-8"))
        files = dict(manifest["files"])
        same_run = manifest["run"] == run
    except (OSError, ValueError, KeyError, TypeError):
        return False
    if not same_run or not files.keys() >= NEEDED:
        return False
    return all((checkpoint / name).is_file() and file_sha256(checkpoint / name) == sha for name, sha in files.items())


def newest(work: Path, run: str) -> Path | None:
    """The checkpoint with the highest step that verifies; those that don't are removed.

    A broken folder left in place would count among the last two that the trainer keeps.
    """
    for checkpoint in sorted(work.glob(f"{PREFIX}*"), key=_step, reverse=True):
        if verifies(checkpoint, run):
            return checkpoint
        shutil.rmtree(checkpoint, ignore_errors=True)
    return None


def _step(checkpoint: Path) -> int:
    number = checkpoint.name.removeprefix(PREFIX)
    return int(number) if number.isdecimal() else -1
