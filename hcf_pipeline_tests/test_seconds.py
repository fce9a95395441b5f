"""From a recording's subtitles to the second that an answer opens."""

from __future__ import annotations

from pathlib import Path

import pytest

from hcf_pipeline.defs.publishing import store_of
from hcf_pipeline.settings.file import load_settings
from hcf_pipeline_tests.conftest import SMALL, Project

LINK = "{url}?t={start_s}"


def recording(day: int) -> str:
    return f"""---
title: 第{day}期
url: https://video.example/watch?v=day{day}
---

[00:00:05] 水友：第{day}天，灯塔的门票多少钱？

[01:02:03] 江照野：第{day}天说过，鲸尾岬灯塔的门票是四十七块，上午九点开门，带身份证。

[01:02:40] 水友：轮胎怎么补？

[01:03:00] 江照野：自己补，买个小板凳坐着，十二块钱，蹲着膝盖疼。
"""


@pytest.mark.slow
def test_a_citation_opens_the_second_of_the_video(tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    for day in range(1, 5):
        (tmp_path / "corpus" / f"2024-03-0{day}.md").write_text(recording(day), encoding="utf-8")
    toml = SMALL.replace("[lora]", "[lora]\nenabled = false").replace("[corpus]", f"[corpus]\nlink = '{LINK}'")
    (tmp_path / "hcf.toml").write_text(toml, encoding="utf-8")
    project = Project(tmp_path)
    assert project.json("refresh")["release"]
    question = ("灯塔的门票多少钱？", "-s", "retrieval.min_score=0")
    answer = project.json("ask", *question)
    quote, citation = answer["quotes"][0], answer["citations"][0]
    assert "四十七块" in quote["text"] and quote["start_s"] == 3723 and citation["start_s"] == 5
    day = int(citation["transcript"].removesuffix(".md")[-1])
    assert citation["link"] == f"https://video.example/watch?v=day{day}&t=5"
    assert quote["link"] == f"https://video.example/watch?v=day{quote['transcript'][-4]}&t=3723"
    hit = project.json("retrieve", *question)["hits"][0]
    assert (hit["start_s"], hit["lines"][1]["start_s"], hit["link"]) == (5, 3723, citation["link"])
    shown = project.hcf("ask", *question).stdout
    assert "第 2 句 1:02:03" in shown and citation["link"] in shown
    other = project.json("ask", *question, "-s", "corpus.link=https://x.example/{date}/{title}")["citations"][0]
    assert other["link"].startswith("https://x.example/2024-03-0") and "%E7%AC%AC" in other["link"]
    answers = store_of(load_settings(tmp_path / "hcf.toml", environ={})).current("sample_answers")
    assert answers and "1:02:03 [↗](https://video.example/watch?v=day" in str(answers.metadata["answers"])
