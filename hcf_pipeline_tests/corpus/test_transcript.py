"""One transcript's text as turns and pairs."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hcf_pipeline.corpus.pairs import pair_turns
from hcf_pipeline.corpus.transcript import CUT_OFF, NOISE_REMOVED, Grammar, parse_transcript
from hcf_pipeline.settings import CorpusSettings

GRAMMAR = Grammar(CorpusSettings(host_labels=["甲", "甲哥"], guest_labels=["乙", "路人"]))

words = st.text(alphabet="你好吗天气修车，。？！abc0 ", min_size=1, max_size=30).filter(
    lambda text: text.strip(" ，。？！") != ""
)
said = words.map(lambda text: text.strip()).filter(lambda text: ":" not in text)
turns = st.lists(st.tuples(st.sampled_from(["甲", "甲哥", "乙", "路人"]), said), min_size=1, max_size=20)


def render(conversation: list[tuple[str, str]], colon: str = "：", gap: str = "\n\n", indent: str = "") -> str:
    return gap.join(f"{indent}{label}{colon}{text}" for label, text in conversation)


def parsed(text: str) -> list[tuple[str, str]]:
    return [(turn.label, turn.text) for turn in parse_transcript(text, GRAMMAR).turns]


def pairs_of(text: str) -> list[tuple[str, str, int, int]]:
    found = pair_turns(parse_transcript(text, GRAMMAR).turns)
    return [(pair.guest_text, pair.host_text, pair.first_turn, pair.last_turn) for pair in found]


@given(turns)
def test_every_turn_comes_back_with_its_speaker_and_its_words(conversation: list[tuple[str, str]]) -> None:
    assert parsed(render(conversation)) == conversation


@given(
    turns,
    st.sampled_from([":", "：", " ：", "：\u3000", ":  "]),
    st.sampled_from(["\n", "\n\n", "\r\n", "\r\n\r\n", "\r", "\n\u3000\n"]),
    st.sampled_from(["", " ", "\u3000\u3000", "\t"]),
    st.sampled_from(["", "\ufeff"]),
)
def test_colons_line_endings_indents_and_byte_order_mark_change_no_pair(
    conversation: list[tuple[str, str]], colon: str, gap: str, indent: str, mark: str
) -> None:
    assert pairs_of(mark + render(conversation, colon, gap, indent)) == pairs_of(render(conversation))


@given(turns)
def test_turns_are_numbered_in_file_order_and_pairs_name_them(conversation: list[tuple[str, str]]) -> None:
    transcript = parse_transcript(render(conversation), GRAMMAR)
    assert [turn.no for turn in transcript.turns] == list(range(1, len(conversation) + 1))
    for pair in pair_turns(transcript.turns):
        inside = transcript.turns[pair.first_turn - 1 : pair.last_turn]
        assert "\n".join(turn.text for turn in inside if turn.side == "guest") == pair.guest_text
        assert "\n".join(turn.text for turn in inside if turn.side == "host") == pair.host_text


def test_consecutive_turns_of_one_side_are_one_question_and_one_answer() -> None:
    text = "乙：在吗\n路人：多少钱\n甲：三块\n甲哥：不还价\n乙：好"
    assert pairs_of(text) == [("在吗\n多少钱", "三块\n不还价", 1, 4)]


def test_what_the_host_says_before_any_guest_is_no_pair() -> None:
    assert pairs_of("甲：晚上好\n乙：你好\n甲：来了") == [("你好", "来了", 2, 3)]


def test_lines_without_a_label_belong_to_the_turn_before_them() -> None:
    assert parsed("甲：第一段\n\n第二段\n乙：好") == [("甲", "第一段\n第二段"), ("乙", "好")]


def test_a_label_in_mid_line_starts_no_turn() -> None:
    assert parsed("甲：他说乙：不行") == [("甲", "他说乙：不行")]


def test_a_stranger_is_counted_and_put_in_nobodys_mouth() -> None:
    transcript = parse_transcript("乙：问\n管理员：广告不要发\n还是管理员的话\n甲：答", GRAMMAR)
    assert transcript.unknown_labels == {"管理员": 1}
    assert [(pair.guest_text, pair.host_text) for pair in pair_turns(transcript.turns)] == [("问", "答")]
    assert [turn.no for turn in transcript.turns] == [1, 2]


@pytest.mark.parametrize(
    "line", ["12:30 开播", "https://example.com/a", "他说了很多很多话以后才想起来这件事：没带钱", "“好”：这样"]
)
def test_what_only_looks_like_a_label_stays_with_its_turn(line: str) -> None:
    transcript = parse_transcript(f"甲：前面\n{line}", GRAMMAR)
    assert transcript.turns[0].text == f"前面\n{line}"
    assert not transcript.unknown_labels


def test_text_before_the_first_label_is_counted_and_left_out() -> None:
    transcript = parse_transcript("# 标题\n说明文字\n甲：好", GRAMMAR)
    assert transcript.n_chars_before_first_label == len("# 标题说明文字")
    assert [turn.text for turn in transcript.turns] == ["好"]


def test_noise_lines_are_dropped_counted_and_flagged() -> None:
    transcript = parse_transcript("甲：前\n【API调用失败：402】\n后\n乙：【API调用失败：超时】\n甲：好", GRAMMAR)
    assert transcript.n_noise_lines == 2
    assert [(turn.text, turn.flags) for turn in transcript.turns] == [
        ("前\n后", NOISE_REMOVED),
        ("", NOISE_REMOVED),
        ("好", ""),
    ]


def test_the_last_turn_of_an_interrupted_broadcast_is_flagged() -> None:
    transcript = parse_transcript(
        "乙：问\n甲：答到一半", GRAMMAR, interrupted=GRAMMAR.interrupted("x/2024-01-16-INC.md")
    )
    assert [turn.flags for turn in transcript.turns] == ["", CUT_OFF]
    assert [pair.flags for pair in pair_turns(transcript.turns)] == [CUT_OFF]


@pytest.mark.parametrize(
    ("name", "date"),
    [
        ("2024年03月/2024-03-05.md", datetime.date(2024, 3, 5)),
        ("2025-05-01-2-INC.md", datetime.date(2025, 5, 1)),
        ("2023年08月/2023-08-xx-UNK.md", None),
        ("2023-13-40.md", None),
        ("2024-01-01/notes.md", None),
    ],
)
def test_the_date_is_the_file_names_or_none(name: str, date: datetime.date | None) -> None:
    assert GRAMMAR.date_of(name) == date


def test_a_longer_label_wins_over_one_that_it_begins_with() -> None:
    assert parsed("甲哥：来了") == [("甲哥", "来了")]
