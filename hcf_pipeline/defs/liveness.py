"""Which runs are alive: a killed worker, or a machine that went down, leaves runs that Dagster takes for running.

Such a run keeps its pool slot for ever, and the next one waits on it (tried). So every run of this pipeline carries a
tag that names its process, and a run whose process is gone is failed, and its slots freed.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Collection
from pathlib import Path

import dagster as dg
import psutil

from hcf_pipeline.defs.dagster_private import fail_run, free_pool_slots, runs_in_this_process, tag_run

PROCESS = "hcf/process"  # run tag: host, boot, process id, when the process began
UNDER_WAY = (
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)
BOOT = Path("/proc/sys/kernel/random/boot_id")


def this_process() -> dict[str, str]:
    """The tag of a run that this process executes."""
    return {PROCESS: " ".join([platform.node(), _boot(), str(os.getpid()), _began(os.getpid()) or "?"])}


def mark(context: dg.AssetExecutionContext) -> None:
    """Notes that this process executes the run; under executors that give each step a process nothing is known."""
    if PROCESS not in context.run.tags and runs_in_this_process(context):
        tag_run(context.instance, context.run.run_id, this_process())


def is_dead(run: dg.DagsterRun) -> bool:
    """Whether the process of a run is gone for sure; of another machine's runs nothing is known."""
    host, boot, pid, began = (run.tags.get(PROCESS, "").split(" ") + [""] * 4)[:4]
    if host != platform.node():
        return False
    return boot != _boot() or _began(int(pid)) != began


def reap_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """Fails the runs whose process is gone and frees the pool slots of ended ones; returns the ids of the dead."""
    dead = [run for run in instance.get_runs(dg.RunsFilter(statuses=list(UNDER_WAY))) if is_dead(run)]
    for run in dead:
        fail_run(instance, run, "The process that executed this run is gone: it was killed, or the machine went down.")
    ended = instance.get_runs(
        dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]), limit=20
    )
    for run in ended:
        free_pool_slots(instance, run.run_id)
    _end_log_readers({run.run_id for run in ended})
    return [run.run_id for run in dead]


def _end_log_readers(runs: Collection[str]) -> None:
    """Ends the `tail -F` of ended runs: where a run is killed just before Dagster's watcher begins, they stay for ever."""
    for process in psutil.process_iter():
        try:
            command = process.cmdline()
            if command[:2] == ["tail", "-F"] and not set(Path(command[-1]).parts).isdisjoint(runs):
                process.terminate()
        except psutil.Error:  # gone meanwhile, or another user's
            continue


def is_under_way(instance: dg.DagsterInstance, run_id: str) -> bool:
    run = instance.get_run_by_id(run_id)
    return run is not None and run.status in UNDER_WAY


def _boot() -> str:
    try:
        return BOOT.read_text(encoding="ascii").strip()
    except OSError:
        return "-"


def _began(pid: int) -> str | None:
    """When a process began, in a unit that a changed clock doesn't move; None where there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
    except OSError:
        pass
    try:
        return None if Path("/proc/self/stat").exists() else str(round(psutil.Process(pid).create_time()))
    except psutil.Error:
        return None
