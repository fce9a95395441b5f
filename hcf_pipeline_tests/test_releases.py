"""Releases through the command line: what they pin, what a rollback holds, and what cannot serve any more."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from hcf_pipeline.chat.release import current_release
from hcf_pipeline.chat.releases import releases
from hcf_pipeline.store import Store
from hcf_pipeline_tests.conftest import Finished, Project
from hcf_pipeline_tests.test_staleness import NEW_TEXT, refreshed

QUESTION = "小顾头一个月的工资是多少？"


def released(project: Project) -> Any:
    """What `hcf release show --json` says, without starting a process."""
    return asdict(current_release(Store(project.home)))


def serving(project: Project) -> str:
    return current_release(Store(project.home)).id


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.chmod(0o644)
    file.write_bytes(data)


def test_a_release_names_everything_that_an_answer_depends_on(finished: Finished) -> None:
    shown = finished.project.json("release", "show")
    assert set(shown["parts"]) == {"adapter", "base", "index", "encoder", "turns"}
    assert set(shown["corpora"]) == {"adapter", "index"}
    assert shown["serving"]["retrieval.dense_weight"] == 0.02 and shown["serving"]["base.quantize"] in ("none", "4bit")
    assert shown["fusion"]["dense_weight"] == {"value": 0.02, "by": "setting"}
    assert shown["fusion"]["min_score"] == {"value": 0.15, "by": "default"}
    assert {"chat.temperature", "encoder.query_prompt", "retrieval.today"} <= set(shown["serving"])
    assert (shown["format"], shown["reranker"], shown["lost"]) == (2, None, [])


def test_a_changed_serving_setting_makes_a_release_and_its_answers_and_nothing_else(project: Project) -> None:
    before, first = released(project), serving(project)
    asked = project.hcf("ask", QUESTION, "--lang", "en", HCF_CHAT__MAX_NEW_TOKENS="5")
    assert "Settings that changed since the release: chat.max_new_tokens 12 → 5" in asked.stderr
    done = refreshed(project, HCF_CHAT__MAX_NEW_TOKENS="5")
    assert done.ran == ("release", "sample_answers") and done.release != first
    after = released(project)
    assert after["parts"] == before["parts"] and after["serving"]["chat.max_new_tokens"] == 5
    # a rollback brings back the setting too
    assert project.hcf("release", "rollback").returncode == 0
    assert released(project)["serving"]["chat.max_new_tokens"] == 12


@pytest.mark.slow
def test_what_is_tried_changes_one_answer_and_no_release(finished: Finished) -> None:
    citations = finished.project.json("ask", QUESTION, "-s", "retrieval.top_k=2")["citations"]
    assert len(citations) == 2 and len(finished.project.json("ask", QUESTION)["citations"]) == 5
    wrong = finished.project.hcf("ask", QUESTION, "-s", "chunks.max_chars=300", "--lang", "en")
    assert wrong.returncode == 1 and "changes what is built" in wrong.stderr


@pytest.mark.slow
def test_a_rolled_back_adapter_stays_away_until_the_hold_is_lifted(project: Project) -> None:
    """Before, the next transcript brought the rejected adapter back the same night."""
    first, first_id = released(project), serving(project)
    changed = {"HCF_LORA__R": "3"}
    second = refreshed(project, **changed).release
    assert released(project)["parts"]["adapter"] != first["parts"]["adapter"]
    back = project.hcf("release", "rollback", "--lang", "en")
    assert back.returncode == 0 and "new releases keep lora_adapter" in back.stdout
    for command in (("status",), ("release", "list")):
        told = project.hcf(*command, "--lang", "en", **changed).stdout
        assert "hcf release lift" in told and str(second)[:8] in told
    (project.corpus / "2024年06月" / "2024-07-02.md").write_text(NEW_TEXT, encoding="utf-8")
    assert refreshed(project, train=False, **changed).release not in (first_id, second)
    held = released(project)
    assert held["parts"]["adapter"] == first["parts"]["adapter"] and held["parts"]["index"] != first["parts"]["index"]
    assert not refreshed(project, train=False, **changed).ran
    lifted = project.hcf("release", "lift", "--lang", "en")
    assert "lora_adapter is no longer held" in lifted.stdout
    assert "release" in refreshed(project, train=False, **changed).ran
    assert released(project)["parts"]["adapter"] != first["parts"]["adapter"]


@pytest.mark.slow
def test_a_hold_of_all_keeps_every_new_release_back(project: Project) -> None:
    first = serving(project)
    refreshed(project, HCF_CHAT__TEMPERATURE="0.2")
    assert project.hcf("release", "rollback", "--hold", "all").returncode == 0
    (project.corpus / "2024年06月" / "2024-07-02.md").write_text(NEW_TEXT, encoding="utf-8")
    done = refreshed(project, train=False)
    assert "faiss_index" in done.ran and "release" not in done.ran and done.release == first
    assert "release" in done.waiting
    project.hcf("release", "lift")
    assert "release" in refreshed(project, train=False).ran and serving(project) != first


def test_the_way_forward_again_ends_a_hold(project: Project) -> None:
    second = refreshed(project, HCF_CHAT__TEMPERATURE="0.2").release
    project.hcf("release", "rollback")
    assert project.json("release", "list")["hold"]["rejected"] == second
    assert project.hcf("release", "rollback", str(second)).returncode == 0
    assert project.json("release", "list")["hold"] is None


def test_a_hold_that_cannot_be_read_lets_nothing_new_in(project: Project) -> None:
    first = serving(project)
    (project.home / "release" / "hold.json").write_text("{", encoding="utf-8")
    assert refreshed(project, HCF_CHAT__TEMPERATURE="0.2").release == first
    assert "cannot be read" in project.hcf("release", "list", "--lang", "en").stdout
    project.hcf("release", "lift")
    assert refreshed(project, HCF_CHAT__TEMPERATURE="0.2").release != first


def test_a_release_with_a_damaged_part_is_no_way_back_and_nothing_advises_what_cannot_help(project: Project) -> None:
    old = released(project)
    (project.corpus / "2024年06月" / "2024-07-02.md").write_text(NEW_TEXT, encoding="utf-8")
    refreshed(project, train=False)
    index = project.home / "faiss_index" / old["parts"]["index"]["version"]
    flip(next(index.rglob("chunks.arrow")))
    back = project.hcf("release", "rollback", "--lang", "en")
    assert back.returncode == 1 and "cannot serve any more" in back.stderr and "hcf refresh" not in back.stderr
    deep = project.hcf("check", "--deep", "--lang", "en")
    assert "only an earlier release uses it" in deep.stdout
    assert next(listed.serves for listed in releases(Store(project.home)))


def test_a_deep_check_reads_every_byte(project: Project) -> None:
    assert "every byte as it was published" in project.hcf("check", "--deep", "--lang", "en").stdout
    current = (project.home / "lora_adapter" / "current").read_text(encoding="utf-8")
    flip(project.home / "lora_adapter" / current / "adapter_model.safetensors")
    deep = project.hcf("check", "--deep", "--lang", "en")
    assert deep.returncode == 1 and "lora_adapter" in deep.stdout and "hcf refresh" in deep.stdout


@pytest.mark.parametrize("word", ["adapters", "none"])
def test_an_unknown_hold_is_a_usage_error(finished: Finished, word: str) -> None:
    assert finished.project.hcf("release", "rollback", "--hold", word).returncode == 2
