"""Settings that nobody means: each is refused in a sentence, or everything that reads it can work with it."""

from __future__ import annotations

import datetime
import json
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hcf_pipeline.corpus.grammar import Grammar
from hcf_pipeline.corpus.manifest import scan
from hcf_pipeline.corpus.transcript import parse_transcript
from hcf_pipeline.defs.home import prepare_home
from hcf_pipeline.defs.recipes import recipes
from hcf_pipeline.errors import CorpusError, HcfError, SettingsError
from hcf_pipeline.rag.search.dates import mentions_in
from hcf_pipeline.settings import Sections, Settings
from hcf_pipeline.settings.file import load_settings
from hcf_pipeline.settings.types import Section

EVERY_KEY = [
    (section, key)
    for section, field in Sections.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, Section)
    for key in field.annotation.model_fields
]
ODD_NUMBERS = ["inf", "-inf", "nan", "1e400", "-1", "-0.0", "0", "1e-320", str(10**30), "9" * 5000, "1" + "0" * 18]
ODD_TEXTS = [
    "",
    " ",
    "\0",
    "a\0b",
    "x" * 5000,
    "/" + "y" * 300,
    "~nobody-of-that-name/x",
    "/dev/null",
    "..",
    "\x7f\x1b[2J",
    "∞",
]
ODD_PATTERNS = [
    "(?i)x",
    "(?P<a>.)(?P=a)",
    r"(.)\1",
    "^a|b",
    "(",
    "a" + "(" * 5000,
    "x{9999999999}",
    "(?L)x",
    "(?a)(?u)x",
    "(?x) a # b",
]
odd_texts = st.sampled_from(ODD_TEXTS + ODD_PATTERNS) | st.text(st.characters(exclude_categories=["Cs"]))
odd_values = (
    st.sampled_from([*ODD_NUMBERS, "true", "{}", "[[]]", "[{}]", "2024-13-01", "0001-01-01", "9999-12-31", "[" * 3000])
    | odd_texts.map(lambda text: json.dumps(text, ensure_ascii=False))
    | st.lists(odd_texts, max_size=3).map(lambda texts: json.dumps(texts, ensure_ascii=False))
    | st.floats().map(str)
    | st.integers().map(str)
)


def load(folder: Path, text: str, **environ: str) -> Settings:
    (folder / "hcf.toml").write_text(text, encoding="utf-8")
    return load_settings(folder / "hcf.toml", environ=environ)


@pytest.mark.parametrize("value", ["inf", "nan", "1e400", "-1", str(10**30), "9" * 5000])
def test_no_setting_takes_a_number_that_nothing_can_count_with(tmp_path: Path, value: str) -> None:
    for section, key in EVERY_KEY:
        with pytest.raises(SettingsError, match=r"hcf\.toml"):
            load(tmp_path, f"[{section}]\n{key} = {value}\n")


def use(found: Settings) -> None:
    """All that is asked of settings before anything is made."""
    corpus = found.sections.corpus
    for recipe in recipes(found).values():
        assert recipe.id and recipe.code_version
    grammar = Grammar(corpus)
    parse_transcript("水友：在吗\n江照野：在。\n【API调用失败】\n听不清", grammar)
    for name in ("2024-01-02.md", "2024-01-02-INC.md", "直播.md"):
        grammar.date_of(name)
        grammar.interrupted(name)
    mentions_in("去年和下个月，还有十年前", found.sections.retrieval.today or datetime.date(2024, 5, 1))
    for model in (found.sections.base.model, found.sections.encoder.model, found.sections.retrieval.reranker):
        found.own_folder(model)
    assert int(found.sections.refresh.cache_gb * 1e9) >= 0
    prepare_home(found)
    if found.corpus_path.is_relative_to(found.root.resolve()):  # else ".." or "/" would have the whole disk looked at
        with suppress(CorpusError):
            scan(found.corpus_path, corpus)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(EVERY_KEY), odd_values)
def test_an_odd_value_is_refused_in_a_sentence_or_can_be_worked_with(where: tuple[str, str], value: str) -> None:
    section, key = where
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        (folder / "data" / "sample").mkdir(parents=True)
        (folder / "data" / "sample" / "2024-01-02.md").write_text("水友：在吗\n江照野：在。", encoding="utf-8")
        try:
            loaded = load(folder, f"[{section}]\n{key} = {value}\n")
        except SettingsError as error:
            assert f"{folder / 'hcf.toml'}" in error.en and len(error.en) < 2000
        else:
            use(loaded)


@settings(max_examples=120, deadline=None)
@given(
    st.sampled_from(EVERY_KEY),
    st.sampled_from([*ODD_NUMBERS, *ODD_TEXTS, *ODD_PATTERNS, "[" * 3000, "\udcff", "{", "null"]),
)
def test_the_same_from_the_environment_names_the_variable(where: tuple[str, str], raw: str) -> None:
    variable = "HCF_{}__{}".format(*where).upper()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        try:
            loaded = load(folder, "", **{variable: raw})
        except SettingsError as error:
            assert variable in error.en or "nested" in error.en
        else:
            use(loaded)


@pytest.mark.parametrize("value", ["inf", "nan", "1e400", "-1", "1e30"])
@pytest.mark.parametrize(("section", "key"), [("refresh", "cache_gb"), ("release", "max_loss_rise")])
def test_a_number_without_bound_is_refused_with_its_line(tmp_path: Path, section: str, key: str, value: str) -> None:
    with pytest.raises(SettingsError, match=rf"hcf\.toml:2: \[{section}\] {key} = .* allowed is a number \(≥ 0"):
        load(tmp_path, f"[{section}]\n{key} = {value}\n")


def test_a_pattern_that_does_not_compile_is_named_by_its_place_and_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as refusal:
        load(tmp_path, '[corpus]\nnoise = ["^fine", "(a"]\n')
    assert "hcf.toml:2" in refusal.value.en and "[corpus] noise (item 2)" in refusal.value.en
    assert "missing ), unterminated subpattern at position 0" in refusal.value.en
    assert "第 2 项" in refusal.value.zh


def test_a_pattern_nested_beyond_all_bounds_is_refused(tmp_path: Path) -> None:
    for key in ("noise", "lost_pattern", "date_pattern"):
        value = json.dumps("(" * 5000 + ")" * 5000)
        with pytest.raises(SettingsError, match=rf"\[corpus\] {key}"):
            load(tmp_path, f"[corpus]\n{key} = {f'[{value}]' if key == 'noise' else value}\n")


@pytest.mark.parametrize(
    "text", ["x = " + "[" * 5000, "a" + ".a" * 5000 + " = 1", "[corpus]\nmax_file_mb = " + "9" * 5000]
)
def test_a_file_nested_beyond_all_bounds_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError, match=r"hcf\.toml"):
        load(tmp_path, text)


def test_a_profile_of_an_impossible_name_is_refused(tmp_path: Path) -> None:
    for name in ("x" * 5000, "\0", "../profiles/qwen", ""):
        with pytest.raises(HcfError):
            load(tmp_path, f"profile = {json.dumps(name)}\n")


def test_the_line_of_a_mistake_is_counted_as_editors_count(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"hcf\.toml:3: \[chunks\] max_chars"):
        load(tmp_path, "[chunks]  # a\u2028b\x85c\n\nmax_chars = 1\n")


@pytest.mark.parametrize(
    ("pattern", "name", "day"),
    [
        (r"(?P<year>\d{4})-(?P<month>\d{2})(-(?P<day>\d{2}))?", "2024-05.md", None),
        (r"(?P<year>\d{4})-(?P<month>\d{2})(-(?P<day>\d{2}))?", "2024-05-06.md", datetime.date(2024, 5, 6)),
        (r"(?P<year>\w+)-(?P<month>\w+)-(?P<day>\w+)", "二零二四-五-六.md", None),
        (r"(?P<year>\d+)-(?P<month>\d+)-(?P<day>\d+)", "99999999999999999999-1-1.md", None),
        (r"(?P<year>\d*)-(?P<month>\d*)-(?P<day>\d*)", "--.md", None),
    ],
)
def test_a_name_whose_date_is_incomplete_is_undated(
    tmp_path: Path, pattern: str, name: str, day: datetime.date | None
) -> None:
    corpus = load(tmp_path, f"[corpus]\ndate_pattern = {json.dumps(pattern)}\n").sections.corpus
    assert Grammar(corpus).date_of(name) == day
