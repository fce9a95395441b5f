"""Times on lines of their own between turns."""

from __future__ import annotations

import pytest

from hcf_pipeline.corpus.grammar import Grammar
from hcf_pipeline.corpus.transcript import Transcript, parse_transcript
from hcf_pipeline.settings import CorpusSettings

SETTINGS = CorpusSettings(host_labels=["小禾"], guest_labels=["听众"])


def parsed(text: str, **settings: object) -> Transcript:
    return parse_transcript(text, Grammar(SETTINGS.model_copy(update=settings)))


@pytest.mark.parametrize("time", ["{:02}:30", "00:{:02}:30", "[00:{:02}:30]", "（{:02}:30）"])
@pytest.mark.parametrize("blank", ["\n", "\n\n"])
def test_a_time_between_turns_is_that_of_the_turn_below_it(time: str, blank: str) -> None:
    """Before, it was the last line of what was said above it."""
    lines = []
    for n in range(6):
        lines += [time.format(n), f"{'小禾' if n % 2 else '听众'}：第{n}句。"]
    found = parsed(blank.join([*lines, time.format(7)]))
    assert [(turn.text, turn.start_s, turn.flags) for turn in found.turns] == [
        (f"第{n}句。", n * 60 + 30.0, "") for n in range(6)
    ]
    assert not found.left_out


@pytest.mark.parametrize(
    "text",
    [
        "听众：几点开播？\n小禾：八点半。\n8:30\n听众：收到。\n小禾：好。\n",  # somebody said it
        "听众：几点？\n8:30\n小禾：几点？\n7:15\n听众：几点？\n9:00\n小禾：好\n",  # times that go back
        "听众：几点？\n8:30\n还是\n9:00\n小禾：都行\n10:00\n听众：好\n",  # words below a time
        "听众：1\n[00:01]\n[00:02]\n[00:03]\n小禾：2\n",
    ],
)
def test_a_time_that_somebody_may_have_said_stays_in_his_words(text: str) -> None:
    said = "".join(turn.text for turn in parsed(text).turns)
    assert all(line in said for line in text.split("\n") if "：" not in line)
    assert {turn.start_s for turn in parsed(text).turns} == {None}


def test_times_that_the_settings_call_noise_are_noise() -> None:
    text = "".join(f"0{n}:10\n{'小禾' if n % 2 else '听众'}：第{n}句。\n" for n in range(6))
    found = parsed(text, noise=[r"^\d\d:\d\d$"])
    assert found.left_out == {"noise": 6} and {turn.start_s for turn in found.turns} == {None}
