"""README and docs: both languages say the same, what is named exists, and the READMEs are short."""

from __future__ import annotations

import re

import pytest

from hcf_pipeline.settings import Sections
from hcf_pipeline_tests.conftest import ROOT

TRANSLATED = {"README.md": "README_zh.md"} | {
    f"docs/{page.name}": f"docs/zh/{page.name}" for page in sorted((ROOT / "docs/zh").glob("*.md"))
}
IN_PART = {"docs/retrieval.md"}  # how it works is told in English alone
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
MAX_WORDS = 1000
HAN_PER_WORD = 1.6  # what Chinese text segmenters make of prose, about


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def commands(text: str) -> list[str]:
    """The commands of the code blocks, without their comments."""
    blocks = re.findall(r"```(?:bash|yaml|python)\n(.*?)```", text, flags=re.DOTALL)
    return [line.partition("#")[0].strip() for block in blocks for line in block.splitlines()]


def pairs() -> list[tuple[str, str]]:
    return [(english, chinese) for english, chinese in TRANSLATED.items() if english not in IN_PART]


@pytest.mark.parametrize(("english", "chinese"), pairs())
def test_both_languages_have_the_same_headings_in_depth_and_number(english: str, chinese: str) -> None:
    found = [
        [len(mark) for mark in re.findall(r"^(#+) ", text_of(page), flags=re.MULTILINE)] for page in (english, chinese)
    ]
    assert found[0] == found[1]


@pytest.mark.parametrize(("english", "chinese"), pairs())
def test_both_languages_give_the_same_commands_and_the_same_output(english: str, chinese: str) -> None:
    assert commands(text_of(english)) == commands(text_of(chinese))
    outputs = [re.findall(r"```text\n(.*?)```", text_of(page), flags=re.DOTALL) for page in (english, chinese)]
    assert outputs[0] == outputs[1]


@pytest.mark.parametrize(("english", "chinese"), pairs())
def test_both_languages_tell_the_same_rows_in_every_table(english: str, chinese: str) -> None:
    tables = [
        [line.count("|") for line in text_of(page).splitlines() if line.startswith("|")] for page in (english, chinese)
    ]
    assert tables[0] == tables[1]


@pytest.mark.parametrize("page", TRANSLATED.values())
def test_every_page_leads_to_its_translation(page: str) -> None:
    english = next(name for name, translated in TRANSLATED.items() if translated == page)
    for one, other in ((english, page), (page, english)):
        linked = re.findall(r"^\[(?:English|中文)\]\(([^)]+)\)", text_of(one), flags=re.MULTILINE)
        assert [((ROOT / one).parent / link).resolve() for link in linked] == [ROOT / other]


@pytest.mark.parametrize("readme", ["README.md", "README_zh.md"])
def test_a_readme_is_read_in_five_minutes(readme: str) -> None:
    text = re.sub(r"```text\n.*?```", "", text_of(readme), flags=re.DOTALL)  # what is printed, the same in both
    han = len(re.findall(r"[\u4e00-\u9fff]", text))
    others = len(re.sub(r"[\u4e00-\u9fff\u3000-\u303f\uff00-\uffef]+", " ", text).split())
    assert han / HAN_PER_WORD + others <= MAX_WORDS


@pytest.mark.parametrize("page", [page.relative_to(ROOT).as_posix() for page in PAGES])
def test_what_a_page_links_to_or_runs_exists(page: str) -> None:
    text = text_of(page)
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        if "://" not in target:
            assert ((ROOT / page).parent / target).exists(), target
    for file in re.findall(r"(?:benchmarks|hcf_pipeline|hcf_pipeline_tests|\.ci)/[\w./]*\w", text):
        assert (ROOT / file).exists(), file


@pytest.mark.parametrize("page", [*TRANSLATED, *TRANSLATED.values()])
def test_every_section_of_settings_that_is_named_exists(page: str) -> None:
    for section in re.findall(r"`\[(\w+)\]", text_of(page)):
        assert section in Sections.model_fields, section
