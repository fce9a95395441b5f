"""A persona who speaks alone is searched, quoted, and learnt from: nobody has to ask."""

from __future__ import annotations

from pathlib import Path

import pytest

from hcf_pipeline.chat.release import current_release
from hcf_pipeline.defs.publishing import store_of
from hcf_pipeline.settings.file import load_settings
from hcf_pipeline.store import Store
from hcf_pipeline_tests.conftest import SMALL, Project

PARTS = (
    "今天讲收音机，换了一颗电容，花了三块五。烙铁要先沾松香。",
    "青稞饼烤二十五分钟，中间翻一次面。面要醒半个钟头。",
    "山里的信号不好，天线得架到屋顶上去。雷雨天别上去。",
    "旧磁带要倒一遍再听，不然会卡。放久了的带子会粘。",
)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "corpus").mkdir()
    toml = SMALL.replace("[corpus]", '[corpus]\nhost_labels = ["小禾"]\nguest_labels = []')
    (tmp_path / "hcf.toml").write_text(toml, encoding="utf-8")
    for day in range(1, 7):
        said = "\n".join(f"小禾：第{day}天。{PARTS[(day + n) % len(PARTS)]}" for n in range(3))
        (tmp_path / "corpus" / f"2024-03-0{day}.md").write_text(said, encoding="utf-8")
    return Project(tmp_path)


@pytest.mark.slow
def test_a_monologue_is_released_learnt_from_and_quoted(project: Project) -> None:
    checked = {one["name"]: one for one in project.json("check", "--lang", "en")["findings"]}
    assert checked["pairs"]["verdict"] == "ok" and checked["corpus"]["verdict"] == "ok"
    done = project.json("refresh")
    assert done["nothing_to_learn"] is None and {"lora_adapter", "release", "sample_answers"} <= set(done["ran"])
    assert current_release(Store(project.home)).is_trained
    answer = project.json("ask", "收音机的电容花了多少钱？", "-s", "retrieval.min_score=0", "-s", "lora.enabled=false")
    assert {quote["label"] for quote in answer["quotes"]} == {"小禾"} and "三块五" in answer["answer"]
    store = store_of(load_settings(project.root / "hcf.toml", environ={}))
    card, samples, adapter = (store.current(n) for n in ("retrieval_scorecard", "sample_answers", "lora_adapter"))
    assert card and "in a monologue nobody asks" in str(card.metadata["fusion"])
    assert samples and samples.metadata["questions"] == 0
    assert adapter and isinstance(adapter.metadata["train_loss"], float)
    assert project.json("refresh")["ran"] == []


def test_a_monologue_in_which_nobody_speaks_is_refused_in_a_sentence(project: Project) -> None:
    for file in project.corpus.iterdir():
        file.write_text("没有称呼的文字。", encoding="utf-8")
    refused = project.hcf("refresh", "--lang", "en")
    assert refused.returncode == 1 and "host_labels" in refused.stderr and "Traceback" not in refused.stderr
