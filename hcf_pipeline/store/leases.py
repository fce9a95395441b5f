"""Who reads which version, who writes to which asset: what a process needs stays while it holds a lease.

    <home>/<asset>/<version>/manifest.json   locked by the readers of that version, shared
    <home>/<asset>/.writing                  locked by the writers to that asset, shared
    <home>/.writing                          the same for single files of the home

Whoever removes something takes the same lock exclusively first, and leaves what it doesn't get for the next time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from hcf_pipeline.store.artifact import MANIFEST, Artifact, gone
from hcf_pipeline.store.locks import Lock, shared, try_exclusive

WRITING = ".writing"


class Lease:
    """A version that stays where it is until `release`, or until nobody refers to this any more."""

    def __init__(self, artifact: Artifact, lock: Lock) -> None:
        self.artifact = artifact
        self._lock = lock

    def release(self) -> None:
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def lease(version: Path) -> Lease:
    """Raises NotReady when that version is not there, ArtifactError when its manifest is unreadable."""
    manifest = version / MANIFEST
    while True:
        try:
            lock = shared(manifest, create=False)
        except (FileNotFoundError, NotADirectoryError):
            raise gone(version) from None
        try:
            if lock.is_of(manifest):
                return Lease(Artifact.open(version), lock)
        except BaseException:
            lock.release()
            raise
        lock.release()  # removed while this waited, and perhaps published again


def claim(version: Path) -> Lock | None:
    """The right to remove a version, or None while somebody reads it, and where it is gone."""
    try:
        return try_exclusive(version / MANIFEST, create=False)
    except FileNotFoundError:
        return None


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Held by whoever writes below an asset's folder, or single files in another: nothing is removed there meanwhile."""
    folder.mkdir(parents=True, exist_ok=True)
    with shared(folder / WRITING):
        yield


def alone(folder: Path) -> Lock | None:
    """The right to remove what lies about in a folder, or None while somebody writes there."""
    return try_exclusive(folder / WRITING)
