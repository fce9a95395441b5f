"""Locks that go with the process: the operating system's advisory locks (flock) on open files.

A lock ends with the open file, so at the latest with the process, however it ended: who holds one is alive, in whatever
container. Process ids say less (another namespace, another boot, the same number again), so nothing here asks for them.
A child that is forked while a lock is held holds it too; one that is started with exec does not.

Windows has no flock, and keeps the files that somebody has open by itself: there a lock is always obtained, and protects
from nothing. The same is true of shared locks where a file system refuses locks (some network and user-space ones);
an exclusive one counts as held by somebody else there, so that nothing is removed on a guess.
"""

from __future__ import annotations

import errno
import os
import sys
import weakref
from pathlib import Path
from types import TracebackType
from typing import Self

if sys.platform == "win32":
    LOCK_SH = LOCK_EX = LOCK_NB = 0

    def flock(handle: int, operation: int) -> None:
        pass
else:
    from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, flock

REFUSED = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}
WORKS = sys.platform != "win32"  # a lock that is obtained proves something


class Lock:
    """A lock that is held until `release`, or until nobody refers to this any more."""

    def __init__(self, handle: int) -> None:
        self.handle = handle
        # closed, not unlocked: a forked child that closes its own copy does not take the lock from its parent
        self._close = weakref.finalize(self, os.close, handle)

    def release(self) -> None:
        self._close()

    def is_of(self, path: Path) -> bool:
        """Whether the locked file is (still) the one that has this name."""
        try:
            return os.path.samestat(os.fstat(self.handle), path.stat())
        except FileNotFoundError:
            return False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def shared(path: Path, *, create: bool = True) -> Lock:
    """Waits until nobody holds the file's lock exclusively. Without `create` the file has to be there, and is only read."""
    lock = _open(path, create=create, write=create)
    try:
        flock(lock.handle, LOCK_SH)
    except OSError as error:
        if error.errno not in REFUSED:
            raise
    return lock


def exclusive(path: Path) -> Lock:
    """Waits until nobody else holds the file's lock; for what takes moments."""
    lock = _open(path)
    flock(lock.handle, LOCK_EX)
    return lock


def try_exclusive(path: Path, *, create: bool = True) -> Lock | None:
    """The file's lock, or None where somebody holds it in whatever way."""
    lock = _open(path, create=create)
    try:
        flock(lock.handle, LOCK_EX | LOCK_NB)
    except OSError as error:
        lock.release()
        if isinstance(error, BlockingIOError) or error.errno in REFUSED:
            return None
        raise
    return lock


def _open(path: Path, *, create: bool = True, write: bool = True) -> Lock:
    flags = (os.O_RDWR if write else os.O_RDONLY) | (
        os.O_CREAT if create else 0
    )  # NFS wants writers to lock exclusively
    try:
        return Lock(os.open(path, flags, 0o666))
    except OSError as error:  # made by another user, or on a disk that can only be read: a lock needs no more than that
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS) or not path.exists():
            raise
        return Lock(os.open(path, os.O_RDONLY))
