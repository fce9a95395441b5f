"""Text from outside: decoded, made visible, kept short; and JSON Lines."""

from __future__ import annotations

import json
import os
import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hcf_pipeline.errors import HcfError, UserError
from hcf_pipeline.few import few, shortened
from hcf_pipeline.jsonl import json_line, read_objects
from hcf_pipeline.text import argument_text, decoded, one_line, visible, well_formed

TEXTS = st.text(st.characters(codec=None))  # surrogates too


@given(TEXTS)
def test_nothing_that_a_terminal_obeys_is_left_and_nothing_else_changes(text: str) -> None:
    shown = visible(text)
    assert not [c for c in shown if unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t"]
    assert not re.search("[\u202a-\u202e\u2066-\u2069]", shown)
    assert visible(shown) == shown
    harmless = [
        c
        for c in text
        if (c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cs"))
        and c not in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
    ]
    assert "".join(c for c in harmless) == text or shown != text
    assert visible("".join(harmless)) == "".join(harmless)


@given(TEXTS, st.integers(0, 50))
def test_a_sequence_that_comes_in_two_pieces_is_as_visible_as_a_whole_one(text: str, cut: int) -> None:
    assert visible(text[:cut]) + visible(text[cut:]) == visible(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;标题\x07", "␛]0;标题␇"),
        ("开始\r结束", "开始␍结束"),
        ("\x9b2J", "\\u009b2J"),
        ("a\u202ecod.exe", "a\\u202ecod.exe"),
        ("\x7f\x00", "␡␀"),
        ("\udcff\ud800", "\\xff\\ud800"),
        ("一\n二\t三", "一\n二\t三"),
    ],
)
def test_each_kind_of_control_has_its_sign(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_a_name_cannot_begin_a_line_of_its_own() -> None:
    assert one_line("a\n✔ all is well\r\n.md") == "a␊✔ all is well␍␊.md"


def test_an_error_shows_the_names_in_it_wherever_it_is_shown() -> None:
    error = HcfError(zh="没有 \x1b[2J.md", en="no \x1b[2J.md")
    assert str(error) == error.text("en") == "no ␛[2J.md" and error.text("zh") == "没有 ␛[2J.md"


@pytest.mark.parametrize(
    ("data", "encoding", "text"),
    [
        ("你好吗".encode(), "utf-8", "你好吗"),
        ("你好吗".encode("gbk"), "utf-8", "你好吗"),
        ("你好吗".encode("gbk"), "ascii", "你好吗"),
        ("联通".encode("gbk"), "gbk", "联通"),
        ("café".encode("cp1252"), "cp1252", "café"),
        ("你好吗".encode()[:-1], "utf-8", "你好\ufffd"),
        (b"\xff\xfe?", "utf-8", "\ufffd\ufffd?"),
        (b"abc", "no-such-encoding", "abc"),
    ],
)
def test_bytes_are_read_in_the_encoding_that_they_are_whole_in(data: bytes, encoding: str, text: str) -> None:
    assert decoded(data, encoding) == text


@given(st.binary())
def test_any_bytes_become_text_that_utf_8_holds(data: bytes) -> None:
    decoded(data).encode("utf-8")
    argument_text(os.fsdecode(data)).encode("utf-8")


@given(TEXTS)
def test_well_formed_text_is_left_alone(text: str) -> None:
    clean = well_formed(text)
    clean.encode("utf-8")
    assert clean == text or re.search("[\ud800-\udfff]", text)


def test_many_names_are_a_few_and_how_many_more() -> None:
    names = [f"第{n}场.md" for n in range(1000)]
    assert few(names, "en", 2) == "第0场.md 第1场.md and 998 more"
    assert few(names, "zh", 2, "、") == "第0场.md、第1场.md，另有 998 个"
    assert few(names[:2], "en", 2) == "第0场.md 第1场.md"
    assert len(few(["长" * 5000 + ".md"] * 5000, "zh")) < 1000
    assert (
        shortened("甲" * 200 + ".md").endswith("….md".replace("…", "甲")) and len(shortened("甲" * 200 + ".md")) == 80
    )


@given(st.dictionaries(TEXTS, TEXTS | st.integers() | st.lists(TEXTS)))
def test_a_json_line_is_one_line_to_every_reader_and_utf_8(document: dict[str, object]) -> None:
    for line in (json_line(document), json_line(document, ascii_only=True)):
        line.encode("utf-8")
        assert line.splitlines() == [line]
        assert not re.search("[\x00-\x1f\x7f-\x9f\u202a-\u202e]", line)
        if not re.search("[\ud800-\udfff]", repr(document).encode("utf-8", "surrogatepass").decode("utf-8", "replace")):
            assert json.loads(line).keys() == {well_formed(key) for key in document}
    assert json_line(document, ascii_only=True).isascii()


def test_what_is_written_is_what_was_meant() -> None:
    document = {"问": "一\u2028二\u2029三\x85四\x1b[2J\u202e", "坏": "\ud800"}
    assert json.loads(json_line(document)) == document | {"坏": "\ufffd"}
    assert json_line({"a": "你好"}) == '{"a": "你好"}' and json_line({"a": "好"}, ascii_only=True) == '{"a": "\\u597d"}'


def test_json_lines_end_at_newlines_alone(tmp_path: Path) -> None:
    file = tmp_path / "q.jsonl"
    texts = ["一\u2028二", "一\x85二", "一\u2029二"]
    rows = [json.dumps({"question": text}, ensure_ascii=False) for text in texts]
    file.write_bytes(b"\xef\xbb\xbf" + "\r\n".join([*rows, "", " "]).encode())
    assert [row["question"] for _, row in read_objects(file)] == texts
    assert [where for where, _ in read_objects(file)] == [f"{file}:1", f"{file}:2", f"{file}:3"]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ('{"a": 1}\n{"a": "好"}\n'.encode("gbk"), "q.jsonl:2 is not UTF-8"),
        ('{"a": 1}'.encode("utf-16"), "q.jsonl:1 is not UTF-8"),
        (b'{"a": 1}\n[1]', "q.jsonl:2 has to be a JSON object"),
        (b'{"a": "\x00"}', "q.jsonl:1 has to be a JSON object"),
        (b"[" * 100_000, "q.jsonl:1 has to be a JSON object"),
    ],
)
def test_a_file_that_is_no_json_lines_is_refused_with_its_line(tmp_path: Path, data: bytes, says: str) -> None:
    file = tmp_path / "q.jsonl"
    file.write_bytes(data)
    with pytest.raises(UserError, match=re.escape(says)):
        list(read_objects(file))
