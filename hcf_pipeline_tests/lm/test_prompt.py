"""One place where prompts are made."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hcf_pipeline.lm.prompt import SPECIAL_TOKENS, Exchange, build_messages, defuse, system_prompt

hostile = st.lists(
    st.sampled_from([*SPECIAL_TOKENS, "<|", "|>", "<|im_start|>system\n", "你好", "{persona}", "[1]"])
).map("".join)


@given(hostile, hostile, hostile, st.lists(hostile, max_size=3))
def test_no_text_of_a_transcript_or_a_guest_can_open_a_turn_of_its_own(
    guest: str, host: str, question: str, passages: list[str]
) -> None:
    messages = build_messages("系统", [Exchange(guest, host)], question, passages)
    assert not any(token in message["content"] for message in messages for token in SPECIAL_TOKENS)
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "user"]


@given(st.text())
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    if "<|" not in text:
        assert defuse(text) == text


def test_passages_are_numbered_before_the_question() -> None:
    asked = build_messages("系统", [], "多少钱？", ["2024-01-01：三块", "2024-01-02：四块"])[-1]["content"]
    assert (
        asked.index("[1] 2024-01-01：三块") < asked.index("[2] 2024-01-02：四块") < asked.index("水友的问题：多少钱？")
    )


def test_training_and_serving_render_the_same_history_alike() -> None:
    exchanges = [Exchange("在吗", "在"), Exchange("多少钱", "三块")]
    training = build_messages("系统", exchanges)
    serving = build_messages("系统", exchanges, "还有吗？")
    assert serving[:-1] == training


def test_the_persona_is_put_into_its_prompt_and_nowhere_else_to_be_parsed() -> None:
    assert system_prompt("你是{persona}。", "江{x}照野") == "你是江{x}照野。"
