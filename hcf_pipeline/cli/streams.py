"""The process's three standard streams, made fit to write to and to read from.

A stream that was closed before the start is taken for /dev/null: whoever runs `hcf status >&-` wants no output. Left
closed, its number would go to the next file that is opened, a database among them, and libraries would write into that.
What an encoding lacks is written as a backslash escape and never raises: of what was said nothing is lost that way. A
stdout that cannot be written is told as such, and one whose reader has gone (`| head -1`) ends the program without a
word, as it ends other tools. What cannot be said on stderr is not said.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Literal, TextIO

from hcf_pipeline.errors import OutputFailed

READER_GONE = 128 + 13  # as a shell tells a death by SIGPIPE
LACKING = "backslashreplace"

_kept: list[TextIO] = []


class _Stdout(io.TextIOWrapper):
    def write(self, text: str, /) -> int:
        try:
            return super().write(text)
        except OSError as error:
            self._give_up(error)
            raise AssertionError("unreachable") from error

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        _to_nowhere(self.fileno())
        if error.errno == errno.EPIPE or (os.name == "nt" and error.errno == errno.EINVAL):
            raise SystemExit(READER_GONE) from None
        raise OutputFailed(
            zh=f"输出写不出去（{error.strerror}）；命令本身已经做完的不受影响。请换一个地方写，再运行一次。",
            en=f"The output could not be written ({error.strerror}); what the command did stands. "
            "Send the output elsewhere and run it again.",
        ) from error


class _Stderr(io.TextIOWrapper):
    def write(self, text: str, /) -> int:
        try:
            return super().write(text)
        except OSError:
            _to_nowhere(self.fileno())
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError:
            _to_nowhere(self.fileno())


def guard_streams() -> None:
    """Called once, before anything is opened or written."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free, this one
    if sys.stdin is None:
        sys.stdin = _opened(0, "r")
    sys.stdout = _guarded(_Stdout, sys.stdout or _opened(1, "w"))
    sys.stderr = _guarded(_Stderr, sys.stderr or _opened(2, "w"))


def _guarded(kind: type[io.TextIOWrapper], stream: TextIO) -> io.TextIOWrapper:
    """The old one is kept alive: closing it would close what both write to."""
    assert isinstance(stream, io.TextIOWrapper)
    _kept.append(stream)
    return kind(
        stream.buffer,
        encoding=stream.encoding,
        errors=LACKING,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def _opened(number: int, mode: Literal["r", "w"]) -> TextIO:
    return open(number, mode, encoding="utf-8", closefd=False)


def _to_nowhere(number: int) -> None:
    """What is still buffered, and whatever else is written there, goes to /dev/null."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)
