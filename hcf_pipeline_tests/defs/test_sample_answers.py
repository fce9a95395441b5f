"""The answers to look at are those of the release that they are made from."""

from __future__ import annotations

import shutil

from hcf_pipeline.asset_names import RELEASE, SAMPLE_ANSWERS
from hcf_pipeline.defs.asset_keys import key_of
from hcf_pipeline.defs.build import build_definitions
from hcf_pipeline.defs.dagster_private import job_of_all_assets
from hcf_pipeline.defs.home import dagster_instance
from hcf_pipeline.defs.publishing import store_of
from hcf_pipeline.settings.file import load_settings
from hcf_pipeline_tests.conftest import Project


def test_a_release_is_answered_with_though_another_serves_and_says_the_same_each_time(project: Project) -> None:
    settings = load_settings(project.root / "hcf.toml", environ={"HCF_CHAT__TEMPERATURE": "1.5"})
    store = store_of(settings)
    (store.home / RELEASE / "current").unlink()  # nothing serves
    answers: list[str] = []
    with dagster_instance(settings) as instance:
        for _ in range(2):
            shutil.rmtree(store.home / SAMPLE_ANSWERS)
            job = job_of_all_assets(build_definitions(settings))
            assert job.execute_in_process(instance=instance, asset_selection=[key_of(SAMPLE_ANSWERS)]).success
            made = store.current(SAMPLE_ANSWERS)
            assert made
            answers.append((made.path / "answers.md").read_text(encoding="utf-8"))
    assert answers[0] == answers[1] and "[1]" in answers[0]
