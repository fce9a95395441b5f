"""Which runs are taken for dead: those whose lock can be had, whatever their host, boot or process number says."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from hcf_pipeline.defs.automation import liveness
from hcf_pipeline.defs.automation.liveness import (
    BY,
    HCF_REFRESH,
    PROCESS,
    SEVERAL,
    executing,
    is_dead,
    reap_dead_runs,
    this_process,
)
from hcf_pipeline.defs.executor import executor
from hcf_pipeline.store import Store

STARTED, FAILURE = dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.FAILURE
ELSEWHERE = {PROCESS: f"another-host another-boot {os.getpid()} 1"}  # as a restarted container leaves it: the same pid


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        yield instance


def under_way(
    instance: dg.DagsterInstance, tags: dict[str, str], status: dg.DagsterRunStatus = STARTED
) -> dg.DagsterRun:
    run = dg.DagsterRun(job_name="look_at_the_corpus_now", status=status, tags=tags)
    instance.add_run(run)
    return run


def status_of(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


def lock_file(instance: dg.DagsterInstance, run_id: str) -> Path:
    return Path(instance.root_directory) / "runs" / f"{run_id}.lock"


def leave_lock(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    """As a killed process leaves it."""
    lock_file(instance, run.run_id).parent.mkdir(exist_ok=True)
    lock_file(instance, run.run_id).touch()


@pytest.mark.parametrize(
    ("tags", "status"),
    [
        (ELSEWHERE, STARTED),
        (this_process(), STARTED),
        ({}, dg.DagsterRunStatus.CANCELING),
        ({BY: HCF_REFRESH}, dg.DagsterRunStatus.NOT_STARTED),
    ],
    ids=["of a restarted container", "with our number", "cancelled", "killed before its start"],
)
def test_a_run_whose_lock_nobody_holds_is_dead_and_its_lock_goes(
    instance: dg.DagsterInstance, tags: dict[str, str], status: dg.DagsterRunStatus
) -> None:
    run = under_way(instance, tags, status)
    leave_lock(instance, run)
    assert reap_dead_runs(instance) == [run.run_id]
    assert status_of(instance, run.run_id) == FAILURE and not lock_file(instance, run.run_id).exists()


def test_a_run_that_this_process_executes_lives_until_it_has_ended(instance: dg.DagsterInstance) -> None:
    run = under_way(instance, ELSEWHERE)
    with executing(instance, run.run_id):
        assert reap_dead_runs(instance) == []
        instance.report_run_failed(run, "ended")
        assert lock_file(instance, run.run_id).exists()
    assert not lock_file(instance, run.run_id).exists()
    assert not is_dead(instance, run)  # what was read before its end says that it is under way


HOLDS = """
import sys, dagster as dg
from hcf_pipeline.defs.automation.liveness import hold
with dg.DagsterInstance.from_config(sys.argv[1]) as instance:
    hold(instance, sys.argv[2])
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_living_run_of_another_pid_namespace_is_not_reaped_and_a_killed_one_is(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = under_way(instance, ELSEWHERE | {BY: HCF_REFRESH})
    may = subprocess.run(["unshare", "--pid", "--fork", "true"], check=False, capture_output=True).returncode == 0
    # killing the first process of a namespace ends all that is in it
    apart = ["unshare", "--pid", "--fork", "--kill-child"] if may else []
    command = [*apart, sys.executable, "-c", HOLDS, instance.root_directory, run.run_id]
    monkeypatch.setattr(liveness, "GRACE_S", -1.0)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as living:
        assert living.stdout is not None and living.stdout.readline() == "held\n"
        assert reap_dead_runs(instance, home_is_ours=True) == []
        living.kill()
        living.stdout.read()  # until the last process of it is gone
    assert reap_dead_runs(instance) == [run.run_id]


def test_without_a_lock_a_refresh_is_dead_where_nobody_holds_the_home(instance: dg.DagsterInstance) -> None:
    run = under_way(instance, ELSEWHERE | {BY: HCF_REFRESH}, dg.DagsterRunStatus.NOT_STARTED)
    with Store(Path(instance.root_directory)).lock():
        assert reap_dead_runs(instance) == []
        assert reap_dead_runs(instance, home_is_ours=True) == [run.run_id]
    again = under_way(instance, ELSEWHERE | {BY: HCF_REFRESH})
    assert reap_dead_runs(instance) == [again.run_id]


def test_a_run_that_had_the_time_to_take_a_lock_and_has_none_is_dead(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was killed between its start and its lock, or an older version of this program ran it."""
    old, several = under_way(instance, ELSEWHERE), under_way(instance, {PROCESS: SEVERAL})
    under_way(instance, {}, dg.DagsterRunStatus.STARTING)
    assert reap_dead_runs(instance) == []
    monkeypatch.setattr(liveness, "GRACE_S", -1.0)
    assert reap_dead_runs(instance) == [old.run_id]
    assert status_of(instance, several.run_id) == STARTED


@dg.op
def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@dg.op(pool="one", retry_policy=dg.RetryPolicy(max_retries=1))
def fails_once(context: dg.OpExecutionContext) -> int:
    if context.retry_number == 0:
        raise ValueError("the first time")
    return context.retry_number


def killed_job() -> dg.JobDefinition:
    @dg.job(executor_def=executor)
    def look() -> None:
        killed()

    return look


def retried_job() -> dg.JobDefinition:
    @dg.job(executor_def=executor)
    def retried() -> None:
        fails_once()

    return retried


def execute(home: str, name: str) -> None:
    """What a run worker does."""
    with dg.DagsterInstance.from_config(home) as instance:
        job = dg.reconstructable(globals()[name])
        with dg.execute_job(job, instance) as result:
            print(result.success, result.run_id)


def in_a_process(instance: dg.DagsterInstance, name: str) -> str:
    code = f"from hcf_pipeline_tests.defs.test_liveness import execute; execute({instance.root_directory!r}, {name!r})"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stdout


def test_a_killed_look_is_failed_at_once_whatever_its_step_was(instance: dg.DagsterInstance) -> None:
    in_a_process(instance, "killed_job")
    (run,) = instance.get_runs()
    assert run.status == STARTED and lock_file(instance, run.run_id).exists() and run.tags[PROCESS]
    assert reap_dead_runs(instance) == [run.run_id]
    assert not lock_file(instance, run.run_id).exists()


def test_the_executor_retries_and_obeys_pools_as_dagsters_own(instance: dg.DagsterInstance) -> None:
    instance.event_log_storage.set_concurrency_slots("one", 1)
    said = in_a_process(instance, "retried_job")
    (run,) = instance.get_runs()
    assert said == f"True {run.run_id}\n"
    kinds = [entry.dagster_event_type for entry in instance.all_logs(run.run_id) if entry.is_dagster_event]
    assert kinds.count(dg.DagsterEventType.STEP_RESTARTED) == 1
    assert instance.event_log_storage.get_concurrency_info("one").claimed_slots == []
    assert reap_dead_runs(instance) == [] and not lock_file(instance, run.run_id).exists()


def test_the_executor_takes_the_config_of_dagsters_own() -> None:
    def config_of(definition: dg.ExecutorDefinition) -> object:
        return definition.config_schema.config_type.key

    assert executor.name == dg.in_process_executor.name
    assert config_of(executor) == config_of(dg.in_process_executor)
