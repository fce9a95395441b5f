"""Which time a question speaks of."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hcf_pipeline.rag.dates import periods_in

TODAY = datetime.date(2024, 7, 10)
NEWEST = datetime.date(2024, 6, 30)


@pytest.mark.parametrize(
    ("question", "since", "until"),
    [
        ("去年他怎么看房价？", "2023-01-01", "2023-12-31"),
        ("前年夏天他在忙什么", "2022-06-01", "2022-08-31"),
        ("大前年冬天呢", "2021-11-01", "2022-02-28"),
        ("2024年5月他说了什么？", "2024-05-01", "2024-05-31"),
        ("二零二三年的时候", "2023-01-01", "2023-12-31"),
        ("23年11月", "2023-11-01", "2023-11-30"),
        ("2023-11-05那场", "2023-11-05", "2023-11-05"),
        ("2023/11 那些", "2023-11-01", "2023-11-30"),
        ("2023年11月5日", "2023-11-05", "2023-11-05"),
        ("11月5号那天", "2023-11-05", "2023-11-05"),
        ("五月三号", "2024-05-03", "2024-05-03"),
        ("5月份", "2024-05-01", "2024-05-31"),
        ("十二月", "2023-12-01", "2023-12-31"),
        ("七月里", "2023-07-01", "2023-07-31"),  # of this year's there is nothing yet
        ("7月3号", "2023-07-03", "2023-07-03"),
        ("今年七月", "2024-07-01", "2024-07-31"),
        ("秋天", "2023-09-01", "2023-11-30"),
        ("去年五月", "2023-05-01", "2023-05-31"),
        ("去年年底", "2023-11-01", "2023-12-31"),
        ("今年上半年", "2024-01-01", "2024-06-30"),
        ("上个月", "2024-06-01", "2024-06-30"),
        ("上上个月", "2024-05-01", "2024-05-31"),
        ("这个月", "2024-07-01", "2024-07-31"),
        ("上周", "2024-07-01", "2024-07-07"),
        ("昨天", "2024-07-09", "2024-07-09"),
        ("三个月前", "2024-03-25", "2024-04-25"),
        ("半年前", "2023-12-10", "2024-02-09"),
        ("最近三个月", "2024-04-10", "2024-07-10"),
        ("近半年", "2024-01-09", "2024-07-10"),
        ("最近他在说什么？", "2024-05-01", "2024-06-30"),
        ("上一场", "2024-06-30", "2024-06-30"),
    ],
)
def test_words_for_a_time_are_understood(question: str, since: str, until: str) -> None:
    assert [(str(p.since), str(p.until)) for p in periods_in(question, TODAY, NEWEST)] == [(since, until)]


@pytest.mark.parametrize(
    "question",
    [
        "工作十年了",
        "一个月两千六",
        "五年级",
        "月薪三千",
        "三月",
        "五月天的歌好听吗",
        "99月",
        "零月",
        "13月40日",
        "现在呢",
        "",
    ],
)
def test_durations_and_what_only_looks_like_a_time_are_none(question: str) -> None:
    expected = 1 if question == "三月" else 0
    assert len(periods_in(question, TODAY, NEWEST)) == expected


def test_two_times_are_two_periods() -> None:
    found = periods_in("2022年和去年年底有什么不同", TODAY)
    assert [(p.since.year, p.since.month) for p in found] == [(2022, 1), (2023, 11)]


def test_years_after_the_last_broadcast_a_month_is_still_one_that_there_was() -> None:
    later = datetime.date(2026, 11, 25)
    for question, since in (
        ("三月里", "2024-03-01"),
        ("4月3号", "2024-04-03"),
        ("年底", "2023-11-01"),
        ("去年", "2025-01-01"),
    ):
        assert [str(period.since) for period in periods_in(question, later, NEWEST)] == [since]


@given(st.text(st.sampled_from("去今前大年月日号上下个这最近半几天周底初0123456789二零〇十-/.五"), max_size=14))
def test_no_words_are_too_odd(question: str) -> None:
    assert all(period.since <= period.until for period in periods_in(question, TODAY, NEWEST))
