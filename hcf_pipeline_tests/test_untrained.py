"""Search and quotations are released whatever becomes of training."""

from __future__ import annotations

from pathlib import Path

import pytest

from hcf_pipeline.chat.release import current_release
from hcf_pipeline.defs.build import build_definitions
from hcf_pipeline.defs.dagster_private import nodes_defined
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


@pytest.mark.slow
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


OFF = "\nenabled = false\n"


def untrained_project(root: Path, text: str = ASKED) -> Project:
    project = small_project(root, text)
    toml = (root / "hcf.toml").read_text(encoding="utf-8")
    (root / "hcf.toml").write_text(toml.replace("[lora]", f"[lora]{OFF}"), encoding="utf-8")
    return project


@pytest.mark.slow
def test_where_training_is_off_nothing_of_it_runs_or_waits_and_the_release_quotes(tmp_path: Path) -> None:
    project = untrained_project(tmp_path)
    done = project.json("refresh")
    assert done["release"] and done["waiting"] == [] and done["nothing_to_learn"] is None
    assert not {"base_model", "sft_dataset", "lora_adapter"} & set(done["ran"])
    assert "sample_answers" in done["ran"]
    states = {asset["name"]: asset for asset in project.json("status", "--lang", "en")["assets"]}
    assert {name for name, asset in states.items() if asset["state"] == "off"} == {
        "base_model",
        "sft_dataset",
        "lora_adapter",
    }
    assert "nothing is trained" in states["lora_adapter"]["why"][0]
    assert {asset["state"] for asset in states.values()} == {"off", "fresh"}
    answer = project.json("ask", "灯塔的门票多少钱？", "-s", "retrieval.min_score=0")
    assert not answer["generated"] and answer["answer"] == "".join(
        f"「{q['text']}」[{q['n']}]" for q in answer["quotes"]
    )
    assert project.json("ask", "银河系外的暗物质怎么分布？", "-s", "retrieval.min_score=1")["abstained"]
    shown = project.hcf("ask", "灯塔的门票多少钱？", "-s", "retrieval.min_score=0").stdout
    assert shown.count("四十七块") == 1, "the quotation stands there once"
    assert project.json("refresh")["ran"] == []


@pytest.mark.slow
def test_training_that_is_switched_on_and_off_makes_a_release_each_time(tmp_path: Path) -> None:
    project = untrained_project(tmp_path)
    off = refreshed(project)
    toml = (project.root / "hcf.toml").read_text(encoding="utf-8")
    (project.root / "hcf.toml").write_text(toml.replace(OFF, "\n"), encoding="utf-8")
    on = refreshed(project)
    assert {"lora_adapter", "release"} <= set(on.ran) and on.release != off.release
    assert current_release(Store(project.home)).is_trained
    assert project.json("ask", "灯塔的门票多少钱？", "-s", "retrieval.min_score=0")["generated"]
    without = project.json("ask", "灯塔的门票多少钱？", "-s", "retrieval.min_score=0", "-s", "lora.enabled=false")
    assert not without["generated"] and without["quotes"]
    listed = project.json("release", "list")["releases"]
    assert [one["release"] for one in listed] == [on.release, off.release]
    (project.root / "hcf.toml").write_text(toml, encoding="utf-8")
    again = refreshed(project)
    assert set(again.ran) == {"release", "sample_answers"} and again.release == off.release
    assert not current_release(Store(project.home)).is_trained
    project.hcf("release", "rollback", on.release or "")
    assert current_release(Store(project.home)).is_trained


@pytest.mark.parametrize("enabled", [True, False])
def test_a_release_looks_at_an_adapter_only_where_one_is_wanted(tmp_path: Path, enabled: bool) -> None:
    """So that neither its gate nor its version holds back what goes without it."""
    project = small_project(tmp_path, ASKED) if enabled else untrained_project(tmp_path)
    settings = load_settings(project.root / "hcf.toml", environ={})
    parents = {node.name: node.parents for node in nodes_defined(build_definitions(settings))}
    assert ("lora_adapter" in parents["release"]) is enabled and "faiss_index" in parents["release"]


def test_a_conversation_without_a_model_says_so_and_quotes(tmp_path: Path) -> None:
    project = untrained_project(tmp_path)
    refreshed(project)
    said = project.hcf("chat", "-s", "retrieval.min_score=0", stdin="灯塔的门票多少钱？\n停止\n").stdout
    assert "回答都是江照野的原话" in said and "模仿" not in said
    assert said.count("四十七块") == 1 and "江照野：\n" not in said
