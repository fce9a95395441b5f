"""The one way in: what people type, or send through a pipe, is read here.

Lines come as bytes and leave as plain text: decoded whatever they are, without the sequences that arrow keys send,
without other control characters, and without half a character that a Backspace left behind. Where the terminal's driver
deletes single bytes, it is told that characters have several (IUTF8) for as long as a line is read.
"""

from __future__ import annotations

import getpass
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from hcf_pipeline.cli.console import err, out
from hcf_pipeline.text import CONTROL, SURROGATES, decoded

try:
    import termios
except ImportError:  # Windows, whose consoles delete whole characters
    termios = None  # type: ignore[assignment]

IUTF8 = 0x4000  # of Linux and macOS; the termios module names it from Python 3.13 on
MAX_LINE_BYTES = 4_000_000

# What arrow and function keys, a pasted colour or a bracketed paste send: CSI, OSC, SS3, or ESC and a character.
_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|O[ -~]|[ -~])?")
_DROPPED = re.compile(f"[\r\n\ufffd{CONTROL}{SURROGATES}]")


def read_line(prompt: str) -> str | None:
    """The next line, stripped; None where no more comes. Raises KeyboardInterrupt for Ctrl-C."""
    try:
        with deleting_characters():
            out.print(prompt, end="")
            data = sys.stdin.buffer.readline(MAX_LINE_BYTES)
    except OSError:  # the terminal has gone, or stdin is a folder
        return None
    return typed(data, sys.stdin.encoding) if data else None


def read_all() -> str:
    """All that comes through stdin, stripped."""
    with suppress(OSError):
        return typed(sys.stdin.buffer.read(MAX_LINE_BYTES).replace(b"\n", b" "), sys.stdin.encoding)
    return ""


def read_secret(prompt: str) -> str:
    """A line that the terminal does not show; from a pipe the next line as it is; "" where nothing comes."""
    if not sys.stdin.isatty():
        return read_line("") or ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", getpass.GetPassWarning)
        try:
            return getpass.getpass(prompt)
        except (EOFError, UnicodeDecodeError):
            err.print()
            return ""


def typed(data: bytes, encoding: str = "utf-8") -> str:
    """The plain text of bytes that somebody typed."""
    return _DROPPED.sub("", _SEQUENCE.sub("", decoded(data, encoding))).strip()


@contextmanager
def deleting_characters() -> Iterator[None]:
    """Lets Backspace delete a whole character of UTF-8: while a line is read, or all through a conversation, for people
    type the next line during an answer."""
    is_utf8 = sys.stdin.encoding.lower().replace("-", "") == "utf8"
    if termios is None or sys.platform not in ("linux", "darwin") or not is_utf8 or not sys.stdin.isatty():
        yield
        return
    terminal = sys.stdin.fileno()
    try:
        before = termios.tcgetattr(terminal)
        changed = [before[0] | IUTF8, *before[1:]]
        termios.tcsetattr(terminal, termios.TCSADRAIN, changed)
    except termios.error:
        yield
        return
    try:
        yield
    finally:
        with suppress(termios.error):
            termios.tcsetattr(terminal, termios.TCSADRAIN, before)
