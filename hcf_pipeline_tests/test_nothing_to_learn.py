"""A corpus without a single pair: no model has anything to learn from, and search is published all the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from hcf_pipeline.defs.publishing import store_of
from hcf_pipeline.defs.refresh import refresh
from hcf_pipeline.settings.file import load_settings
from hcf_pipeline_tests.conftest import SMALL, Project
from hcf_pipeline_tests.test_staleness import Silent


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "corpus").mkdir()
    (tmp_path / "hcf.toml").write_text(SMALL, encoding="utf-8")
    for day in range(1, 6):
        text = f"江照野：第{day}天，我先说说后轮的事。\n\n水友：那我问一句，链条怎么办？"
        (tmp_path / "corpus" / f"2024-03-0{day}.md").write_text(text, encoding="utf-8")
    return Project(tmp_path)


def test_without_a_pair_the_index_is_made_and_measured_and_says_that_nothing_was_asked(project: Project) -> None:
    settings = load_settings(project.root / "hcf.toml", environ={})
    ran = refresh(settings, Silent(), train=False).ran
    assert {"held_out_split", "encoder_model", "faiss_index", "retrieval_scorecard"} <= set(ran)
    store = store_of(settings)
    encoder, scorecard = store.current("encoder_model"), store.current("retrieval_scorecard")
    assert encoder and encoder.metadata["n_pairs"] == 0
    assert scorecard and "no question to measure by" in str(scorecard.metadata["fusion"])


def test_training_without_a_pair_says_so_in_words_and_all_else_is_released(project: Project) -> None:
    done = refresh(load_settings(project.root / "hcf.toml", environ={}), Silent())
    assert done.nothing_to_learn is not None and "There is no pair to learn from" in done.nothing_to_learn.en
    assert done.release and {"release", "sample_answers"} <= set(done.ran)
    answers = store_of(load_settings(project.root / "hcf.toml", environ={})).current("sample_answers")
    assert answers and "no question to answer" in str(answers.metadata["answers"])
