"""A pseudo terminal with a process in it, as a person meets it: what is typed goes through the kernel's line discipline."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hcf_pipeline_tests.conftest import clean_environment

IUTF8 = 0x4000
TIMEOUT_S = 60
TAKE_TERMINAL = """
import fcntl, os, signal, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # Ctrl-C on it is sent to this process
signal.signal(signal.SIGINT, signal.SIG_DFL)  # which heeds it, also where these tests run under nohup
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


class Terminal:
    def __init__(self, process: subprocess.Popen[bytes], master: int) -> None:
        self.process = process
        self.shown = b""
        self._master = master

    def type(self, data: bytes) -> None:
        os.write(self._master, data)

    def wait_for(self, data: bytes) -> None:
        """Until something was shown that was not there at the last such wait."""
        already = self.shown.count(data)
        deadline = time.monotonic() + TIMEOUT_S
        while self.shown.count(data) == already and self._read(deadline):
            pass
        assert self.shown.count(data) > already, self.shown

    def end(self) -> int:
        deadline = time.monotonic() + TIMEOUT_S
        while self._read(deadline):
            pass
        return self.process.wait(TIMEOUT_S)

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._master], [], [], max(0.0, deadline - time.monotonic()))
        try:
            data = os.read(self._master, 65536) if ready else b""
        except OSError:  # the other side is closed
            data = b""
        self.shown += data
        return bool(data)

    @property
    def deletes_characters(self) -> bool:
        return bool(termios.tcgetattr(self._master)[0] & IUTF8)


@contextmanager
def terminal(arguments: Sequence[str], folder: Path | None = None, **environ: str) -> Iterator[Terminal]:
    """Python with some arguments in a terminal that deletes single bytes, as a bare one does."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", TAKE_TERMINAL, *arguments],
        cwd=folder,
        env=clean_environment(TERM="xterm", **environ),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    try:
        yield Terminal(process, master)
    finally:
        process.kill()
        process.wait()
        os.close(master)
