"""Search and quotations are released whatever becomes of training."""

from __future__ import annotations

from pathlib import Path

import pytest

from hcf_pipeline.chat.release import current_release
from hcf_pipeline.defs.refresh import refresh
from hcf_pipeline.errors import HubError
from hcf_pipeline.settings.file import load_settings
from hcf_pipeline.store import Store
from hcf_pipeline_tests.conftest import SMALL, Project
from hcf_pipeline_tests.test_staleness import Silent, refreshed

TALK = """江照野：今天说说鲸尾岬的灯塔，门票四十七块，上午九点开门。

江照野：轮胎要自己补，小板凳十二块钱买的，蹲着补膝盖会疼。
"""
ASKED = """水友：灯塔的门票多少钱？

江照野：鲸尾岬灯塔的门票是四十七块，上午九点开门，带身份证。

水友：轮胎怎么补？

江照野：自己补，买个小板凳坐着，十二块钱，蹲着膝盖疼。
"""


def small_project(root: Path, text: str, more: str = "") -> Project:
    (root / "corpus").mkdir(parents=True)
    for day in range(1, 5):
        (root / "corpus" / f"2024-03-0{day}.md").write_text(text, encoding="utf-8")
    (root / "hcf.toml").write_text(SMALL + more, encoding="utf-8")
    return Project(root)


def test_a_corpus_without_a_pair_is_searched_and_quoted(tmp_path: Path) -> None:
    """Before, base_model died with an IndexError, and nothing was released."""
    project = small_project(tmp_path, TALK)
    done = project.json("refresh", "--lang", "en")
    assert done["release"] and "There is no pair to learn from" in done["nothing_to_learn"]
    assert {"base_model", "sft_dataset", "lora_adapter"} & set(done["ran"]) == set()
    assert not current_release(Store(project.home)).is_trained
    answer = project.json("ask", "灯塔的门票多少钱？", "-s", "retrieval.min_score=0")
    assert answer["citations"] and "四十七块" in answer["quotes"][0]["text"] and "四十七块" in answer["answer"]
    assert answer["quotes"][0]["label"] == "江照野"
    assert project.json("refresh")["ran"] == []
    assert "江照野的原话" in project.hcf("ask", "灯塔的门票多少钱？", "-s", "retrieval.min_score=0").stdout


def test_who_wants_no_training_gets_a_release_and_an_adapter_later(tmp_path: Path) -> None:
    project = small_project(tmp_path, ASKED)
    first = refreshed(project, train=False)
    assert first.release and "lora_adapter" not in first.ran
    assert not current_release(Store(project.home)).is_trained
    assert refreshed(project, train=False).ran == ()
    second = refreshed(project)
    assert {"base_model", "sft_dataset", "lora_adapter", "release"} <= set(second.ran)
    assert current_release(Store(project.home)).is_trained and second.release != first.release


def test_a_base_that_cannot_be_had_holds_back_no_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    project = small_project(tmp_path, ASKED, '\n[profiles.hub.base]\nmodel = "someone/not-here"\n')
    settings = load_settings(project.root / "hcf.toml", profile="hub", environ={})
    with pytest.raises(HubError):
        refresh(settings, Silent())
    release = current_release(Store(project.home))
    assert (
        not release.is_trained and project.json("ask", "灯塔的门票多少钱？", "-s", "retrieval.min_score=0")["citations"]
    )
