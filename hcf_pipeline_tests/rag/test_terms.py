"""What two texts have in common, in any script."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hcf_pipeline.rag.index.terms import (
    HASH_BITS,
    WORD,
    compounds_of,
    is_pair,
    occurrences,
    pairs_of,
    sampled_pairs,
    terms_of,
    units_of,
)


def common(one: str, other: str) -> int:
    return len(np.intersect1d(terms_of(one), terms_of(other)))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ＡＢＳ，修 车！", "abs修车"),
        ("iPhone15", "iphone 15"),
        ("O'Brien’s dogs", "OBRIEN dog"),
        ("1,000 words", "1000 word"),
        ("３．５倍", "3.5 倍"),
        ("cities", "City"),
        ("ΣΑΣ", "σας"),
        ("Élan", "e\u0301lan"),
        ("بِسْمِ", "بسم"),
        ("한국어", "\u1112\u1161\u11ab국어"),
        ("ｶﾞｽ", "ガス"),
        ("養貓之後", "养猫之后"),
        ("瞭解她說著的話", "了解她说着的话"),
    ],
)
def test_the_same_in_another_spelling_is_the_same(one: str, other: str) -> None:
    assert np.array_equal(terms_of(one), terms_of(other)) and len(terms_of(one))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("cat", "concatenate"),
        ("35", "3.5"),
        ("gas", "ga"),
        ("bus", "bu"),
        ("class", "clas"),
        ("列表a", "表b"),
        ("act", "cat"),
    ],
)
def test_words_and_numbers_are_compared_as_a_whole(one: str, other: str) -> None:
    found = np.intersect1d(terms_of(one), terms_of(other))
    assert not (found >= WORD).any()


def test_a_model_after_a_chinese_name_is_found_by_its_number() -> None:
    assert common("苹果15", "15") == 1 and common("苹果15", "苹果手机") == 3
    assert common("15万", "花了15万块") == 3  # the number, the character, and both together


def test_a_name_with_a_number_is_a_term_as_a_whole() -> None:
    """No part of A380 or Model 3 tells which is meant."""
    for one, other in (("A380", "a 380"), ("Model3", "model 3"), ("iPhone15", "iphone 15")):
        assert np.array_equal(terms_of(one), terms_of(other)) and len(terms_of(one)) == 3
    assert common("A380", "a 747, number 380") == 2 and common("A380", "an A380 of 747") == 3
    assert set(terms_of("A380")) < set(terms_of("坐A380的人"))


def test_a_version_is_found_by_its_first_two_numbers() -> None:
    assert common("13.2", "更新到13.2.8之后") == 1 and common("13.2.8", "13.2.6") == 1 and common("13.2", "132") == 0


def test_two_words_are_looked_for_as_one_too() -> None:
    assert np.array_equal(compounds_of("用macbook pro 打游戏"), terms_of("MacBookPro"))
    assert np.array_equal(compounds_of("there's a"), terms_of("theresa"))
    assert not len(compounds_of("pro。max，A 15 b")) and not len(compounds_of("苹果手机"))


def test_words_make_no_pairs_in_the_index_and_do_where_texts_are_compared() -> None:
    assert not is_pair(terms_of("the quick brown fox")).any()
    assert len(pairs_of("the quick brown fox")) == 3
    assert set(pairs_of("修车 shop")) < set(terms_of("修车 shop"))
    texts = ["the quick brown fox jumps over the dog", "the quick brown fox sleeps"]
    owners, pairs = sampled_pairs(texts, 1)
    assert len(np.intersect1d(pairs[owners == 0], pairs[owners == 1])) == 3


def test_no_pair_spans_two_lines() -> None:
    assert common("修车\n铺子", "车铺") == 2


def test_three_letters_take_the_room_of_a_character() -> None:
    units = units_of(["修车 abcdef 铺", "ab修"])
    assert units.places.tolist() == [0, 1, 2, 4, 0, 0]
    assert units.owners.tolist() == [0, 0, 0, 0, 1, 1]


odd = st.text(st.sampled_from("修车aΣσ①㎏…。 \nＡ½ｶﾞe\u0301한\u1112\u1161'.,13s\u064bबि"), max_size=12)


@given(st.lists(odd, max_size=5), odd)
@settings(deadline=None, max_examples=150)
def test_a_text_among_others_has_the_terms_that_it_has_alone(texts: list[str], asked: str) -> None:
    terms = terms_of(asked)
    found = sorted(zip(*(part.tolist() for part in occurrences(texts, terms)), strict=True))
    expected = []
    for n, text in enumerate(texts):
        of_text = occurrences([text], terms)
        expected += [(n, at, term) for _, at, term in zip(*(part.tolist() for part in of_text), strict=True)]
        assert set(terms[of_text[2]].tolist()) == set(np.intersect1d(terms, terms_of(text)).tolist())
    assert found == sorted(expected)
    assert (terms >= 0).all() and (terms < 1 << (HASH_BITS + 2)).all()
