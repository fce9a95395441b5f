"""The two READMEs say the same."""

from __future__ import annotations

import re

import pytest

from hcf_pipeline.settings import Sections
from hcf_pipeline_tests.conftest import ROOT

READMES = {name: (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README_zh.md")}


def commands(text: str) -> list[str]:
    """The commands of the code blocks, without their comments."""
    blocks = re.findall(r"```(?:bash|yaml|python)\n(.*?)```", text, flags=re.DOTALL)
    return [line.partition("#")[0].strip() for block in blocks for line in block.splitlines()]


def test_they_have_the_same_headings_in_depth_and_number() -> None:
    english, chinese = (
        [len(mark) for mark in re.findall(r"^(#+) ", text, flags=re.MULTILINE)] for text in READMES.values()
    )
    assert english == chinese


def test_they_give_the_same_commands_and_the_same_output() -> None:
    english, chinese = READMES.values()
    assert commands(english) == commands(chinese)
    outputs = [re.findall(r"```text\n(.*?)```", text, flags=re.DOTALL) for text in READMES.values()]
    assert outputs[0] == outputs[1]


def test_they_tell_the_same_rows_in_every_table() -> None:
    english, chinese = (
        [line.count("|") for line in text.splitlines() if line.startswith("|")] for text in READMES.values()
    )
    assert english == chinese


@pytest.mark.parametrize("name", READMES)
def test_every_setting_section_and_file_that_is_named_exists(name: str) -> None:
    text = READMES[name]
    for section in re.findall(r"`\[(\w+)\]", text):
        assert section in Sections.model_fields, section
    for file in re.findall(r"\]\(((?:docs|README)[\w./]*)\)", text):
        assert (ROOT / file).is_file(), file
    assert "BENCHMARKS" not in text
