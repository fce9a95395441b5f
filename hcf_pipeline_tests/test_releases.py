"""Releases through the command line: what they pin, what a rollback holds, and what cannot serve any more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hcf_pipeline_tests.conftest import Finished, Project
from hcf_pipeline_tests.test_staleness import NEW_TEXT

QUESTION = "小顾头一个月的工资是多少？"


def released(project: Project) -> Any:
    return project.json("release", "show")


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.chmod(0o644)
    file.write_bytes(data)


def test_a_release_names_everything_that_an_answer_depends_on(finished: Finished) -> None:
    shown = released(finished.project)
    assert set(shown["parts"]) == {"adapter", "base", "index", "encoder", "turns"}
    assert set(shown["corpora"]) == {"adapter", "index"}
    assert shown["serving"]["retrieval.dense_weight"] == 0.02 and shown["serving"]["base.quantize"] in ("none", "4bit")
    assert {"chat.temperature", "encoder.query_prompt", "retrieval.today"} <= set(shown["serving"])
    assert (shown["format"], shown["reranker"], shown["lost"]) == (2, None, [])


def test_a_changed_serving_setting_makes_a_release_and_its_answers_and_nothing_else(project: Project) -> None:
    before = released(project)
    asked = project.hcf("ask", QUESTION, "--lang", "en", HCF_CHAT__MAX_NEW_TOKENS="5")
    assert "Settings that changed since the release: chat.max_new_tokens 12 → 5" in asked.stderr
    done = project.json("refresh", HCF_CHAT__MAX_NEW_TOKENS="5")
    assert done["ran"] == ["release", "sample_answers"] and done["release"] != before["release"]
    after = released(project)
    assert after["parts"] == before["parts"] and after["serving"]["chat.max_new_tokens"] == 5
    # a rollback brings back the setting too
    assert project.hcf("release", "rollback").returncode == 0
    assert released(project)["serving"]["chat.max_new_tokens"] == 12


def test_what_is_tried_changes_one_answer_and_no_release(finished: Finished) -> None:
    citations = finished.project.json("ask", QUESTION, "-s", "retrieval.top_k=2")["citations"]
    assert len(citations) == 2 and len(finished.project.json("ask", QUESTION)["citations"]) == 5
    wrong = finished.project.hcf("ask", QUESTION, "-s", "chunks.max_chars=300", "--lang", "en")
    assert wrong.returncode == 1 and "changes what is built" in wrong.stderr


def test_a_rolled_back_adapter_stays_away_until_the_hold_is_lifted(project: Project) -> None:
    """Before, the next transcript brought the rejected adapter back the same night."""
    first = released(project)
    changed = {"HCF_LORA__R": "3"}
    second = project.json("refresh", **changed)["release"]
    assert released(project)["parts"]["adapter"] != first["parts"]["adapter"]
    back = project.hcf("release", "rollback", "--lang", "en")
    assert back.returncode == 0 and "new releases keep lora_adapter" in back.stdout
    for command in (("status",), ("release", "list")):
        assert project.json(*command, **changed)["hold"]["rejected"] == second
        assert "hcf release lift" in project.hcf(*command, "--lang", "en", **changed).stdout
    (project.corpus / "2024年06月" / "2024-07-02.md").write_text(NEW_TEXT, encoding="utf-8")
    assert project.json("refresh", "--no-train", **changed)["release"] not in (first["release"], second)
    held = released(project)
    assert held["parts"]["adapter"] == first["parts"]["adapter"] and held["parts"]["index"] != first["parts"]["index"]
    assert project.json("refresh", "--no-train", **changed)["ran"] == []
    lifted = project.hcf("release", "lift", "--lang", "en")
    assert "lora_adapter is no longer held" in lifted.stdout and project.json("status", **changed)["hold"] is None
    assert "release" in project.json("refresh", "--no-train", **changed)["ran"]
    assert released(project)["parts"]["adapter"] != first["parts"]["adapter"]


def test_a_hold_of_all_keeps_every_new_release_back(project: Project) -> None:
    first = released(project)["release"]
    project.json("refresh", HCF_CHAT__TEMPERATURE="0.2")
    assert project.hcf("release", "rollback", "--hold", "all").returncode == 0
    (project.corpus / "2024年06月" / "2024-07-02.md").write_text(NEW_TEXT, encoding="utf-8")
    done = project.json("refresh", "--no-train")
    assert "faiss_index" in done["ran"] and "release" not in done["ran"] and done["release"] == first
    assert "release" in done["waiting"]
    project.hcf("release", "lift")
    assert "release" in project.json("refresh", "--no-train")["ran"]
    assert project.json("ask", "鲸尾岬灯塔的门票多少钱？")["citations"][0]["date"] == "2024-07-02"


def test_the_way_forward_again_ends_a_hold(project: Project) -> None:
    second = project.json("refresh", HCF_CHAT__TEMPERATURE="0.2")["release"]
    project.hcf("release", "rollback")
    assert project.json("status")["hold"]
    assert project.hcf("release", "rollback", second).returncode == 0
    assert project.json("status")["hold"] is None


def test_a_hold_that_cannot_be_read_lets_nothing_new_in(project: Project) -> None:
    first = released(project)["release"]
    (project.home / "release" / "hold.json").write_text("{", encoding="utf-8")
    done = project.hcf("refresh", "--json", HCF_CHAT__TEMPERATURE="0.2")
    assert done.returncode == 0 and json.loads(done.stdout)["release"] == first
    assert "cannot be read" in project.hcf("status", "--lang", "en").stdout
    project.hcf("release", "lift")
    assert project.json("refresh", HCF_CHAT__TEMPERATURE="0.2")["release"] != first


def test_a_release_with_a_damaged_part_is_no_way_back_and_nothing_advises_what_cannot_help(project: Project) -> None:
    old = released(project)
    (project.corpus / "2024年06月" / "2024-07-02.md").write_text(NEW_TEXT, encoding="utf-8")
    project.json("refresh", "--no-train")
    index = project.home / "faiss_index" / old["parts"]["index"]["version"]
    flip(next(index.rglob("chunks.arrow")))
    back = project.hcf("release", "rollback", "--lang", "en")
    assert back.returncode == 1 and "cannot serve any more" in back.stderr and "hcf refresh" not in back.stderr
    deep = project.hcf("check", "--deep", "--lang", "en")
    assert "only an earlier release uses it" in deep.stdout


def test_a_deep_check_reads_every_byte(project: Project) -> None:
    assert "every byte as it was published" in project.hcf("check", "--deep", "--lang", "en").stdout
    current = (project.home / "lora_adapter" / "current").read_text(encoding="utf-8")
    flip(project.home / "lora_adapter" / current / "adapter_model.safetensors")
    deep = project.hcf("check", "--deep", "--lang", "en")
    assert deep.returncode == 1 and "lora_adapter" in deep.stdout and "hcf refresh" in deep.stdout


@pytest.mark.parametrize("word", ["adapters", "none"])
def test_an_unknown_hold_is_a_usage_error(finished: Finished, word: str) -> None:
    assert finished.project.hcf("release", "rollback", "--hold", word).returncode == 2
