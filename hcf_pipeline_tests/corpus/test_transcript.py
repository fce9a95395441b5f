"""One transcript's text as turns and pairs."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hcf_pipeline.corpus.grammar import Grammar
from hcf_pipeline.corpus.pairs import pair_turns
from hcf_pipeline.corpus.transcript import CUT_OFF, NOISE_REMOVED, UNKNOWN_LABEL, parse_transcript
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


def test_a_speaker_who_recurs_is_counted_and_put_in_nobodys_mouth() -> None:
    text = (
        "乙：问\n甲：答\n管理员：广告不要发\n还是管理员的话\n乙：还问\n管理员：也不要吵\n甲：还答\n乙：再问\n甲：再答"
    )
    transcript = parse_transcript(text, GRAMMAR)
    assert transcript.unknown_labels == {"管理员": 2}
    assert [(turn.no, turn.text) for turn in transcript.turns] == [
        (1, "问"), (2, "答"), (4, "还问"), (6, "还答"), (7, "再问"), (8, "再答"),
    ]  # fmt: skip
    pairs = [(pair.guest_text, pair.host_text, pair.flags) for pair in pair_turns(transcript.turns)]
    assert pairs == [("问", "答", UNKNOWN_LABEL), ("再问", "再答", "")]


def test_a_question_of_a_third_speaker_and_its_answer_join_no_pair() -> None:
    transcript = parse_transcript("乙：问\n甲：答\n老魏：我也想问\n甲：答老魏\n乙：再问\n甲：再答", GRAMMAR)
    assert [turn.text for turn in transcript.turns] == ["问", "答", "答老魏", "再问", "再答"]
    assert [(pair.guest_text, pair.host_text) for pair in pair_turns(transcript.turns)] == [
        ("问", "答"),
        ("再问", "再答"),
    ]


def test_one_repeat_in_ten_turns_does_not_weaken_that_proof() -> None:
    text = "乙：一\n甲：二\n甲：三\n乙：四\n甲：五\n乙：六\n甲：七\n老魏：问\n甲：八\n乙：九\n甲：十"
    assert [turn.text for turn in parse_transcript(text, GRAMMAR).turns] == list("一二三四五六七八九十")


def test_where_speakers_repeat_their_labels_standing_between_two_of_one_proves_nothing() -> None:
    text = "乙：问\n甲：答\n甲：接着答\n甲：还没完\n预算：三万\n甲：完了"
    turns = parse_transcript(text, GRAMMAR).turns
    assert [(turn.text, turn.flags) for turn in turns[-2:]] == [("还没完", UNKNOWN_LABEL), ("完了", "")]


@pytest.mark.parametrize(
    "label",
    [
        "🐟老魏",
        "Dr. Lee",
        "O'Brien",
        "Christopher",
        "Anna Maria Vogt",
        "SPEAKER_02",
        "嘉宾1",
        "Q",
        "问",
        "提问",
        "解说",
        "七七",
        "主讲",
    ],
)
def test_a_third_speaker_may_have_any_name(label: str) -> None:
    transcript = parse_transcript(f"乙：问\n甲：答\n{label}：插话\n乙：又问\n甲：又答\n{label}: 再插\n乙：好", GRAMMAR)
    assert transcript.unknown_labels == {label: 2}
    assert [turn.text for turn in transcript.turns] == ["问", "答", "又问", "又答", "好"]


@pytest.mark.parametrize(
    "line",
    [
        "第一：不要买车", "第二点：存钱", "其三：等", "一：看", "首先：看", "注意：慢", "所以：走", "比分3：2", "下午12：30", "晚上8点：开播",
        "晚上八点半：开播", "3月5号：开会", "他跟我说：没钱", "结论是：不买", "我问：为什么", "Note: slow", "He said: no", "For example: this",
    ],
)  # fmt: skip
def test_words_that_can_be_nobodys_name_are_the_turns_own_however_often_they_recur(line: str) -> None:
    text = f"乙：问\n甲：先说\n{line}\n后说\n乙：又问\n甲：又说\n{line}\n甲：还说\n{line}"
    transcript = parse_transcript(text, GRAMMAR)
    assert [(turn.text, turn.flags) for turn in transcript.turns] == [
        ("问", ""), (f"先说\n{line}\n后说", ""), ("又问", ""), (f"又说\n{line}", ""), (f"还说\n{line}", ""),
    ]  # fmt: skip
    assert not transcript.unknown_labels


def test_a_single_line_start_that_could_be_a_name_is_set_aside_with_what_follows() -> None:
    transcript = parse_transcript("乙：问\n甲：前面\n预算：三万\n后面\n乙：好", GRAMMAR)
    assert [(turn.text, turn.flags) for turn in transcript.turns][1] == ("前面", UNKNOWN_LABEL)
    assert transcript.left_out == {"speaker in doubt": 2}
    assert transcript.unknown_labels == {"预算": 1}
    assert [pair.flags for pair in pair_turns(transcript.turns)] == [UNKNOWN_LABEL]


def test_what_recurs_within_one_turn_takes_no_turn_and_is_nobodys() -> None:
    turns = parse_transcript("乙：问\n甲：前面\n预算：三万\n预算：四万\n乙：好", GRAMMAR).turns
    assert [(turn.no, turn.text) for turn in turns] == [(1, "问"), (2, "前面"), (3, "好")]


def test_settings_say_who_is_a_speaker_and_what_is_not() -> None:
    grammar = Grammar(
        CorpusSettings(host_labels=["甲"], guest_labels=["乙"], other_labels=["旁白（一）"], not_labels=["预算"])
    )
    text = "乙：问\n甲：答\n预算：三万\n旁白（一）：门开了\n有人来\n乙：又问\n甲：又答\n预算：五万"
    transcript = parse_transcript(text, grammar)
    assert [(turn.no, turn.text, turn.flags) for turn in transcript.turns] == [
        (1, "问", ""), (2, "答\n预算：三万", ""), (4, "又问", ""), (5, "又答\n预算：五万", ""),
    ]  # fmt: skip
    assert not transcript.unknown_labels


@pytest.mark.parametrize("name", ["甲", "乙", "甲哥"])
def test_a_line_that_is_only_a_name_opens_no_turn(name: str) -> None:
    assert parsed(f"乙：猜猜是谁\n{name}\n我也是\n甲：好") == [("乙", f"猜猜是谁\n{name}\n我也是"), ("甲", "好")]


@pytest.mark.parametrize(
    "line",
    [
        "12:30 开播",
        "- 价格：三块",
        "https://example.com/a",
        "他说了很多很多话以后才想起来这件事：没带钱",
        "“好”：这样",
    ],
)
def test_what_only_looks_like_a_label_stays_with_its_turn(line: str) -> None:
    transcript = parse_transcript(f"甲：前面\n{line}", GRAMMAR)
    assert transcript.turns[0].text == f"前面\n{line}"
    assert not transcript.unknown_labels


def test_text_before_the_first_label_is_counted_and_left_out() -> None:
    transcript = parse_transcript("# 标题\n说明文字\n甲：好", GRAMMAR)
    assert transcript.n_chars_before_first_label == len("说明文字")
    assert transcript.left_out == {"heading": 1, "before the first label": 1}
    assert [turn.text for turn in transcript.turns] == ["好"]


def test_what_another_speaker_says_before_the_first_known_one_is_no_text_before_the_labels() -> None:
    grammar = Grammar(CorpusSettings(host_labels=["甲"], guest_labels=["乙"], other_labels=["丙"]))
    transcript = parse_transcript("说明\n丙：欢迎\n大家好\n乙：好", grammar)
    assert (transcript.n_chars_before_first_label, [turn.no for turn in transcript.turns]) == (2, [2])


def test_noise_lines_are_dropped_counted_and_flagged_where_words_were_lost() -> None:
    transcript = parse_transcript(
        "甲：前\n【API调用失败：402】\n后\n乙：【API调用失败：超时】\n甲：好\n【API调用失败：402】\n乙：嗯", GRAMMAR
    )
    assert transcript.n_noise_lines == 3
    assert [(turn.text, turn.flags) for turn in transcript.turns] == [
        ("前\n后", NOISE_REMOVED),
        ("", NOISE_REMOVED),
        ("好", NOISE_REMOVED),
        ("嗯", ""),
    ]


QUIET = Grammar(
    CorpusSettings(
        host_labels=["甲"], guest_labels=["乙"], noise=[r"^\d\d:\d\d$", "^-+$", "^感谢.*礼物$", "^【API调用失败"]
    )
)


@pytest.mark.parametrize("line", ["03:14", "-----", "感谢老王送的礼物"])
def test_noise_that_carries_no_word_flags_nothing_wherever_it_stands(line: str) -> None:
    text = f"{line}\n乙：问\n{line}\n甲：答一\n{line}\n答二\n{line}\n{line}\n乙：又问\n甲：{line}\n又答\n{line}"
    transcript = parse_transcript(text, QUIET)
    assert transcript.n_noise_lines == 7
    assert [(turn.text, turn.flags) for turn in transcript.turns] == [
        ("问", ""), ("答一\n答二", ""), ("又问", ""), ("又答", ""),
    ]  # fmt: skip


def test_a_turn_of_which_noise_is_all_there_is_was_removed_whatever_the_noise_says() -> None:
    transcript = parse_transcript("乙：问\n甲：\n03:14\n乙：感谢老王送的礼物\n甲：答", QUIET)
    assert [turn.flags for turn in transcript.turns] == ["", NOISE_REMOVED, NOISE_REMOVED, ""]
    assert list(pair_turns(transcript.turns)) == []


def test_what_counts_as_a_loss_is_a_setting() -> None:
    grammar = Grammar(CorpusSettings(host_labels=["甲"], guest_labels=["乙"], noise=["^<.*>$"], lost_pattern="unk"))
    turns = parse_transcript("甲：一\n<music>\n乙：二\n<unk>", grammar).turns
    assert [turn.flags for turn in turns] == ["", NOISE_REMOVED]


def test_the_name_of_a_folder_and_an_ending_say_nothing_of_an_interruption() -> None:
    assert GRAMMAR.interrupted("a/b/2024-01-16-INC.md")
    assert not GRAMMAR.interrupted("2024-01-16-INC/2024-01-17.md") and not GRAMMAR.interrupted("a/2024-01-16.md.INC")


def test_the_last_turn_of_an_interrupted_broadcast_is_flagged() -> None:
    transcript = parse_transcript(
        "乙：问\n甲：答到一半", GRAMMAR, interrupted=GRAMMAR.interrupted("x/2024-01-16-INC.md")
    )
    assert [turn.flags for turn in transcript.turns] == ["", CUT_OFF]
    assert [pair.flags for pair in pair_turns(transcript.turns)] == [CUT_OFF]


def test_a_last_turn_that_was_removed_keeps_both_its_flags() -> None:
    transcript = parse_transcript("乙：问\n甲：答\n甲：【API调用失败：402】", GRAMMAR, interrupted=True)
    assert transcript.turns[-1].flags == "cut_off noise_removed"
    assert [(pair.host_text, pair.flags) for pair in pair_turns(transcript.turns)] == [("答", "cut_off noise_removed")]


@pytest.mark.parametrize(
    ("name", "date"),
    [
        ("2024年03月/2024-03-05.md", datetime.date(2024, 3, 5)),
        ("2025-05-01-2-INC.md", datetime.date(2025, 5, 1)),
        ("2023年08月/2023-08-xx-UNK.md", None),
        ("2023-13-40.md", None),
        ("2024-01-01/notes.md", datetime.date(2024, 1, 1)),
    ],
)
def test_the_date_is_the_paths_or_none(name: str, date: datetime.date | None) -> None:
    assert GRAMMAR.date_of(name) == date


def test_a_longer_label_wins_over_one_that_it_begins_with() -> None:
    assert parsed("甲哥：来了") == [("甲哥", "来了")]


def test_where_everybody_is_a_guest_whoever_speaks_is_one_and_words_are_words() -> None:
    text = "阿贵：在吗？\n小禾：在。\n老蓝：价格多少？\n小禾：注意：只说一次。\n三十块。\n阿贵：好。\n小禾：再见。\n老蓝：再见。"
    guests = Grammar(CorpusSettings(host_labels=["小禾"], guest_labels=["*"]))
    found = parse_transcript(text, guests)
    assert [(turn.side, turn.label) for turn in found.turns] == [
        ("guest", "阿贵"),
        ("host", "小禾"),
        ("guest", "老蓝"),
        ("host", "小禾"),
        ("guest", "阿贵"),
        ("host", "小禾"),
        ("guest", "老蓝"),
    ]
    assert found.turns[3].text == "注意：只说一次。\n三十块。" and not found.unknown_labels
    assert [turn.no for turn in found.turns] == list(range(1, 8)) and not any(turn.flags for turn in found.turns)


def test_a_speaker_who_is_set_is_no_guest_though_everybody_is_one() -> None:
    text = "阿贵：在吗？\n小禾：在。\n导播：切一下。\n小禾：好。\n导播：好了。\n阿贵：嗯？\n小禾：嗯。"
    grammar = Grammar(CorpusSettings(host_labels=["小禾"], guest_labels=["*"], other_labels=["导播"]))
    assert "导播" not in {turn.label for turn in parse_transcript(text, grammar).turns}
