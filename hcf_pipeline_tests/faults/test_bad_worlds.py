"""Files that move, clocks that lie, disks that refuse, and others at work on the same home."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg
import pytest

from hcf_pipeline.defs.automation.liveness import PROCESS, executing
from hcf_pipeline.store import Store
from hcf_pipeline_tests.conftest import Project
from hcf_pipeline_tests.faults.lab import NO_TRAIN, Lab, Undisturbed, told
from hcf_pipeline_tests.faults.warm import Ended, Order
from hcf_pipeline_tests.faults.worlds import NO_SUCH_WORLD

NEW = "2024年06月/2024-07-02.md"
LATER = "水友：渡轮几点开？\n\n江照野：渡轮是早上七点一刻开，周三停航，你提前打电话问。"


def world(lab: Lab, project: Project, name: str, **arguments: Any) -> Ended:
    ended = lab.warm.do(Order(f"hcf_pipeline_tests.faults.worlds:{name}", str(project.root), arguments))
    if ended.code == NO_SUCH_WORLD:
        pytest.skip("this machine lets nobody mount")
    told(ended)
    return ended


def ran(ended: Ended) -> list[str]:
    assert ended.code == 0, ended.stderr
    found: list[str] = json.loads(ended.stdout)["ran"]
    return found


@contextmanager
def dagster_of(project: Project) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.from_config(str(project.home)) as instance:
        yield instance


# as a container leaves it that is restarted: another host name, another boot, and the same process number
RESTARTED = {PROCESS: f"another-host another-boot {os.getpid()} 1"}


def under_way(project: Project, job: str = "update_the_index", *, left_lock: bool = False) -> str:
    """A run of Dagster's that has begun and not ended, by a process elsewhere; with `left_lock`, which was killed."""
    run = dg.DagsterRun(job_name=job, status=dg.DagsterRunStatus.STARTED, tags=RESTARTED)
    with dagster_of(project) as instance:
        instance.add_run(run)
    if left_lock:
        (project.home / "runs").mkdir(exist_ok=True)
        (project.home / "runs" / f"{run.run_id}.lock").touch()
    return run.run_id


def test_of_two_refreshes_at_once_the_second_says_who_is_at_work(lab: Lab) -> None:
    project = lab.copy()
    with Store(project.home).lock():
        second = lab.hcf(project, *NO_TRAIN)
    assert second.code == 1 and str(os.getpid()) in second.stderr and "Traceback" not in second.stderr


def test_a_refresh_beside_a_run_of_dagsters_says_which_one(lab: Lab) -> None:
    project = lab.copy()
    run = under_way(project)
    with dagster_of(project) as instance, executing(instance, run):
        ended = lab.hcf(project, *NO_TRAIN)
    assert ended.code == 1 and run[:8] in ended.stderr and "Traceback" not in ended.stderr


def test_a_run_that_was_killed_in_a_pool_of_one_is_reaped_and_its_slot_is_free_again(
    lab: Lab, undisturbed: Undisturbed
) -> None:
    project = lab.copy()
    run = under_way(project, left_lock=True)
    look = under_way(project, "look_at_the_corpus_now", left_lock=True)
    with dagster_of(project) as instance:
        instance.event_log_storage.initialize_concurrency_limit_to_default("embedding")
        claimed = instance.event_log_storage.claim_concurrency_slot("embedding", run, "chunk_embeddings")
        assert claimed.is_claimed
    lab.heals(project, undisturbed)
    with dagster_of(project) as instance:
        assert instance.event_log_storage.get_concurrency_info("embedding").claimed_slots == []
        for gone in (run, look):
            dead = instance.get_run_by_id(gone)
            assert dead is not None and dead.status == dg.DagsterRunStatus.FAILURE
    assert not list((project.home / "runs").glob("*.lock"))


def test_an_emptied_folder_fails_its_check_and_the_old_release_stays(lab: Lab, undisturbed: Undisturbed) -> None:
    project = lab.copy()
    for month in project.corpus.glob("2024*"):
        shutil.rmtree(month)
    ended = lab.hcf(project, *NO_TRAIN)
    assert ended.code == 1 and "holds no transcript" in ended.stderr and "Traceback" not in ended.stderr
    with dagster_of(project) as instance:
        key = dg.AssetCheckKey(dg.AssetKey("raw_transcripts"), "transcripts_are_there")
        record = instance.event_log_storage.get_latest_asset_check_execution_by_key([key])[key]
    evaluation = record.event.dagster_event.asset_check_evaluation_data  # type: ignore[union-attr]
    assert not evaluation.passed and evaluation.blocking
    assert lab.look(project) == undisturbed.before


def test_a_read_only_home_is_told_in_a_sentence_and_still_answers(lab: Lab, undisturbed: Undisturbed) -> None:
    project = lab.copy()
    ended = world(lab, project, "home_is_read_only", arguments=NO_TRAIN)
    assert ended.code in (1, 3) and str(project.home) in ended.stderr
    asked = world(lab, project, "home_is_read_only", arguments=("retrieve", "小顾的工资", "--json"))
    assert asked.code == 0 and json.loads(asked.stdout)["hits"]
    assert lab.look(project) == undisturbed.before


@pytest.mark.parametrize("command", [NO_TRAIN, ("status",), ("retrieve", "工资"), ("gc",), ("release", "list")])
def test_a_file_where_the_home_should_be_is_told_in_a_sentence(lab: Lab, command: tuple[str, ...]) -> None:
    project = lab.copy()
    shutil.rmtree(project.home)
    project.home.write_text("", encoding="utf-8")
    ended = lab.hcf(project, *command)
    told(ended)


@pytest.mark.slow
@pytest.mark.parametrize("text", [None, LATER])
def test_a_transcript_that_moves_between_look_and_parse_is_looked_at_again(lab: Lab, text: str | None) -> None:
    project = lab.copy()
    ended = world(lab, project, "corpus_moves", arguments=NO_TRAIN, transcript=NEW, text=text)
    assert ("release" in ran(ended)) == (text is not None)  # without the new one all is as it was released
    now = lab.look(project)
    assert not now.broken and not now.lying
    assert ran(lab.hcf(project, *NO_TRAIN)) == []
    (project.corpus / NEW).write_text(LATER, encoding="utf-8")
    lab.hcf(project, *NO_TRAIN)
    hits = json.loads(lab.hcf(project, "retrieve", "渡轮几点开", "--json").stdout)["hits"]
    assert hits[0]["date"] == "2024-07-02" and "七点一刻" in hits[0]["text"]


@pytest.mark.slow
@pytest.mark.parametrize("asset", ["chunk_table", "faiss_index", "release"])
def test_a_step_whose_run_was_ended_publishes_nothing(lab: Lab, undisturbed: Undisturbed, asset: str) -> None:
    project = lab.copy()
    before = (project.home / asset / "current").read_text(encoding="utf-8")
    ended = world(lab, project, "run_is_ended", arguments=NO_TRAIN, asset=asset)
    assert ended.code == 3 and "was ended meanwhile" in ended.stderr
    assert (project.home / asset / "current").read_text(encoding="utf-8") == before
    now = lab.look(project)
    assert not now.broken and now.release == undisturbed.before.release
    lab.heals(project, undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("by_s", [-86_400, 86_400])
def test_a_clock_that_is_wrong_hides_no_change(lab: Lab, undisturbed: Undisturbed, by_s: int) -> None:
    project = lab.copy()
    ended = world(lab, project, "clock_is_wrong", arguments=NO_TRAIN, by_s=by_s)
    assert "release" in ran(ended)
    assert ran(lab.hcf(project, *NO_TRAIN)) == []
    lab.heals(project, undisturbed)
    file = project.corpus / NEW
    stat = file.stat()
    file.write_text(LATER, encoding="utf-8")
    os.utime(file, ns=(stat.st_mtime_ns + by_s * 1_000_000_000, stat.st_mtime_ns + by_s * 1_000_000_000))
    assert "turn_table" in ran(lab.hcf(project, *NO_TRAIN))


@pytest.mark.slow
@pytest.mark.parametrize("free_kb", [40, 400, 800, 1200])
def test_a_disk_that_is_really_full_loses_nothing(lab: Lab, undisturbed: Undisturbed, free_kb: int) -> None:
    project = lab.copy()
    ended = world(lab, project, "disk_is_full", arguments=NO_TRAIN, free_kb=free_kb)
    (project.root / "aside").rename(project.root / "before")
    project.home.rmdir()
    (project.root / "after").rename(project.home)
    now = lab.look(project)
    assert not now.broken, (now.broken, ended)
    assert now.release in (undisturbed.before.release, undisturbed.after.release)
    lab.heals(project, undisturbed)


@pytest.mark.slow
def test_half_of_the_transcripts_gone_stops_the_release_each_time_and_everywhere(
    lab: Lab, undisturbed: Undisturbed
) -> None:
    project = lab.copy()
    transcripts = sorted(project.corpus.rglob("2024-*.md"))
    for file in transcripts[: len(transcripts) * 6 // 10]:
        file.unlink()
    for _ in range(2):
        ended = lab.hcf(project, *NO_TRAIN)
        assert ended.code == 1 and "enough_transcripts" in ended.stderr and "Traceback" not in ended.stderr
        now = lab.look(project)
        assert now.release == undisturbed.before.release and now.answers == undisturbed.before.answers
    by_hand = world(lab, project, "release_by_hand")
    assert by_hand.stdout.startswith("False ") and "enough_transcripts" in by_hand.stdout
    assert lab.look(project).release == undisturbed.before.release


@pytest.mark.slow
def test_a_rollback_stays_until_something_new_is_released(lab: Lab, undisturbed: Undisturbed) -> None:
    project = lab.copy()
    assert "release" in ran(lab.hcf(project, *NO_TRAIN))
    assert lab.hcf(project, "release", "rollback").code == 0
    assert lab.look(project).release == undisturbed.before.release
    assert ran(lab.hcf(project, *NO_TRAIN)) == []
    now = lab.look(project)
    assert now.release == undisturbed.before.release and now.answers == undisturbed.before.answers
    (project.corpus / "2024年06月" / "2024-07-03.md").write_text(LATER, encoding="utf-8")
    assert "release" in ran(lab.hcf(project, *NO_TRAIN))
    assert lab.look(project).release not in (undisturbed.before.release, undisturbed.after.release)


@pytest.mark.slow
def test_a_rollback_to_what_was_damaged_ends_with_the_next_refresh(lab: Lab, undisturbed: Undisturbed) -> None:
    project = lab.copy()
    assert "release" in ran(lab.hcf(project, *NO_TRAIN))
    assert lab.hcf(project, "release", "rollback").code == 0
    index = json.loads(lab.hcf(project, "release", "show", "--json").stdout)["index"]["version"]
    file = next((project.home / "faiss_index" / index).rglob("dense.faiss"))
    damaged = file.read_bytes()[:-1] + b"!"
    file.unlink()  # it may be shared with the latest release
    file.write_bytes(damaged)
    assert ran(lab.hcf(project, *NO_TRAIN)) == []
    now = lab.look(project)
    assert now.release == undisturbed.after.release and now.answers == undisturbed.after.answers


@pytest.mark.slow
def test_after_many_changes_and_a_gc_the_oldest_release_that_is_kept_answers(lab: Lab) -> None:
    project = lab.copy()
    for max_chars in ("280", "320", "360", "400"):
        ended = lab.hcf(project, *NO_TRAIN, HCF_CHUNKS__MAX_CHARS=max_chars, HCF_RELEASE__KEEP="3")
        assert "release" in ran(ended)
    told(lab.hcf(project, "gc", HCF_RELEASE__KEEP="3"))
    listed = json.loads(lab.hcf(project, "release", "list", "--json").stdout)["releases"]
    assert len(listed) == 3
    assert lab.hcf(project, "release", "rollback", listed[-1]["release"]).code == 0
    now = lab.look(project)
    assert now.release == listed[-1]["release"] and not now.broken and all(now.answers)
    answer = lab.hcf(project, "ask", "小顾头一个月的工资是多少？", "--json")
    assert answer.code == 0 and json.loads(answer.stdout)["citations"]


@pytest.mark.slow
def test_a_project_that_was_moved_parses_its_transcripts_where_they_are_now(lab: Lab) -> None:
    """The list of transcripts names the folder where it was made, and its version is the same in both places."""
    project = lab.copy()
    assert "turn_table" in ran(lab.hcf(project, *NO_TRAIN))
    moved = Project(project.root.with_name("moved"))
    project.root.rename(moved.root)
    try:
        assert "turn_table" in ran(lab.hcf(moved, *NO_TRAIN, HCF_CORPUS__MAX_FILE_MB="63"))
    finally:
        shutil.rmtree(moved.root)
