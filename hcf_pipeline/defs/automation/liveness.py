"""Which runs are alive: a killed worker, or a machine that went down, leaves runs that Dagster takes for running.

Such a run keeps its pool slot for ever, and the next one waits on it (tried). So whoever executes a run of this
pipeline holds a lock for as long as the process lives:

    <Dagster's home>/runs/<run id>.lock

and a run whose lock can be had is failed, and its slots freed. The run's tag names the process as well, for a person's
eyes alone: after a restart in a container the same number may be another process, and another host name the same host.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import psutil

from hcf_pipeline.defs.dagster_private import fail_run, free_pool_slots, runs_in_this_process, tag_run
from hcf_pipeline.store import Store
from hcf_pipeline.store.locks import WORKS, Lock, exclusive, shared, try_exclusive

PROCESS = "hcf/process"  # run tag: host, boot, process id, when the process began
SEVERAL = "several"  # as that tag: steps run in processes of their own, and nothing is known of the whole
BY = "hcf/by"  # run tag: what started it
HCF_REFRESH = "hcf refresh"
RUNS = "runs"
GATE = ".gate"  # held for moments, while a run's lock is taken or looked at
GRACE_S = 60.0  # a run without a lock for so long was killed between its start and its lock, or an older version ran it
UNDER_WAY = (
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)
AT_WORK = (dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING)
BOOT = Path("/proc/sys/kernel/random/boot_id")

_held: dict[str, tuple[Path, Lock]] = {}  # by run id; a run's last event is written after all that we see of it


def this_process() -> dict[str, str]:
    """The tag of a run that this process executes."""
    return {PROCESS: " ".join([platform.node(), _boot(), str(os.getpid()), _began(os.getpid())])}


def hold(instance: dg.DagsterInstance, run_id: str) -> None:
    """Notes that this process executes the run: until `let_go`, or until the process is seen to be past it."""
    _let_go_of_ended(instance)
    if run_id not in _held:
        file = _lock_file(instance, run_id)
        file.parent.mkdir(exist_ok=True)
        with exclusive(file.parent / GATE):
            _held[run_id] = (file, shared(file))


def let_go(run_id: str) -> None:
    """Notes that the run has ended, its last event included."""
    if run_id in _held:
        file, lock = _held.pop(run_id)
        with exclusive(file.parent / GATE), lock:
            file.unlink(missing_ok=True)


@contextmanager
def executing(instance: dg.DagsterInstance, run_id: str) -> Iterator[None]:
    """Held round a run that begins and ends within."""
    hold(instance, run_id)
    try:
        yield
    finally:
        let_go(run_id)


def mark(context: dg.AssetExecutionContext) -> None:
    """Notes that this process executes the run of a step, where the executor has not done so itself.

    Under executors that give each step a process nothing is known of the run.
    """
    if context.run_id in _held:
        return
    in_process = runs_in_this_process(context)
    if in_process:
        hold(context.instance, context.run_id)
    if PROCESS not in context.run.tags:
        tag_run(context.instance, context.run_id, this_process() if in_process else {PROCESS: SEVERAL})


def is_dead(instance: dg.DagsterInstance, run: dg.DagsterRun, *, home_is_ours: bool = False) -> bool:
    """Whether the process of a run is gone for sure. `home_is_ours`: the caller holds the home's lock."""
    file = _lock_file(instance, run.run_id)
    locked = _is_locked(file)
    record = instance.get_run_record_by_id(run.run_id)  # only now: a run writes its end before it lets go
    if locked or record is None or record.dagster_run.status not in UNDER_WAY:
        return False
    if locked is not None:
        return True
    if run.tags.get(BY) == HCF_REFRESH:  # killed before it had its lock, or an older version
        return home_is_ours or Store(file.parent.parent).owner() is None
    began = record.start_time or record.create_timestamp.timestamp()
    at_work = record.dagster_run.status in AT_WORK and run.tags.get(PROCESS) != SEVERAL
    return WORKS and at_work and time.time() - began > GRACE_S


def reap_dead_runs(instance: dg.DagsterInstance, *, home_is_ours: bool = False) -> list[str]:
    """Fails the runs whose process is gone and frees the pool slots of ended ones; returns the ids of the dead."""
    under_way = instance.get_runs(dg.RunsFilter(statuses=list(UNDER_WAY)))
    dead = [run for run in under_way if is_dead(instance, run, home_is_ours=home_is_ours)]
    for run in dead:
        fail_run(instance, run, "The process that executed this run is gone: it was killed, or the machine went down.")
    ended = instance.get_runs(
        dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]), limit=20
    )
    for run in ended:
        free_pool_slots(instance, run.run_id)
    _end_log_readers({run.run_id for run in ended})
    _let_go_of_ended(instance)
    _remove_locks_of_ended(instance)
    return [run.run_id for run in dead]


def _lock_file(instance: dg.DagsterInstance, run_id: str) -> Path:
    return Path(instance.root_directory) / RUNS / f"{run_id}.lock"


def _is_locked(file: Path) -> bool | None:
    """None where there is no such lock, or where locks prove nothing."""
    if not WORKS or not file.exists():
        return None
    with exclusive(file.parent / GATE):
        try:
            lock = try_exclusive(file, create=False)
        except FileNotFoundError:
            return None
        if lock is not None:
            lock.release()
        return lock is None


def _let_go_of_ended(instance: dg.DagsterInstance) -> None:
    for run_id in list(_held):
        if (run := instance.get_run_by_id(run_id)) and run.status not in UNDER_WAY:
            let_go(run_id)


def _remove_locks_of_ended(instance: dg.DagsterInstance) -> None:
    for file in (Path(instance.root_directory) / RUNS).glob("*.lock"):
        if is_under_way(instance, file.stem):
            continue
        with exclusive(file.parent / GATE):
            if file.exists() and (lock := try_exclusive(file, create=False)):
                with lock:
                    file.unlink()


def _end_log_readers(runs: Collection[str]) -> None:
    """Ends the `tail -F` of ended runs: where a run is killed just before Dagster's watcher begins, they stay for ever."""
    for pid in psutil.pids():
        try:
            process = psutil.Process(
                pid
            )  # not process_iter: it may hand out one that had this number before, and no signal
            command = process.cmdline()
            if command[:2] == ["tail", "-F"] and not set(Path(command[-1]).parts).isdisjoint(runs):
                process.kill()  # it has nothing to lose, and may have inherited that it ignores gentler wishes
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


def _began(pid: int) -> str:
    """When a process began, in a unit that a changed clock doesn't move."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
    except OSError:
        return "?"
