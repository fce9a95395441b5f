"""What is remembered of heads, and refused at a glance, is what the patterns say of each line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hcf_pipeline.corpus.forms.heads import (
    READERS,
    SHAPES_OF,
    inline_head,
    known_head,
    matched_inline_head,
    remembering,
)
from hcf_pipeline.corpus.forms.times import Clock, seconds

NAMES = [
    "Bob",
    "Ann Lee",
    "老李",
    "Amy",
    "🐟老魏",
    "O'Beirne",
    "SPEAKER_01",
    "12",
    "Bob (host)",
    "老李（主播）",
    "下午茶",
    "问题是",
]
TIMES = [
    "00:12:34",
    "1:02",
    "12：34",
    "12:34:56,789",
    "2024/3/5, 12:33:01",
    "3月5日 下午3:20",
    "12:34 PM",
    "1:05 a.m.",
    "1234:56",
    "12:3",
]
SIGNS = [
    *"*_【】[]()（）<>«»《》:：,，-–|=/.。!？#\t ",
    "**",
    "***",
    "- ",
    "1. ",
    "3、",
    "### ",
    ": ",
    "  ",
    "://",
    "<b>",
    "</b>",
    " --> ",
    " - ",
]
WORDS = ["hello, you", "好的", "x", "8", "上午见", "至今", "(laughs)", "don't", ""]
piece = st.sampled_from([*NAMES, *TIMES, *SIGNS, *SIGNS, *WORDS])
usual = st.builds(
    lambda before, time, close, name, colon, words: f"{before}{time}{close}{name}{colon}{words}",
    st.sampled_from(["", "[", "(", "- ", "**", "【", "> "]),
    st.sampled_from(["", *TIMES]),
    st.sampled_from(["", "] ", ") ", " ", "** ", "】", "]", " - "]),
    st.sampled_from(NAMES),
    st.sampled_from([":", ": ", "：", " : ", ":** ", "**: ", " (00:12): ", " [1:02]", "  00:12:34", "\t", ""]),
    st.sampled_from(WORDS),
)
lines = st.one_of(usual, st.lists(piece, min_size=1, max_size=7).map("".join)).map(str.strip).filter(bool)


@pytest.mark.parametrize("form", READERS)
@given(lines)
def test_what_is_remembered_of_a_head_is_what_the_pattern_finds(form: str, line: str) -> None:
    assert remembering(READERS[form])(line) == READERS[form](line)
    assert inline_head(line) == matched_inline_head(line)


@given(lines)
def test_names_that_are_set_are_found_in_all_forms_as_in_each(line: str) -> None:
    each = (head for form in SHAPES_OF if (head := known_head(NAMES, form)(line)))
    assert known_head(NAMES, *SHAPES_OF)(line) == next(each, None)


@given(st.integers(0, 99), st.integers(0, 59), st.integers(0, 59), st.integers(0, 999))
def test_a_clock_is_as_many_seconds_however_it_is_written(
    hours: int, minutes: int, second: int, thousandth: int
) -> None:
    whole = hours * 3600 + minutes * 60 + second
    assert seconds(f"{hours:02}:{minutes:02}:{second:02}") == seconds(f"{hours}:{minutes:02}:{second:02}") == whole
    assert seconds(f"{hours * 60 + minutes}:{second:02}") == seconds(f"{hours:02}：{minutes:02}：{second:02}") == whole
    assert seconds(f"{hours:02}:{minutes:02}:{second:02},{thousandth:03}") == pytest.approx(whole + thousandth / 1000)


def test_a_day_without_a_number_of_its_own_leaves_times_of_day() -> None:
    clock = Clock()
    assert [clock.seconds(stamp) for stamp in ("99月99日 12:00", "99月99日 12:01")] == [0, 60]
