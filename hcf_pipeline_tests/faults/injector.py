"""Faults without hooks in the product: the process counts what it does to files, and fails at the n-th of these events.

Events come from Python's audit hooks (open for writing, rename, remove, mkdir, link, …) and from os.fsync, which has
none; only paths under one folder count. A fault kills the process, or raises OSError where the event would have
happened: what a hook raises reaches the caller. Writers in C (pyarrow, faiss, SQLite) pass the hooks by; for these
there is RLIMIT_FSIZE, a write that really fails.

A hook cannot be taken away again: install it in a process that ends with its trial.
"""

from __future__ import annotations

import errno
import os
import re
import resource
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn

Kind = Literal["kill", "enospc", "eio", "efbig"]
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
ERRNO = {"enospc": errno.ENOSPC, "eio": errno.EIO}


@dataclass(frozen=True)
class Fault:
    """What happens at which event, counted from 1. `lasts`: at every later one too, as on a disk that stays full."""

    kind: Kind
    at: int
    lasts: bool = False


class Events:
    """Counts what this process does to files under `home`; `each` is told every event's number, name and path."""

    def __init__(self, home: Path, each: Callable[[int, str, str], None]) -> None:
        self._home = str(home)
        self._each = each
        self._n = 0
        self._inside = False
        self._fsync = os.fsync
        sys.addaudithook(self._hook)
        os.fsync = self._counted_fsync  # type: ignore[assignment]

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, (str, bytes)) and isinstance(flags, int) and flags & WRITES:
                self._count(event, _absolute(path, -1))
        elif event in ("os.rename", "os.link"):  # os.replace is a rename to them
            _, target, _, target_dir = arguments
            self._count(event, _absolute(target, target_dir))
        elif event in ("os.remove", "os.rmdir"):
            self._count(event, _absolute(arguments[0], arguments[1]))
        elif event == "os.mkdir":
            self._count(event, _absolute(arguments[0], arguments[2]))
        elif event in ("os.truncate", "os.symlink"):
            self._count(event, _absolute(arguments[-2] if event == "os.symlink" else arguments[0], -1))

    def _counted_fsync(self, handle: Any) -> None:
        number = handle if isinstance(handle, int) else handle.fileno()
        self._count("os.fsync", _absolute("", number))
        self._fsync(handle)

    def _count(self, event: str, path: str) -> None:
        if self._inside or not path.startswith(self._home):
            return
        self._n += 1
        self._inside = True
        try:
            self._each(self._n, event, path)
        finally:
            self._inside = False


def inject(home: Path, fault: Fault) -> None:
    """Lets this process fail so, from now on."""
    if fault.kind == "efbig":  # Python ignores SIGXFSZ, so writes beyond `at` bytes fail with EFBIG
        resource.setrlimit(resource.RLIMIT_FSIZE, (fault.at, fault.at))
        return

    def fail(n: int, event: str, path: str) -> None:
        if n == fault.at or (fault.lasts and n > fault.at and event not in ("os.remove", "os.rmdir")):
            if fault.kind == "kill":
                die()
            code = ERRNO[fault.kind]
            raise OSError(code, os.strerror(code), path)

    Events(home, fail)


def trace(home: Path, out: Path) -> None:
    """Lets this process write down its events, one `name path` a line, without what differs from run to run."""
    handle = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def note(_: int, event: str, path: str) -> None:
        os.write(handle, f"{event} {plain(path.removeprefix(str(home)))}\n".encode())

    Events(home, note)


def plain(path: str) -> str:
    """A path without process ids, run ids and versions."""
    path = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "RUN", path)
    path = re.sub(r"[0-9a-f]{20,}", "HASH", path)
    return re.sub(r"(\.d\w+-)\d+", r"\1PID", re.sub(r"/[a-z]{8}\.(out|err|complete)", r"/LOG.\1", path))


def die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("dead")


def _absolute(path: str | bytes, folder: int) -> str:
    """The path that an event speaks of, which may be relative to an open folder, or (if empty) be an open file."""
    text = os.fsdecode(path)
    if folder >= 0:
        return str(Path(f"/proc/self/fd/{folder}").readlink() / text)
    return str(Path.cwd() / text)
