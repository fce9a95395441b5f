"""Lists of regular expressions: each means what it means alone."""

from __future__ import annotations

import re
import warnings

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hcf_pipeline.corpus.grammar import Grammar
from hcf_pipeline.corpus.patterns import found_by
from hcf_pipeline.corpus.transcript import parse_transcript
from hcf_pipeline.corpus.walk import any_of
from hcf_pipeline.settings import CorpusSettings


def alone(patterns: list[str], line: str) -> bool:
    """What a list means: any of them is found, each looked for by itself."""
    return any(re.search(pattern, line) for pattern in patterns)


atoms = st.sampled_from(
    [
        "a",
        "b",
        "^",
        "$",
        "|",
        "x*",
        "[a|b]",
        r"[\]|)]",
        "[]|]",
        "[^(]",
        r"\|",
        r"\(",
        "(?:a|b)",
        "(a)",
        "(?P<n>b)",
        r"\1",
        "(?P=n)",
        "(?i:A)",
        "(?=a)",
        "(?<!a)",
        ".",
        "(?#|)",
        "(?>a|b)",
        "{2}",
        "?",
        "(",
        ")",
        "[",
        "]",
    ]
)
heads = st.sampled_from(["", "^", "(?i)", "(?x) ", "(?u)", "(?m)^", "(?s)"])


def is_valid(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except re.error:
        return False
    return pattern != ""


patterns = st.builds(lambda head, rest: head + "".join(rest), heads, st.lists(atoms, max_size=5)).filter(is_valid)


@given(st.lists(patterns, max_size=4), st.text("abABx|()[]^ \u3000", max_size=6))
@example(["(?i)ERROR", "^x"], "an error")
@example(["(?P<n>a)", "(?P<n>b)"], "b")
@example(["(a)", r"(b)\1"], "bb")
@example(["^a|b"], "xb")
@example([r"^[\]]|b[c]"], "xbc")
@example(["^a", "b"], "xb")
@example(["(?x) a # comment"], "a")
@example([], "")
def test_patterns_in_a_list_find_what_each_finds_alone(found: list[str], line: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        assert bool(found_by(found)(line)) == alone(found, line)


@given(st.lists(st.text("ab*?[]!-.|(){}^\\", max_size=5), max_size=4), st.text("ab.|()[]!-", max_size=5))
def test_name_patterns_in_a_list_match_what_each_matches_alone(globs: list[str], name: str) -> None:
    import fnmatch

    assert bool(any_of(globs).match(name)) == any(fnmatch.fnmatchcase(name, glob) for glob in globs)


@pytest.mark.parametrize(
    ("noise", "line"),
    [
        (["(?i)error"], "Error 500"),
        (["^(?P<what>断线)", "^(?P<what>重连)"], "重连中"),
        (["(未知)", r"(哈)\1"], "哈哈"),
        (["^——|广告$"], "这里是广告"),
        (["(?x) ^ 断 线 # 掉线", "^重连"], "断线了"),
    ],
)
def test_a_line_of_noise_is_dropped_whatever_the_other_patterns_are(noise: list[str], line: str) -> None:
    grammar = Grammar(CorpusSettings(noise=noise, lost_pattern="x", host_labels=["甲"], guest_labels=["乙"]))
    parsed = parse_transcript(f"乙：问\n甲：答\n{line}\n接着说", grammar)
    assert parsed.n_noise_lines == 1 and parsed.turns[1].text == "答\n接着说"
