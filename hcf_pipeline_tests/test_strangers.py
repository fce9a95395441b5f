"""Three commands, no edit: what a stranger's folder gives, whatever its transcripts are written in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from hcf_pipeline_tests.conftest import Project

ENGLISH = (
    (
        "How long does the barley bread bake?",
        "Barley bread bakes for twenty five minutes, turn it over at minute twelve.",
    ),
    ("Did the old radio ever work again?", "The radio needed one new capacitor, and that cost me thirty cents."),
    (
        "Where do you put the antenna in the hills?",
        "In the hills the antenna has to go on the roof, never during a storm.",
    ),
    ("Why do old tapes stick?", "Old tapes stick when they lie around, rewind them once before you listen."),
)
CHINESE = (
    ("青稞饼要烤多久才算熟？", "青稞饼烤二十五分钟，第十二分钟翻一次面，面要先醒半个钟头。"),
    ("那台旧收音机最后修好了吗？", "收音机修好了，换了一颗电容，花了三毛钱，烙铁要先沾松香。"),
    ("山里的天线应该架在哪里？", "山里信号不好，天线得架到屋顶上去，打雷下雨的天千万别上去。"),
    ("旧磁带为什么会粘在一起？", "磁带放久了会粘，要先倒一遍再听，不然会卡在机器里。"),
)
Exchanges = Sequence[tuple[str, str]]


def subtitles(folder: Path, n: int, exchanges: Exchanges) -> None:
    said = [(name, text) for asked, answered in exchanges for name, text in (("听众", asked), ("小禾", answered))]
    cues = [f"{i}\n00:{i:02}:00,000 --> 00:{i:02}:09,500\n{name}：{text}\n" for i, (name, text) in enumerate(said, 1)]
    (folder / f"第{n}期.srt").write_text("\n".join(cues), encoding="utf-8")


def bold_names(folder: Path, n: int, exchanges: Exchanges) -> None:
    said = "\n\n".join(f"**Carl Berg:** {asked}\n\n**Hanna O'Brien:** {answered}" for asked, answered in exchanges)
    (folder / f"episode-{n}.md").write_text(f"# Episode {n}\n\n{said}\n", encoding="utf-8")


def gbk_export(folder: Path, n: int, exchanges: Exchanges) -> None:
    said = "".join(
        f"听众 2024-03-{n:02} 21:{i:02}:00\n{asked}\n小禾 2024-03-{n:02} 21:{i:02}:30\n{answered}\n"
        for i, (asked, answered) in enumerate(exchanges)
    )
    (folder / f"聊天记录{'甲乙丙丁戊己庚辛'[n - 1]}.txt").write_bytes(said.encode("gbk"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("written", "exchanges", "asked", "host", "cited"),
    [
        (subtitles, CHINESE, "天线架在哪里？", "小禾", {"start_s": [60.0, 120.0, 180.0, 240.0, 300.0, 360.0, 420.0, 480.0]}),
        (bold_names, ENGLISH, "How long does barley bread bake?", "Hanna O'Brien", {"start_s": [None]}),
        (gbk_export, CHINESE, "旧收音机修好了吗？", "小禾", {"date": [f"2024-03-{n:02}" for n in range(1, 9)]}),
    ],
    ids=["a folder of SRT files", "bold Markdown names in English", "a GBK text export"],
)  # fmt: skip
def test_three_commands_and_no_edit_give_a_cited_answer(
    tmp_path: Path,
    written: Callable[[Path, int, Exchanges], None],
    exchanges: Exchanges,
    asked: str,
    host: str,
    cited: dict[str, list[object]],
) -> None:
    (tmp_path / "mine").mkdir()
    for n in range(1, 9):
        written(tmp_path / "mine", n, [exchanges[(n + i) % 4] for i in range(4)])
    project = Project(tmp_path)
    made = project.hcf("init", "mine")
    assert made.returncode == 0, made.stderr
    refreshed = project.json("refresh", "--no-train")
    assert refreshed["release"] and refreshed["reading"]["spoken_share"] == 1.0
    answer = project.json("ask", asked)
    assert not answer["abstained"] and answer["citations"] and {quote["label"] for quote in answer["quotes"]} == {host}
    for field, values in cited.items():
        assert answer["citations"][0][field] in values
    shown = project.hcf("ask", asked)
    assert shown.returncode == 0 and "[1]" in shown.stdout
