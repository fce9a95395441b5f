"""Which time a question speaks of."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hcf_pipeline.rag.search.dates import mentions_in, periods_in

TODAY = datetime.date(2024, 7, 10)  # a Wednesday
NEWEST = datetime.date(2024, 6, 30)
TABLE = Path(__file__).with_name("dates.tsv").read_text(encoding="utf-8").splitlines()
ENGLISH = Path(__file__).with_name("english_dates.tsv").read_text(encoding="utf-8").splitlines()
WRITTEN = st.text(
    st.sampled_from(
        "去今前大年月日号上下个这最近半几天周底初中末旬0123456789２二零〇十两三-/.五一八九到和以之后起些本礼拜星期明第季度春冬那场"
    ),
    max_size=16,
)
DAYS = st.dates()


@pytest.mark.parametrize("row", [*TABLE, *ENGLISH], ids=lambda row: row.split("\t")[0] or "nothing")
def test_words_for_a_time_are_understood_and_what_only_looks_like_one_is_none(row: str) -> None:
    question, expected = row.split("\t")
    found = periods_in(question, TODAY, NEWEST)
    shown = (str(p.since) if p.since == p.until else f"{p.since}..{p.until}" for p in found)
    assert " ".join(shown) == expected


def test_the_table_has_times_and_none() -> None:
    n_none = sum(row.endswith("\t") for row in TABLE)
    assert len(TABLE) >= 200 and n_none >= 50 and len(TABLE) - n_none >= 100


@given(
    st.lists(
        st.sampled_from(
            [
                "last",
                "this",
                "past",
                "week",
                "month",
                "year",
                "of",
                "before",
                "in",
                "on",
                "from",
                "to",
                "between",
                "and",
                "March",
                "may",
                "5th",
                "31",
                "30",
                "February",
                "2024",
                "2023",
                "the",
                "two",
                "a",
                "few",
                "days",
                "ago",
                "-",
                ",",
                "Monday",
                "Monday's",
                "show",
                "summer",
                "early",
                "end",
                "Q2",
                "half",
                "until",
                "since",
                "2024-02-30",
                "0",
            ]
        ),
        max_size=9,
    )
)
def test_any_english_words_name_days_in_their_order_or_none(words: list[str]) -> None:
    question = " ".join(words)
    ends = 0
    for mention in mentions_in(question, TODAY, NEWEST):
        assert ends <= mention.start < mention.end <= len(question) and mention.period.since <= mention.period.until
        assert mention.period.since <= TODAY
        ends = mention.end


def test_two_times_are_two_periods() -> None:
    found = periods_in("2022年和去年年底有什么不同", TODAY)
    assert [(p.since.year, p.since.month) for p in found] == [(2022, 1), (2023, 11)]


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ("他在2023年5月6日那场直播里怎么说房价", ["2023年5月6日那场直播"]),
        ("你２３年５月说的", ["２３年５月"]),
        ("去年3月到5月和前天各说了什么", ["去年3月到5月", "前天"]),
        ("上個月他去哪了", ["上個月"]),
        ("What did he say in March and on May 5th, 2024?", ["in March", "on May 5th, 2024"]),
        ("Compare the end of last year with last week’s show", ["the end of last year", "last week’s"]),
        ("上周的 podcast vs. the one of March 5, 2024", ["上周", "of March 5, 2024"]),
    ],
)
def test_a_mention_is_the_very_words_of_the_question(question: str, words: list[str]) -> None:
    assert [question[m.start : m.end] for m in mentions_in(question, TODAY, NEWEST)] == words


def test_years_after_the_last_broadcast_a_month_is_still_one_that_there_was() -> None:
    later = datetime.date(2026, 11, 25)
    for question, since in (
        ("三月里", "2024-03-01"),
        ("4月3号", "2024-04-03"),
        ("年底", "2023-11-01"),
        ("去年", "2025-01-01"),
        ("最近三个月", "2024-03-31"),
        ("这几天", "2024-06-16"),
        ("2月29号", "2024-02-29"),
    ):
        assert [str(period.since) for period in periods_in(question, later, NEWEST)] == [since]


def test_the_29th_of_february_is_that_of_the_last_leap_year() -> None:
    for newest, day in ((datetime.date(2027, 1, 1), "2024-02-29"), (datetime.date(2024, 2, 28), "2020-02-29")):
        assert [str(p.since) for p in periods_in("2月29日", newest, newest)] == [day]
    assert [str(p.since) for p in periods_in("2月29日", *[datetime.date(1903, 5, 1)] * 2)] == ["1896-02-29"]


@given(WRITTEN, DAYS, DAYS)
def test_no_words_are_too_odd(question: str, today: datetime.date, newest: datetime.date) -> None:
    end = 0
    for start, after, period in mentions_in(question, today, newest):
        assert end <= start < after <= len(question)
        assert period.since <= period.until and period.since <= today  # nothing that is still to come
        end = after


@given(st.text(max_size=40))
def test_no_text_is_too_odd(question: str) -> None:
    periods_in(question, TODAY, NEWEST)
