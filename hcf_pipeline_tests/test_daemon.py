"""Dagster's webserver and daemon as real processes: a transcript dropped in, and nobody clicks."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest

from hcf_pipeline.defs.automation.liveness import PROCESS
from hcf_pipeline.defs.home import dagster_instance
from hcf_pipeline.settings.file import load_settings
from hcf_pipeline_tests.conftest import Project, clean_environment

pytestmark = pytest.mark.slow
TEXT = "水友：灯塔的门票多少钱？\n\n江照野：鲸尾岬灯塔的门票是四十七块，上午九点开门，带身份证。\n"


@contextlib.contextmanager
def ui_of(project: Project, settings: str = "") -> Iterator[None]:
    """`hcf ui` at work on a finished project, with the automation on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    toml = project.root / "hcf.toml"
    text = toml.read_text(encoding="utf-8").replace("max_steps = 2\n", settings or "max_steps = 2\n")
    automation = f"\n[refresh]\nautomation = true\nwatch_seconds = 3\n[serve]\nport = {port}\n"
    toml.write_text(text + automation, encoding="utf-8")
    log = project.root / "ui.log"
    command = [str(Path(sys.executable).with_name("hcf")), "ui"]
    with (
        log.open("w", encoding="utf-8") as said,
        subprocess.Popen(
            command, cwd=project.root, env=clean_environment(), stdout=said, stderr=said, start_new_session=True
        ) as server,
    ):
        try:
            wait_for(lambda: "Sensor new_transcripts" in log.read_text(encoding="utf-8"), 120)
            yield
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(60)


def wait_for(true: Callable[[], bool], seconds: float) -> float:
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < seconds, "waited in vain"
        time.sleep(0.2)
    return time.monotonic() - began


def serving(project: Project) -> str:
    return (project.home / "release" / "current").read_text(encoding="utf-8")


def drop(project: Project, name: str) -> None:
    (project.corpus / "2024年06月" / name).write_text(TEXT, encoding="utf-8")


def test_a_transcript_that_is_dropped_in_is_cited_without_a_click(project: Project) -> None:
    before = serving(project)
    with ui_of(project):
        drop(project, "2024-07-02.md")
        waited = wait_for(lambda: serving(project) != before, 240)
        answer = project.json("ask", "鲸尾岬灯塔的门票多少钱？")
        assert answer["citations"][0]["date"] == "2024-07-02" and "四十七块" in answer["quotes"][0]["text"]
        print(f"\nfrom saving the transcript to the release: {waited:.0f} s")  # shown with -s
    with dagster_instance(load_settings(project.root / "hcf.toml", environ={})) as instance:
        runs = instance.get_runs(dg.RunsFilter(tags={"hcf/by": "keep_up_to_date"}))
        asked = [key.to_user_string() for run in runs for key in run.asset_selection or ()]
        assert all(run.tags["hcf/why"] for run in runs if run.status == dg.DagsterRunStatus.SUCCESS)
    assert len(asked) == len(set(asked)) and "lora_adapter" not in asked


def test_a_training_that_is_killed_is_failed_and_another_goes_on_from_its_checkpoint(project: Project) -> None:
    before = serving(project)
    with ui_of(project, "max_steps = 600\n"):  # another setting: the adapter is stale
        checkpoints = project.home / "lora_adapter"
        wait_for(lambda: any(checkpoints.glob(".work-*/checkpoint-*/checkpoint.json")), 180)
        with dagster_instance(load_settings(project.root / "hcf.toml", environ={})) as instance:
            (run,) = (run for run in instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])))
            os.kill(int(run.tags[PROCESS].split(" ")[2]), signal.SIGKILL)
            wait_for(lambda: instance.get_run_by_id(run.run_id).status == dg.DagsterRunStatus.FAILURE, 120)  # type: ignore[union-attr]
        wait_for(lambda: serving(project) != before, 400)
        with dagster_instance(load_settings(project.root / "hcf.toml", environ={})) as instance:
            made = instance.get_latest_materialization_event(dg.AssetKey("lora_adapter"))
        assert made and made.asset_materialization
        assert int(str(made.asset_materialization.metadata["resumed_from"].value)) > 0
