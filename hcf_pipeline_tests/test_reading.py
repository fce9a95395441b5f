"""A refresh stops where most of the text is nobody's, goes on where the user says so, and says how the corpus was read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hcf_pipeline.chat.release import current_release
from hcf_pipeline.defs.refresh import refresh
from hcf_pipeline.errors import GateFailed
from hcf_pipeline.settings.file import load_settings
from hcf_pipeline.store import Store
from hcf_pipeline_tests.conftest import Project
from hcf_pipeline_tests.test_staleness import Silent
from hcf_pipeline_tests.test_untrained import ASKED, untrained_project

PROSE = "这一行没有写明是谁说的，一句接着一句，说的都是灯塔和轮胎。\n"


def test_a_refresh_stops_with_the_sentence_that_helps_where_most_of_the_text_is_nobodys(tmp_path: Path) -> None:
    project = untrained_project(tmp_path)
    settings = load_settings(project.root / "hcf.toml", environ={})
    before = refresh(settings, Silent()).release
    file = project.corpus / "2024-03-05.md"
    file.write_text(PROSE * 200 + ASKED, encoding="utf-8")  # one new file: the others are not parsed again
    with pytest.raises(GateFailed, match=r"% of the text has a speaker.*min_spoken = 0\.3.*hcf turns 2024-03-05\.md"):
        refresh(settings, Silent())
    assert current_release(Store(project.home)).id == before, "what was released serves on"
    told = project.hcf("check", "--lang", "en", "--json").stdout
    turns = next(one for one in json.loads(told)["findings"] if one["name"] == "turns")
    assert turns["verdict"] == "bad" and "hcf turns 2024-03-05.md" in turns["text"] and "min_spoken" in turns["text"]
    meant = load_settings(project.root / "hcf.toml", environ={"HCF_RELEASE__MIN_SPOKEN": "0"})
    done = refresh(meant, Silent())
    assert done.release and done.release != before and "turn_table" not in done.ran, "nothing is parsed anew for it"


@pytest.mark.slow
def test_a_refresh_says_how_the_corpus_was_read_and_shows_turns_of_each_side(tmp_path: Path) -> None:
    project = untrained_project(tmp_path, "# 第一期\n这里是说明。\n" + ASKED)
    (project.corpus / "空.md").write_text("", encoding="utf-8")
    said = project.hcf("refresh", "--lang", "en")
    assert said.returncode == 0
    assert "91% of the text has a speaker, 100% of neighbouring turns change sides" in said.stdout
    assert "heading 4" in said.stdout and "before the first label 4" in said.stdout
    assert "  host 江照野: 鲸尾岬灯塔的门票是四十七块" in said.stdout and "  guest 水友: 轮胎怎么补？" in said.stdout
    assert "1 files are left out: empty 1 (such as 空.md)" in said.stdout
    again = project.hcf("refresh").stdout
    assert "91% 的文字有说话人" in again and "host 江照野" not in again, "turns are shown when they are new"
    read = project.json("refresh")["reading"]
    assert (read["spoken_share"], read["alternation"]) == (pytest.approx(0.91, abs=0.01), 1.0)
    assert read["files_left_out"] == {"空.md": "empty"}


def findings(project: Project, *lang: str, **environ: str) -> dict[str, tuple[str, str]]:
    told = json.loads(project.hcf("check", "--json", *lang, **environ).stdout)["findings"]
    return {one["name"]: (one["verdict"], one["text"]) for one in told}


def test_check_asks_nothing_of_the_machine_that_only_training_needs_where_nothing_is_trained(tmp_path: Path) -> None:
    project = untrained_project(tmp_path)
    with_model = {"HCF_PROFILE": "qwen", "HCF_ENCODER__MODEL": "embedded"}
    found = findings(project, "--lang", "en", **with_model)
    assert {name: verdict for name, (verdict, _) in found.items() if verdict != "ok"} == {}
    assert "nothing is trained" in found["pairs"][1] and "nothing is trained" in found["gpu"][1]
    assert "1.0 GB needed" in found["disk"][1] and "embedded models need none" in found["token"][1]
    found = findings(project, **with_model)
    assert "不训练" in found["pairs"][1] and "不训练" in found["gpu"][1] and "不训练" in found["memory"][1]
