"""What people type, in a terminal and through a pipe."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hcf_pipeline.cli.reader import typed
from hcf_pipeline_tests.cli.terminal import terminal
from hcf_pipeline_tests.conftest import clean_environment

ECHO = """
from hcf_pipeline.cli.reader import read_line
try:
    while (line := read_line("> ")) is not None:
        print("read", ascii(line), flush=True)
except KeyboardInterrupt:
    print("interrupted", flush=True)
print("end", flush=True)
"""


def read(data: bytes, **environ: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", ECHO], input=data, env=clean_environment(**environ), capture_output=True, check=True
    )
    *lines, end = done.stdout.decode("ascii").replace("> ", "").split("\n")[:-1]
    assert end == "end" and not done.stderr, done
    return [str(eval(line.removeprefix("read "))) for line in lines]


def test_backspace_deletes_a_chinese_character_whole() -> None:
    with terminal(["-c", ECHO]) as shell:
        shell.wait_for(b"> ")
        assert shell.deletes_characters
        shell.type("你好\x7f吗\n".encode())
        shell.wait_for(b"read")
        shell.type(b"\x04")
        assert shell.end() == 0
        assert rb"read '\u4f60\u5417'" in shell.shown


def test_backspace_deletes_characters_of_what_is_typed_ahead_too() -> None:
    during = "from hcf_pipeline.cli.reader import deleting_characters\nimport sys\nwith deleting_characters():\n"
    code = during + " print('answering', flush=True)\n while not sys.stdin.buffer.peek(): pass\n"
    code += "".join(f" {line}\n" for line in ECHO.split("\n"))
    with terminal(["-c", code]) as shell:
        shell.wait_for(b"answering")
        shell.type("你好\x7f吗\n\x04".encode())
        assert shell.end() == 0 and rb"read '\u4f60\u5417'" in shell.shown


def test_the_terminal_is_left_as_it_was() -> None:
    with terminal(["-c", ECHO + "input()"]) as shell:
        shell.wait_for(b"> ")
        shell.type(b"\x03")
        shell.wait_for(b"end")
        assert b"interrupted" in shell.shown and not shell.deletes_characters


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"\xe4\xbd\xa0\xe5\xa5\xe5\x90\x97\n", ["你吗"]),  # what Backspace leaves where bytes are deleted
        ("你好吗\n".encode("gbk"), ["你好吗"]),
        ("上\x1b[A下\x1b[1;5D左\x1bOP右\x1b\n".encode(), ["上下左右"]),
        ("\x1b[200~贴\x1b]0;x\x07上\x1b[201~\n".encode(), ["贴上"]),
        (b"a\x00b\x08\x7f\rc\n", ["abc"]),
        (b"\xed\xa0\x80\xff\n\n", ["", ""]),
        ("没有换行".encode(), ["没有换行"]),
        (b"", []),
        ("好".encode() * 400_000 + b"\nx\n", ["好" * 400_000, "x"]),
    ],
)
def test_a_line_is_plain_text_whatever_its_bytes_are(data: bytes, lines: list[str]) -> None:
    assert read(data) == lines


@pytest.mark.parametrize("environ", [{"PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "gbk"}, {"LC_ALL": "C"}])
def test_lines_are_read_under_any_locale(environ: dict[str, str]) -> None:
    assert read("你好\n".encode(), **environ) == ["你好"]


@given(st.binary(max_size=200))
def test_no_bytes_that_are_typed_make_anything_but_plain_text(data: bytes) -> None:
    text = typed(data)
    text.encode("utf-8")
    assert text == text.strip() and not any(ord(c) < 32 and c != "\t" for c in text)
