"""Days where people write them."""

from __future__ import annotations

import datetime

import pytest

from hcf_pipeline.corpus.dates import DateOrder, date_in, date_of_path
from hcf_pipeline.corpus.grammar import Grammar
from hcf_pipeline.corpus.transcript import parse_transcript
from hcf_pipeline.settings import CorpusSettings

DAY = datetime.date(2024, 3, 5)


@pytest.mark.parametrize(
    "path",
    [
        "2024-03-05.md", "2024.3.5.txt", "2024_03_05.srt", "20240305_a.md", "直播20240305.md", "24.3.5.md", "24年3月5日.md",
        "2024年3月5日.md", "2024年03月/05.md", "2024/03/05.md", "2024/3月/5日.md", "2024/3月/第12期 2024-03-05.md", "05.03.2024.md",
        "5-Mar-2024.md", "March 5, 2024.md", "2024-Mar-05.md", "5th March 2024.md", "ep13 2024年3月5日.md", "2024-03-05/talk.md",
    ],
)  # fmt: skip
def test_a_day_in_a_path_is_found_however_it_is_written(path: str) -> None:
    assert date_of_path(path) == DAY


@pytest.mark.parametrize(
    "path",
    [
        "第12期.md",
        "ep13.md",
        "2024-13-40.md",
        "2023-08-xx.md",
        "v1.2.3.md",
        "notes.md",
        "123456789012.md",
        "10.0.0.1.md",
    ],
)
def test_what_is_no_day_is_none(path: str) -> None:
    assert date_of_path(path) is None


def test_what_comes_first_in_a_day_before_its_year_is_a_setting_and_what_no_calendar_has_is_turned_round() -> None:
    assert date_in("08.03.2024") == datetime.date(2024, 3, 8)
    assert date_in("08.03.2024", "month") == datetime.date(2024, 8, 3)
    assert date_in("03/25/2024") == datetime.date(2024, 3, 25) == date_in("25/03/2024", "month")


@pytest.mark.parametrize(
    "text",
    [
        "---\ntitle: x\ndate: 2024-03-05\n---\n", "---\npublish_date: '2024-03-05T10:00:00Z'\n---\n", "---\npublished: 5 Mar 2024\n---\n",
        "+++\ndate = \"2024-03-05\"\n+++\n", "# 第12期 2024年3月5日\n\n", "\n## A talk, March 5, 2024\n",
    ],
)  # fmt: skip
def test_a_day_in_front_matter_or_the_first_heading_is_the_transcripts(text: str) -> None:
    grammar = Grammar(CorpusSettings(host_labels=["甲"], guest_labels=["乙"]))
    transcript = parse_transcript(text + "乙：问\n甲：答", grammar)
    assert transcript.date == DAY and [turn.text for turn in transcript.turns] == ["问", "答"]


CHAT = "[{0}09:00:07] 乙: 问\n[{0}09:00:37] 甲: 答\n"


@pytest.mark.parametrize(
    ("day", "order"),
    [
        ("2024/3/5, ", "day"), ("2024-03-05 ", "day"), ("05/03/2024, ", "day"), ("3/5/2024, ", "month"), ("05.03.24, ", "day"),
        ("3/5/24, ", "month"), ("24/03/05 ", "day"), ("2024年3月5日 ", "day"),
    ],
)  # fmt: skip
def test_the_times_of_a_chat_of_one_day_date_it(day: str, order: DateOrder) -> None:
    grammar = Grammar(CorpusSettings(host_labels=["甲"], guest_labels=["乙"], date_order=order))
    transcript = parse_transcript(CHAT.format(day), grammar)
    assert (transcript.date, [turn.start_s for turn in transcript.turns]) == (DAY, [0.0, 30.0])


@pytest.mark.parametrize(
    ("stamps", "day"),
    [
        (("2024/3/5, 22:00:00", "2024/3/6, 01:10:00"), DAY),  # an evening past midnight
        (("2024/3/6, 01:10:00", "2024/3/5, 22:00:00"), DAY),
        (("2024/3/5, 22:00:00", "2024/3/6, 23:10:00"), None),  # two days
        (("2024/3/5, 22:00:00", "2024/4/1, 22:10:00"), None),
        (("09:00:07", "09:00:37"), None),
        (("3月5日 09:00", "3月5日 09:01"), None),  # of no year
        (("2024/13/40, 09:00:07", "2024/13/40, 09:00:09"), None),
    ],
)
def test_a_chat_of_several_days_or_without_any_is_not_dated(stamps: tuple[str, str], day: datetime.date | None) -> None:
    grammar = Grammar(CorpusSettings(host_labels=["甲"], guest_labels=["乙"]))
    text = "".join(f"[{stamp}] {name}: 话\n" for stamp, name in zip(stamps, "乙甲", strict=True))
    assert parse_transcript(text, grammar).date == day


def test_a_day_above_a_chat_goes_before_that_of_its_times() -> None:
    grammar = Grammar(CorpusSettings(host_labels=["甲"], guest_labels=["乙"]))
    for head in ("---\ndate: 2024-03-05\n---\n", "# 2024年3月5日\n"):
        assert parse_transcript(head + CHAT.format("2024/4/1, "), grammar).date == DAY


def test_a_pattern_of_the_users_own_is_searched_in_the_name_alone() -> None:
    own = r"(?P<day>\d\d)(?P<month>\d\d)(?P<year>\d{4})"
    grammar = Grammar(CorpusSettings(date_pattern=own))
    assert grammar.date_of("x/05032024.md") == DAY and grammar.date_of("05032024/x.md") is None
