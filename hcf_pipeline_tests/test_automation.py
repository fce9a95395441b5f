"""Sensors, conditions and policy, tick by tick: the real sensors and real runs, with the daemon's loop played by the test."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg
import psutil
import pytest

from hcf_pipeline.asset_names import MADE
from hcf_pipeline.defs import staleness
from hcf_pipeline.defs.automation.liveness import executing, let_go
from hcf_pipeline.defs.build import build_definitions
from hcf_pipeline.defs.dagster_private import Lineage
from hcf_pipeline.defs.home import dagster_instance
from hcf_pipeline.defs.publishing import store_of
from hcf_pipeline.settings import Settings
from hcf_pipeline.settings.file import load_settings
from hcf_pipeline_tests.conftest import Project

INDEX_SIDE = [
    "chunk_table",
    "parsed_pairs",
    "held_out_split",
    "encoder_model",
    "chunk_embeddings",
    "faiss_index",
    "retrieval_scorecard",
    "release",
    "sample_answers",
]


@dataclass
class Daemon:
    """Plays Dagster's daemon: asks the sensors, records what they tell, runs what they request, one thing at a time."""

    settings: Settings
    instance: dg.DagsterInstance
    cursors: dict[str, str | None] = field(default_factory=dict)
    ran: list[str] = field(default_factory=list)

    @property
    def defs(self) -> dg.Definitions:
        return build_definitions(self.settings)

    def ask(self, sensor: str) -> list[dg.RunRequest]:
        repository = self.defs.get_repository_def()
        cursor = self.cursors.get(sensor)
        with dg.build_sensor_context(self.instance, cursor=cursor, repository_def=repository) as context:
            answer = repository.get_sensor_def(sensor).evaluate_tick(context)
        self.cursors[sensor] = answer.cursor or cursor
        for event in answer.asset_events:
            self.instance.report_runless_asset_event(event)
        return list(answer.run_requests or ())

    def look(self) -> None:
        """Twice: what was found must hold still."""
        self.ask("new_transcripts")
        self.ask("new_transcripts")

    def requested(self) -> list[list[str]]:
        """What keep_up_to_date wants to run now, run by run."""
        wanted = self.ask("keep_up_to_date")
        return [sorted(key.to_user_string() for key in request.asset_selection or ()) for request in wanted]

    def run(self, assets: list[str]) -> bool:
        job = self.defs.resolve_implicit_global_asset_job_def()
        keys = [dg.AssetKey(name) for name in assets]
        done = job.execute_in_process(instance=self.instance, asset_selection=keys, raise_on_error=False)
        self.ran += [event.step_key for event in done.get_step_success_events() if event.step_key in MADE]
        return bool(done.success)

    def until_nothing_is_wanted(self) -> list[str]:
        """The assets that ran, in order."""
        self.ran = []
        for _ in range(12):
            runs = self.requested()
            if not runs:
                return self.ran
            for assets in runs:
                self.run(assets)
        raise AssertionError(f"it never comes to rest: {self.ran}")


@contextlib.contextmanager
def daemon_of(project: Project, **environ: str) -> Iterator[Daemon]:
    settings = load_settings(project.root / "hcf.toml", environ=environ)
    with dagster_instance(settings) as instance:
        yield Daemon(settings, instance)


@pytest.fixture
def daemon(project: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    monkeypatch.delenv("HCF_HOME", raising=False)
    with daemon_of(project) as daemon:
        yield daemon


NEWS = "水友：灯塔的门票多少钱？\n\n江照野：四十七块，上午九点开门。\n"


def write(project: Project, name: str, text: str = NEWS) -> Path:
    path = project.corpus / "2024年06月" / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_new_transcript_reaches_the_release_and_training_waits(daemon: Daemon, project: Project) -> None:
    before = store_of(daemon.settings).current("release")
    write(project, "2024-07-02.md")
    daemon.look()
    assert daemon.until_nothing_is_wanted() == ["turn_table", *INDEX_SIDE]
    after = store_of(daemon.settings).current("release")
    assert before and after and before.version != after.version
    samples = {asset["name"]: asset for asset in project.json("status", "--lang", "en")["assets"]}["sft_dataset"]
    assert samples["state"] == "stale" and "1 new and 0 vanished pairs wait for training" in samples["why"][-1]


def test_a_file_that_is_still_being_written_waits_and_the_others_do_not(daemon: Daemon, project: Project) -> None:
    daemon.look()
    growing = write(project, "2024-07-03.md")
    write(project, "2024-07-02.md")
    daemon.ask("new_transcripts")
    growing.write_text(growing.read_text(encoding="utf-8") + "\n水友：还有呢\n\n江照野：没了。\n", encoding="utf-8")
    daemon.ask("new_transcripts")
    assert daemon.requested() == [["turn_table"]]
    daemon.run(["turn_table"])
    assert project.json("status")["quarantined"] == []
    turns = store_of(daemon.settings).current("turn_table")
    assert turns and turns.metadata["transcripts"] == len(list(project.corpus.rglob("2024-*.md"))) - 1
    daemon.ask("new_transcripts")
    assert daemon.requested() == [["turn_table"]]


@pytest.mark.slow
def test_what_changes_while_an_asset_is_being_made_is_made_again_and_once(daemon: Daemon, project: Project) -> None:
    """Dagster's built-in conditions lose this update (issues 33587, 33656, 34067, 24650)."""
    write(project, "2024-07-02.md")
    daemon.look()
    assert daemon.requested() == [["turn_table"]]
    for name in ("2024-07-03.md", "2024-07-04.md", "2024-07-05.md"):  # while the run is on its way
        write(project, name)
        daemon.look()
    assert daemon.requested() == [["turn_table"]]  # another recipe by now; nothing ran yet
    daemon.run(["turn_table"])
    write(project, "2024-07-06.md")
    daemon.look()
    assert daemon.until_nothing_is_wanted() == ["turn_table", *INDEX_SIDE]


def test_nothing_is_requested_twice_nor_while_a_run_or_a_refresh_is_at_it(daemon: Daemon, project: Project) -> None:
    write(project, "2024-07-02.md")
    daemon.look()
    with store_of(daemon.settings).lock():  # a person's `hcf refresh`
        assert daemon.requested() == []
    run = daemon.instance.create_run_for_job(
        daemon.defs.resolve_implicit_global_asset_job_def(), asset_selection=frozenset([dg.AssetKey("turn_table")])
    )
    assert daemon.requested() == []  # a person's click
    daemon.instance.report_run_canceled(run)
    assert daemon.requested() == [["turn_table"]]
    assert daemon.requested() == []  # asked for, not yet begun


def test_training_waits_too_where_the_pairs_change_in_the_middle_of_a_look(
    daemon: Daemon, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that ends between one look at the instance and the next once started a training."""
    write(project, "2024-07-02.md")
    daemon.look()
    assert daemon.requested() == [["turn_table"]]
    daemon.run(["turn_table"])
    pairs = frozenset([dg.AssetKey("chunk_table"), dg.AssetKey("parsed_pairs")])
    job = daemon.defs.resolve_implicit_global_asset_job_def()
    under_way = daemon.instance.create_run_for_job(job, asset_selection=pairs)
    real = staleness.lineage_of

    def and_then_it_ends(instance: dg.DagsterInstance, name: str) -> Lineage | None:
        made = real(instance, name)
        if name == "parsed_pairs" and under_way.run_id not in ended:
            ended.append(under_way.run_id)
            daemon.run(["chunk_table", "parsed_pairs"])
            instance.report_run_canceled(under_way)
        return made

    ended: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(staleness, "lineage_of", and_then_it_ends)
        requested = daemon.requested()
    assert ended and not {"sft_dataset", "base_model"} & {asset for assets in requested for asset in assets}
    assert daemon.until_nothing_is_wanted() == INDEX_SIDE[2:]


def test_a_step_that_fails_by_its_own_fault_is_not_repeated_until_something_changes(
    daemon: Daemon, project: Project
) -> None:
    for file in project.corpus.rglob("2024-*.md"):
        file.write_text("没有称呼的文字", encoding="utf-8")
    daemon.look()
    assert daemon.requested() == [["turn_table"]]
    assert not daemon.run(["turn_table"])
    assert daemon.requested() == []
    write(project, "2024-07-02.md")
    daemon.look()
    assert daemon.requested() == [["turn_table"]]


def test_enough_new_pairs_start_a_training(project: Project) -> None:
    write(project, "2024-07-02.md")
    with daemon_of(project, HCF_REFRESH__TRAIN_PAIRS="1") as daemon:
        daemon.look()
        for _ in range(3):
            for assets in daemon.requested():
                daemon.run(assets)
        assert "sft_dataset" in daemon.requested()[0]


@pytest.mark.parametrize(("cron", "starts"), [("* * * * *", True), ("0 0 1 1 *", False), ("", False)])
def test_the_training_schedule_starts_what_waits_and_only_after_it_came(
    project: Project, cron: str, starts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hcf_pipeline.defs.automation import policy

    write(project, "2024-07-02.md")
    with daemon_of(project, HCF_REFRESH__TRAIN_CRON=cron, HCF_REFRESH__TRAIN_PAIRS="0") as daemon:
        daemon.look()
        for _ in range(3):
            for assets in daemon.requested():
                daemon.run(assets)
        store, refresh = store_of(daemon.settings), daemon.settings.sections.refresh
        assert not policy.is_due(daemon.instance, store, refresh) or cron == "* * * * *"
        monkeypatch.setattr(policy, "clock", lambda zone: policy.now_in(zone) + policy.datetime.timedelta(minutes=2))
        assert policy.is_due(daemon.instance, store, refresh) == starts


def test_a_gate_that_failed_holds_back_what_comes_after_it_in_every_later_tick(
    daemon: Daemon, project: Project
) -> None:
    store = store_of(daemon.settings)
    before = store.current("release")
    transcripts = sorted(project.corpus.rglob("2024-*.md"))
    for file in transcripts[1:]:
        file.unlink()
    daemon.look()
    assert daemon.until_nothing_is_wanted() == ["turn_table"]
    assert daemon.requested() == []
    assert not daemon.run(
        ["chunk_table", "chunk_embeddings", "faiss_index", "retrieval_scorecard", "release"]
    )  # by hand, past the condition
    assert store.current("release") == before
    failed = daemon.instance.get_runs(limit=1)[0]
    assert "enough_transcripts" in str(
        daemon.instance.all_logs(failed.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
    )


def test_an_empty_folder_fails_a_check_and_starts_nothing(daemon: Daemon, project: Project) -> None:
    for file in project.corpus.rglob("*.md"):
        file.unlink()
    daemon.look()
    assert daemon.requested() == []
    key = dg.AssetCheckKey(dg.AssetKey("raw_transcripts"), "transcripts_are_there")
    record = daemon.instance.event_log_storage.get_latest_asset_check_execution_by_key([key])[key]
    assert record.status.value == "FAILED"


def test_the_schedules_job_pulls_a_corpus_that_is_kept_in_git_and_tells_what_came(
    project: Project, tmp_path: Path
) -> None:
    origin = tmp_path / "broadcasts"
    shutil.copytree(project.corpus, origin)

    def git(*words: str) -> None:
        who = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
        subprocess.run(["git", *who, *words], cwd=origin, check=True, capture_output=True)

    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "all")
    with daemon_of(project, HCF_CORPUS__GIT_URL=str(origin), HCF_CORPUS__PATH="data/broadcasts") as daemon:
        schedule = daemon.defs.resolve_schedule_def("nightly_refresh")
        job = daemon.defs.resolve_job_def(schedule.job_name)
        assert job.execute_in_process(instance=daemon.instance).success
        (origin / "2024-07-02.md").write_text(NEWS, encoding="utf-8")
        git("add", ".")
        git("commit", "-qm", "one more")
        assert job.execute_in_process(instance=daemon.instance).success
        (last,) = daemon.instance.fetch_observations(dg.AssetKey("raw_transcripts"), limit=1).records
        seen = last.event_log_entry.asset_observation
        assert seen and "new 2024-07-02.md" in str(seen.metadata["why"].value)
        assert daemon.requested() == [["turn_table"]]


def test_dead_runs_are_failed_by_the_sensor_and_living_ones_are_not(daemon: Daemon) -> None:
    job = daemon.defs.resolve_implicit_global_asset_job_def()
    alive, dead = (daemon.instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED) for _ in range(2))
    with executing(daemon.instance, alive.run_id):
        (daemon.settings.home / "runs" / f"{dead.run_id}.lock").touch()
        daemon.ask("new_transcripts")
        runs = [daemon.instance.get_run_by_id(run.run_id) for run in (alive, dead)]
    assert [run.status.value for run in runs if run] == ["STARTED", "FAILURE"]


def test_the_log_reader_of_a_dead_run_is_ended_and_that_of_a_living_one_is_not(daemon: Daemon, tmp_path: Path) -> None:
    """A run that is killed just before Dagster's watcher begins leaves its `tail -F` behind."""
    job = daemon.defs.resolve_implicit_global_asset_job_def()
    with contextlib.ExitStack() as stack:
        readers = []
        for is_alive in (False, True):
            run = daemon.instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
            stack.enter_context(executing(daemon.instance, run.run_id))
            if not is_alive:
                let_go(run.run_id)
                (daemon.settings.home / "runs" / f"{run.run_id}.lock").touch()
            log = tmp_path / run.run_id / "compute_logs" / "log.err"
            log.parent.mkdir(parents=True)
            log.touch()
            ignoring = "trap '' TERM; exec tail -F -c +0 \"$0\""  # as one does whose parents ignored it
            readers.append(stack.enter_context(subprocess.Popen(["sh", "-c", ignoring, str(log)])))
            deadline = time.monotonic() + 10
            while psutil.Process(readers[-1].pid).cmdline()[:1] != ["tail"] and time.monotonic() < deadline:
                time.sleep(0.01)
            stack.callback(readers[-1].kill)
        of_dead, of_living = readers
        daemon.ask("new_transcripts")
        of_dead.wait(10)
        assert of_living.poll() is None


def test_old_releases_go_while_nothing_is_being_made(project: Project) -> None:
    with daemon_of(project, HCF_RELEASE__KEEP="1") as daemon:
        store = store_of(daemon.settings)
        before = store.versions("release")
        write(project, "2024-07-02.md")
        daemon.look()
        daemon.until_nothing_is_wanted()
        assert len(store.versions("release")) == 2
        daemon.ask("new_transcripts")
        assert store.versions("release") == [store.current("release").version] != before  # type: ignore[union-attr]


def test_settings_that_changed_since_are_told(daemon: Daemon, project: Project) -> None:
    toml = project.root / "hcf.toml"
    toml.write_text(toml.read_text(encoding="utf-8") + "\n[chunks]\nmax_chars = 300\n", encoding="utf-8")
    repository = daemon.defs.get_repository_def()
    with dg.build_sensor_context(daemon.instance, repository_def=repository) as context:
        answer = repository.get_sensor_def("new_transcripts").evaluate_tick(context)
    assert answer.skip_message and "Reload definitions" in answer.skip_message
