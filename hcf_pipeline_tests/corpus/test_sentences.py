"""Sentences and words, cut where their language ends them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hcf_pipeline.corpus.sentences import (
    chars_of,
    first_full_stop,
    last_full_stop,
    sentence_ends,
    sentences,
    whole_words,
)


@pytest.mark.parametrize(
    "cut",
    [
        "He paid 3.5 dollars at example.org.| Then he left.",
        "Mr. Smith met Dr. J. R. Jones.| They talked.",
        'He said "No."| Then he left.',
        "Well... maybe.| Or not!| Really?| Yes.",
        "It opened at 5 p.m. on Monday.| See e.g. the sign.",
        "他说「真的。」|然后走了。|好！！|A.I. 也行",
        "第一行\n|第二行。",
        "That was Acme Inc.| It closed.",
        "version 1.2.3 of node.js is out.| ok",
    ],
)
def test_a_sentence_ends_where_its_language_ends_it(cut: str) -> None:
    assert "|".join(sentences(cut.replace("|", ""))) == cut


@given(st.text('ab. \n。A1.!"”Mr'), st.integers(0, 30), st.integers(0, 30))
def test_cut_sentences_are_the_text_and_a_stop_found_alone_is_one_of_them(text: str, start: int, end: int) -> None:
    assert "".join(sentences(text)) == text
    ends = sentence_ends(text)
    assert ends == sorted(set(ends)) and sentence_ends(text, end) == [at for at in ends if at <= end]
    for at in (first_full_stop(text, start, end), last_full_stop(text, start, end)):
        assert not at or at in ends


@pytest.mark.parametrize(
    ("text", "end", "kept"),
    [
        ("just HTTP-listening here", 14, "just "),
        ("just some words", 9, "just some"),
        ("修车铺在街上", 3, "修车铺"),
        ("Donaudampfschifffahrt", 5, "Donau"),
        ("用iPhone拍", 4, "用"),
    ],
)
def test_no_word_is_cut_where_another_place_is_left(text: str, end: int, kept: str) -> None:
    assert text[: whole_words(text, 0, end)] == kept


def test_a_letter_says_a_third_of_a_character() -> None:
    assert chars_of(["just some words"]) == 3 and chars_of(["修车铺的 iPhone"]) == 1 and chars_of(["한국어 말"]) == 1
    assert chars_of(["слова"]) == 3 and chars_of([]) == 1
