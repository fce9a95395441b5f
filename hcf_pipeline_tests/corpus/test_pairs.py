"""Turns as pairs: what is joined, what ends a pair, and that no word and no flag is lost on the way from the text."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hcf_pipeline.corpus.grammar import Grammar
from hcf_pipeline.corpus.pairs import Pair, monologue_pairs, pair_turns, passages
from hcf_pipeline.corpus.sentences import chars_of
from hcf_pipeline.corpus.transcript import CUT_OFF, NOISE_REMOVED, UNKNOWN_LABEL, Transcript, Turn, parse_transcript
from hcf_pipeline.settings import CorpusSettings

SETTINGS = CorpusSettings(host_labels=["甲"], guest_labels=["乙"])
LOST = "【API调用失败：402】"


def pairs_of(text: str, *, interrupted: bool = False) -> list[Pair]:
    return list(pair_turns(parse_transcript(text, Grammar(SETTINGS), interrupted=interrupted).turns))


def told(text: str) -> list[tuple[str, str, str]]:
    return [(pair.guest_text, pair.host_text, pair.flags) for pair in pairs_of(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # what followed the guest's removed question answers that, and the answer before it is whole
        (f"乙：A\n甲：a\n乙：{LOST}\n甲：b", [("A", "a", "")]),
        (f"乙：{LOST}\n甲：b\n乙：C\n甲：c", [("C", "c", "")]),
        # the answer to A is gone, and A is no part of the question that b answers
        (f"乙：A\n甲：{LOST}\n乙：B\n甲：b", [("B", "b", "")]),
        (f"乙：A\n甲：{LOST}\n甲：b", []),
        # a goes on with what was removed
        (f"乙：A\n甲：a\n甲：{LOST}\n甲：b", [("A", "a", NOISE_REMOVED)]),
        # the question began with what was removed, or went on with it
        (f"乙：{LOST}\n乙：B\n甲：b", [("B", "b", NOISE_REMOVED)]),
        (f"乙：{LOST}\n乙：B\n乙：C\n甲：b", [("B\nC", "b", NOISE_REMOVED)]),
        (f"乙：A\n乙：{LOST}\n甲：b", []),
        # one damaged question says nothing of the next one
        (f"乙：{LOST}\n乙：B\n甲：b\n乙：C\n甲：c", [("B", "b", NOISE_REMOVED), ("C", "c", "")]),
        (f"丙：x\n乙：{LOST}\n丙：x\n乙：C\n甲：c", [("C", "c", "")]),
        # nothing was removed where a label stands alone
        ("乙：A\n甲：a\n乙：\n甲：b", [("A", "a\nb", "")]),
    ],
)
def test_a_removed_turn_ends_the_pair_and_flags_what_it_damaged(
    text: str, expected: list[tuple[str, str, str]]
) -> None:
    assert told(text) == expected


@pytest.mark.parametrize("damaged", range(2))
def test_the_flag_of_the_question_and_that_of_the_answer_are_the_pairs(damaged: int) -> None:
    turns = ["乙：一", "甲：二"]
    turns[damaged] += f"\n{LOST}"
    assert told("\n".join(turns)) == [("一", "二", NOISE_REMOVED)]


@pytest.mark.parametrize("damaged", range(4))
def test_the_flag_of_each_turn_of_a_joined_pair_is_the_pairs(damaged: int) -> None:
    turns = ["乙：一", "乙：二", "甲：三", "甲：四"]
    turns[damaged] += f"\n{LOST}"
    assert told("\n".join(turns)) == [("一\n二", "三\n四", NOISE_REMOVED)]


def test_a_flag_that_two_turns_have_stands_once_and_flags_are_in_order() -> None:
    text = f"乙：一\n{LOST}\n甲：二\n{LOST}\n预算：三万"
    assert [pair.flags for pair in pairs_of(text, interrupted=True)] == [f"{CUT_OFF} {NOISE_REMOVED} {UNKNOWN_LABEL}"]


def test_pairs_are_numbered_from_one_whatever_lies_between() -> None:
    text = f"甲：开场\n乙：A\n甲：a\n乙：{LOST}\n甲：b\n乙：C\n甲：c"
    assert [(pair.no, pair.first_turn, pair.last_turn) for pair in pairs_of(text)] == [(1, 2, 3), (2, 6, 7)]


class Spoken(NamedTuple):
    """One turn as it is written; only 甲 and 乙 are known."""

    label: str
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        return "\n".join(line for line in self.lines if line != LOST)


words = st.text(alphabet="你好吗修车，。？abc0", min_size=1, max_size=8)
lines = st.one_of(words, st.sampled_from(["甲", "乙", "第一：不要", "比分3：2", "注意：慢", LOST]))
known = st.builds(Spoken, st.sampled_from("甲乙"), st.lists(lines, min_size=1, max_size=4).map(tuple))
removed = st.builds(Spoken, st.sampled_from("甲乙"), st.just((LOST,)))
third = st.builds(Spoken, st.just("丙"), st.lists(words, min_size=1, max_size=3).map(tuple))
transcripts = st.lists(st.one_of(known, known, known, removed, third), min_size=1, max_size=25)
REPEATED = [Spoken("丙", ("好",)), Spoken("乙", ("好",)), Spoken("丙", ("好",))]  # who recurs is a speaker


def parsed(spoken: list[Spoken], *, is_set: bool, interrupted: bool = False) -> Transcript:
    settings = SETTINGS.model_copy(update={"other_labels": ["丙"]}) if is_set else SETTINGS
    text = "\n".join(f"{turn.label}：" + "\n".join(turn.lines) for turn in spoken)
    return parse_transcript(text, Grammar(settings), interrupted=interrupted)


@given(transcripts, st.booleans())
def test_every_word_of_a_known_speaker_is_in_the_turns_once_and_no_other(spoken: list[Spoken], is_set: bool) -> None:
    spoken = [*spoken, *REPEATED]
    expected = [(no, turn.label, turn.text) for no, turn in enumerate(spoken, 1) if turn.label != "丙"]
    assert [(turn.no, turn.label, turn.text) for turn in parsed(spoken, is_set=is_set).turns] == expected


@given(transcripts, st.booleans())
def test_no_pair_reaches_across_a_removed_turn_or_another_speakers(spoken: list[Spoken], is_set: bool) -> None:
    spoken = [*spoken, *REPEATED]
    for pair in pair_turns(parsed(spoken, is_set=is_set).turns):
        inside = spoken[pair.first_turn - 1 : pair.last_turn]
        assert all(turn.label != "丙" and turn.text for turn in inside)
        assert "\n".join(turn.text for turn in inside if turn.label == "乙") == pair.guest_text
        assert "\n".join(turn.text for turn in inside if turn.label == "甲") == pair.host_text


@given(transcripts, st.booleans())
def test_no_flag_of_a_turn_or_of_a_removed_one_beside_it_is_lost(spoken: list[Spoken], interrupted: bool) -> None:
    turns = parsed(spoken, is_set=True, interrupted=interrupted).turns
    by_no = {turn.no: turn for turn in turns}
    for no, turn in by_no.items():
        assert (NOISE_REMOVED in turn.flags) == (LOST in spoken[no - 1].lines)
        assert (CUT_OFF in turn.flags) == (interrupted and turn is turns[-1])
    for pair in pair_turns(turns):
        flags = {flag for no in range(pair.first_turn, pair.last_turn + 1) for flag in by_no[no].flags.split()}
        before, after = by_no.get(pair.first_turn - 1), by_no.get(pair.last_turn + 1)
        if before and before.side == "guest" and not before.text:
            flags |= set(before.flags.split())
        if after and after.side == "host" and not after.text:
            flags |= set(after.flags.split())
        assert set(pair.flags.split()) == flags


@given(text=st.text(st.sampled_from("说话了很多。！？…\n」 a"), max_size=200), max_chars=st.integers(1, 40))
def test_the_passages_of_a_monologue_hold_every_character_and_none_is_too_long(text: str, max_chars: int) -> None:
    found = list(passages(text, max_chars))
    assert "".join("".join(found).split()) == "".join(text.split())
    assert all(0 < len(passage) <= max_chars * chars_of([text]) and passage == passage.strip() for passage in found)


def test_a_passage_of_a_monologue_ends_where_a_sentence_does() -> None:
    turns = [Turn(1, "host", "小禾", "一句话。" * 100, ""), Turn(2, "host", "小禾", "断了", CUT_OFF)]
    pairs = list(monologue_pairs(turns))
    assert [pair.no for pair in pairs] == [1, 2, 3] and {pair.guest_text for pair in pairs} == {""}
    assert [len(pair.host_text) for pair in pairs] == [300, 100, 2]
    assert [(pair.first_turn, pair.last_turn, pair.flags) for pair in pairs] == [
        (1, 1, ""),
        (1, 1, ""),
        (2, 2, CUT_OFF),
    ]
