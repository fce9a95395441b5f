"""The training process dies with the one that started it, and shares neither work folder nor GPU."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import psutil
import pytest
from dagster_pipes import encode_param

from hcf_pipeline.defs.sft.worker import GPU_LOCK, WORK_LOCK, gpu, only_one
from hcf_pipeline.store.locks import exclusive, try_exclusive
from hcf_pipeline_tests.sft.conftest import BASE, HELD_OUT, LORA, SYSTEM

GONE_S = 20

# Starts the trainer, tells its process id, and is killed as soon as it reads a line.
PARENT = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-m", "hcf_pipeline.defs.sft.train_process", str(os.getpid())])
print(child.pid, flush=True)
child.wait()
"""


def pipes_environment(folder: Path, order: dict[str, object]) -> dict[str, str]:
    """What Dagster's client sets for the process that it starts."""
    context = {
        "extras": order, "run_id": "run", "retry_number": 0, "job_name": None, "asset_keys": None,
        "code_version_by_asset_key": None, "provenance_by_asset_key": None, "partition_key": None,
        "partition_key_range": None, "partition_time_window": None,
    }  # fmt: skip
    (folder / "context.json").write_text(json.dumps(context), encoding="utf-8")
    given = {"DAGSTER_PIPES_CONTEXT": {"path": str(folder / "context.json")}}
    given |= {"DAGSTER_PIPES_MESSAGES": {"path": str(folder / "messages.jsonl")}}
    return {name: encode_param(value) for name, value in given.items()}


def messages(folder: Path) -> list[str]:
    file = folder / "messages.jsonl"
    return file.read_text(encoding="utf-8").splitlines() if file.exists() else []


def training(base: Path, samples: Path, folder: Path, epochs: float) -> dict[str, object]:
    lora = LORA.model_copy(update={"max_steps": 0, "epochs": epochs})
    return {
        "task": "adapter", "threads": 1, "base": str(base), "base_name": "embedded", "base_revision": "", "samples": str(samples),
        "lora": lora.model_dump(mode="json"), "quantize": "none", "device": "cpu", "left_out": [], "home": str(folder),
        "work": str(folder / "work"), "out": str(folder / "out"),
    }  # fmt: skip


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process of its parent's end")
@pytest.mark.parametrize("killed", [0.0, 0.05, 0.1, "while it trains"])
def test_a_trainer_whose_parent_is_killed_is_gone_however_early(
    base: Path, samples: Path, tmp_path: Path, killed: float | str
) -> None:
    environment = os.environ | pipes_environment(tmp_path, training(base, samples, tmp_path, epochs=500))
    parent = subprocess.Popen([sys.executable, "-c", PARENT], env=environment, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    trainer = int(parent.stdout.readline())
    if isinstance(killed, float):
        time.sleep(killed)
    else:
        while not any("tokens/s" in line for line in messages(tmp_path)):
            assert not is_gone(trainer), messages(tmp_path)
            time.sleep(0.05)
    parent.kill()
    parent.wait()
    end = time.monotonic() + GONE_S
    while not is_gone(trainer) and time.monotonic() < end:
        time.sleep(0.05)
    still_there = not is_gone(trainer)
    if still_there:
        os.kill(trainer, signal.SIGKILL)
    assert not still_there


def test_the_trainer_waits_for_one_that_still_has_its_work_folder_and_says_for_whom(
    base: Path, samples: Path, tmp_path: Path
) -> None:
    (tmp_path / "work").mkdir()
    with exclusive(tmp_path / "work" / WORK_LOCK):
        (tmp_path / "work" / WORK_LOCK).write_text("4711", encoding="utf-8")
        environment = os.environ | pipes_environment(tmp_path, training(base, samples, tmp_path, epochs=0.1))
        command = [sys.executable, "-m", "hcf_pipeline.defs.sft.train_process", str(os.getpid())]
        trainer = subprocess.Popen(command, env=environment)
        while not any("work is in use by process 4711" in line for line in messages(tmp_path)):
            assert trainer.poll() is None
            time.sleep(0.05)
        assert not (tmp_path / "out").exists()
    assert trainer.wait() == 0
    assert (tmp_path / "out" / "adapter_model.safetensors").is_file()
    assert any('"report"' in line for line in messages(tmp_path))


def test_what_went_wrong_is_reported_in_words_with_its_kind(pairs: Path, tmp_path: Path) -> None:
    order = {
        "task": "base", "threads": 1, "pairs": str(pairs), "base": BASE.model_dump(mode="json"), "system": SYSTEM,
        "held_out": [f"2024-03-{day:02}.md" for day in range(1, 11)], "out": str(tmp_path / "out"),
    }  # fmt: skip
    command = [sys.executable, "-m", "hcf_pipeline.defs.sft.train_process", str(os.getpid())]
    done = subprocess.run(command, env=os.environ | pipes_environment(tmp_path, order), check=False)
    assert done.returncode == 0
    told = [json.loads(line)["params"].get("payload") for line in messages(tmp_path)]
    (error,) = [payload["error"] for payload in told if payload and "error" in payload]
    assert error["kind"] == "DataError" and "60 held out" in error["en"] and error["zh"]


def test_the_base_is_fitted_by_the_process_with_the_threads_of_its_order(pairs: Path, tmp_path: Path) -> None:
    order = {
        "task": "base", "threads": 1, "pairs": str(pairs), "base": BASE.model_dump(mode="json"), "system": SYSTEM,
        "held_out": sorted(HELD_OUT), "out": str(tmp_path / "out"),
    }  # fmt: skip
    command = [sys.executable, "-m", "hcf_pipeline.defs.sft.train_process", str(os.getpid())]
    subprocess.run(command, env=os.environ | pipes_environment(tmp_path, order), check=True)
    assert (tmp_path / "out" / "model.safetensors").is_file()
    told = [json.loads(line)["params"] for line in messages(tmp_path)]
    (report,) = [line["payload"]["report"] for line in told if "report" in (line.get("payload") or {})]
    assert len(report["transcripts"]) == 9 and not HELD_OUT & set(report["transcripts"])
    assert any("[20/20] pretraining steps" in line or "pretraining steps" in line for line in messages(tmp_path))


def test_a_cpu_is_shared_and_a_gpu_is_not(tmp_path: Path) -> None:
    said: list[str] = []
    assert isinstance(gpu(tmp_path, "cpu", said.append), nullcontext)
    for device in ("cuda", "mps"):
        with gpu(tmp_path, device, said.append):
            assert try_exclusive(tmp_path / GPU_LOCK) is None
            assert (tmp_path / GPU_LOCK).read_text(encoding="utf-8") == str(os.getpid())
        lock = try_exclusive(tmp_path / GPU_LOCK)
        assert lock is not None
        lock.release()
    assert not said


def test_where_a_file_system_knows_no_locks_training_goes_on_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    from hcf_pipeline.store import locks

    def refuses(handle: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks, "flock", refuses)
    said: list[str] = []
    with only_one(tmp_path / "lock", "the GPU", said.append):
        pass
    assert "going on without" in said[-1]
