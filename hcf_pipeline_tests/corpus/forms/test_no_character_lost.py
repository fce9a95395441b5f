"""Whatever the form, what was written is what is said: no character of speech is lost, none is invented."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hcf_pipeline.corpus.encodings import decode
from hcf_pipeline.corpus.transcript import parse_transcript
from hcf_pipeline_tests.corpus.forms.test_forms import CHATS, SETTINGS, WITH_TIMES, WITHOUT_TIMES, Grammar, clock

LINES = [line.replace("Well, ", "") for line in (*WITHOUT_TIMES.values(), *WITH_TIMES.values(), *CHATS.values())]
GRAMMAR = Grammar(SETTINGS)
# sentences of any letters, signs and spaces, but none that opens with a mark-up sign or holds a colon or a tag
said = (
    st.text(alphabet=st.sampled_from("你好吗天气abcXYZ éß0123，。？！…'“”😀()（）/%&+-"), min_size=1, max_size=60)
    .map(lambda text: " ".join(text.split()))
    .map(lambda text: f"Yes, {text}, quite so and no less than that I say.")
)
dialogue = st.lists(said, min_size=2, max_size=8)


@pytest.mark.parametrize("line", LINES)
@given(dialogue)
def test_every_line_form_gives_back_what_was_written(line: str, texts: list[str]) -> None:
    labels = ["Bob", "Ann Lee"] * len(texts)
    rows = [
        line.format(l=label, x=text, n=n + 1, t=clock(n * 61), d=clock(n * 61))
        for n, (label, text) in enumerate(zip(labels, texts, strict=False))
    ]
    turns = parse_transcript("".join(rows), GRAMMAR).turns
    assert [(turn.label, turn.text) for turn in turns] == list(zip(labels, texts, strict=False))


@given(dialogue)
def test_subtitles_and_json_give_back_what_was_written(texts: list[str]) -> None:
    labels = ["Bob", "Ann Lee"] * len(texts)
    expected = list(zip(labels, texts, strict=False))
    srt = "".join(
        f"{n}\n{clock(n)},000 --> {clock(n + 1)},000\n{label}: {text}\n\n" for n, (label, text) in enumerate(expected)
    )
    vtt = "WEBVTT\n\n" + "".join(
        f"{clock(n)}.000 --> {clock(n + 1)}.000\n<v {label}>{text}\n\n" for n, (label, text) in enumerate(expected)
    )
    segments = json.dumps(
        [{"start": n + 0.5, "speaker": label, "text": text} for n, (label, text) in enumerate(expected)]
    )
    for text in (srt, vtt, segments):
        assert [(turn.label, turn.text) for turn in parse_transcript(text, GRAMMAR).turns] == expected


@given(st.text(max_size=400))
def test_no_text_makes_the_parser_fail_or_say_what_is_not_there(text: str) -> None:
    for mixture in (
        text,
        f"Bob: {text}\nAnn Lee: {text}",
        f"1\n00:00:01,000 --> 00:00:02,000\nBob: {text}",
        f'[{{"text": "{text}"',
    ):
        for turn in parse_transcript(mixture, GRAMMAR).turns:
            for line in turn.text.split("\n"):
                assert line in mixture.replace("\r", "\n")


@given(st.binary(max_size=400))
def test_any_bytes_are_text_or_have_a_first_bad_byte(data: bytes) -> None:
    found = decode(data)
    assert 0 <= found < len(data) if isinstance(found, int) else isinstance(found.text, str)
