"""What moves under a refresh in mid-run, or is larger than anyone meant: on real runs, in this process."""

from __future__ import annotations

from pathlib import Path

import pytest

from hcf_pipeline.defs.publishing import store_of
from hcf_pipeline.defs.refresh import refresh
from hcf_pipeline.settings import Settings
from hcf_pipeline.settings.file import load_settings
from hcf_pipeline_tests.conftest import Project
from hcf_pipeline_tests.faults.lab import NEWS
from hcf_pipeline_tests.test_staleness import Silent, refreshed

pytestmark = pytest.mark.slow


def settings_of(project: Project, **environ: str) -> Settings:
    return load_settings(project.root / "hcf.toml", environ=environ)


def add(project: Project, name: str = "2024-07-02.md", text: str = NEWS) -> Path:
    path = project.corpus / "2024年06月" / name
    path.write_text(text, encoding="utf-8")
    return path


class AsItRuns(Silent):
    """Does something when an asset begins."""

    def __init__(self, asset: str, deed: object) -> None:
        self._asset, self._deed = asset, deed

    def started(self, asset: str) -> None:
        if asset == self._asset and callable(self._deed):
            self._deed()
            self._deed = None


def n_transcripts(settings: Settings) -> object:
    turns = store_of(settings).current("turn_table")
    return turns and turns.metadata["transcripts"]


def test_a_new_transcript_that_vanishes_before_it_is_read_is_left_out_and_the_rest_goes_on(project: Project) -> None:
    settings, path = settings_of(project), add(project)
    n_before = n_transcripts(settings)
    refresh(settings, AsItRuns("turn_table", path.unlink), train=False)
    assert n_transcripts(settings) == n_before
    assert refreshed(project, train=False).ran == ()


def test_a_known_transcript_that_vanishes_in_mid_run_stays_in_that_runs_snapshot(project: Project) -> None:
    settings = settings_of(project)
    n_before = n_transcripts(settings)
    add(project)
    known = sorted(project.corpus.rglob("2024-*.md"))[0]
    refresh(settings, AsItRuns("turn_table", known.unlink), train=False)
    assert n_transcripts(settings) == int(str(n_before)) + 1
    assert "turn_table" in refreshed(project, train=False).ran
    assert n_transcripts(settings) == n_before


def test_a_huge_file_is_quarantined_and_a_huge_line_is_read(project: Project) -> None:
    with (project.corpus / "2024年06月" / "2024-07-03.md").open("wb") as huge:
        huge.truncate(500_000_000)  # no bytes on the disk
    add(project, text=f"水友：讲讲\n\n江照野：{'很长。' * 120_000}\n")
    assert "release" in refreshed(project, train=False).ran
    refused = project.json("status")["quarantined"]
    assert [(one["file"], one["reason"]) for one in refused] == [("2024年06月/2024-07-03.md", "larger than 64 MB")]
