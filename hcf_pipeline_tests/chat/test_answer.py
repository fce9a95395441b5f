"""What an answer tells of the words that it quotes, as JSON and in a terminal."""

from __future__ import annotations

import datetime

import pytest

from hcf_pipeline.chat.answer import Answer, Citation, OwnWords
from hcf_pipeline.cli.answers import show_answer

DAY = datetime.date(2024, 5, 5)
ANSWER = Answer(
    quotes=(
        OwnWords(1, "a.md", DAY, 4, "小禾", "花了两千三。", 3723.5, "https://x.example/a.md?t=3723"),
        OwnWords(2, "b.md", None, 9, "大山", "[b]不知道[/b]。"),
        OwnWords(1, "a.md", DAY, 6, "小禾", "老板送到店里。"),
    ),
    citations=(
        Citation(1, "a.md", DAY, (3, 6), "小禾：花了两千三。", 3720.0, "https://x.example/a.md?t=3720"),
        Citation(2, "b.md", None, (8, 9), "大山：不知道。"),
    ),
    text="两千三。[1]",
    release="r",
    abstained=False,
)


def test_json_names_the_speaker_and_the_place_of_every_quotation() -> None:
    names = ("n", "label", "transcript", "date", "turn", "text", "start_s", "link")
    assert ANSWER.as_json()["quotes"] == [
        dict(zip(names, row, strict=True))
        for row in (
            (1, "小禾", "a.md", "2024-05-05", 4, "花了两千三。", 3723.5, "https://x.example/a.md?t=3723"),
            (2, "大山", "b.md", None, 9, "[b]不知道[/b]。", None, None),
            (1, "小禾", "a.md", "2024-05-05", 6, "老板送到店里。", None, None),
        )
    ]


def test_json_says_when_and_where_a_citation_begins_and_opens() -> None:
    citations = ANSWER.as_json()["citations"]
    assert isinstance(citations, list)
    assert [(one["start_s"], one["link"]) for one in citations] == [
        (3720.0, "https://x.example/a.md?t=3720"),
        (None, None),
    ]


@pytest.mark.parametrize("toy", [True, False])
def test_a_terminal_shows_each_quotation_under_the_name_of_who_said_it(
    capsys: pytest.CaptureFixture[str], toy: bool
) -> None:
    show_answer(ANSWER, toy=toy, lang="zh")
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    lines.remove("两千三。[1]")
    assert lines == [
        "小禾的原话",
        "「花了两千三。」 [1] 2024-05-05 第 4 句 1:02:03",
        "「老板送到店里。」 [1] 2024-05-05 第 6 句",
        "大山的原话",
        "「[b]不知道[/b]。」 [2] ? 第 9 句",
        "[1] 2024-05-05  a.md  第 3–6 句 1:02:00",
        "https://x.example/a.md?t=3720",
        "[2] ?  b.md  第 8–9 句",
    ]
