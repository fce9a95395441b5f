"""One process makes an asset at a time, and an orphan holds up nobody.

    <home>/<asset>/.making        who makes it: the run, and the number of the lock that this run holds
    <home>/<asset>/.making-3      that lock
    <home>/<asset>/.making-gate   held for moments, while the two above are looked at and changed together

A run that was ended may live on in a process that doesn't know: it keeps its lock, and the next one takes another. So
it does not matter when the orphan ends, and there is no moment at which a lock is held by one and named after another.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from hcf_pipeline.files import replace_text, sealed, unsealed

MAKING = ".making"
GATE = ".making-gate"
WAIT_S = 0.5


@dataclass(frozen=True)
class Maker:
    run: str
    number: int  # of the lock that it holds


@contextmanager
def making(folder: Path, run: str, given_up: Callable[[str], bool]) -> Iterator[None]:
    """Held while the asset of that folder is made, by one process at a time; `run` is told to those who wait.

    Waits for the maker before, unless `given_up(its run)` says that it was ended: then it may live on, as an orphan,
    but has no right to publish any more.
    """
    folder.mkdir(parents=True, exist_ok=True)
    while (lock := _enter(folder, run, given_up)) is None:
        time.sleep(WAIT_S)
    try:
        yield
    finally:
        lock.release()


def _enter(folder: Path, run: str, given_up: Callable[[str], bool]) -> FileLock | None:
    with FileLock(folder / GATE, thread_local=False):
        maker = _maker(folder)
        # where the record was lost, the highest number was the last one's: it is waited for, whoever it is
        number = maker.number if maker else max(_numbers(folder), default=1)
        lock = _obtain(folder, number)
        if lock is None and maker and given_up(maker.run):
            while (lock := _obtain(folder, number := number + 1)) is None:
                pass
        if lock is not None:
            try:
                replace_text(folder / MAKING, sealed(asdict(Maker(run, number))))
            except BaseException:
                lock.release()
                raise
            _clear(folder, number)
        return lock


def _maker(folder: Path) -> Maker | None:
    try:
        raw = unsealed((folder / MAKING).read_text(encoding="utf-8"))
        return Maker(str(raw["run"]), int(raw["number"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _obtain(folder: Path, number: int) -> FileLock | None:
    lock = FileLock(folder / f"{MAKING}-{number}", thread_local=False)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return None
    return lock


def _is_held(folder: Path, number: int) -> bool:
    lock = _obtain(folder, number)
    if lock is not None:
        lock.release()
    return lock is None


def _numbers(folder: Path) -> list[int]:
    return [int(number) for file in folder.glob(f"{MAKING}-*") if (number := file.name.rpartition("-")[2]).isdecimal()]


def _clear(folder: Path, number: int) -> None:
    """Removes the locks of orphans that ended; nobody opens one without the gate."""
    for other in _numbers(folder):
        if other != number and not _is_held(folder, other):
            with suppress(OSError):
                (folder / f"{MAKING}-{other}").unlink()
