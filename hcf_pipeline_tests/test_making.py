"""One process makes an asset at a time, whatever was left by those before."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hcf_pipeline.store import Store

MAKES = """
import os, sys
from pathlib import Path
from hcf_pipeline.store import Store

home, run, pauses = Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "pauses"
fsync = os.fsync

def pause(handle):
    global pauses
    if pauses:
        pauses = False
        print("paused", flush=True)
        sys.stdin.readline()
    fsync(handle)

os.fsync = pause  # the first thing that is written under the lock is its owner
with Store(home).making("thing", run, lambda other: other == "ended"):
    print("in", flush=True)
    sys.stdin.readline()
    (home / "left").touch()
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "home")


@contextmanager
def maker(store: Store, run: str, *, pauses: bool = False) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", MAKES, str(store.home), run, "pauses" if pauses else ""]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def go_on(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def numbers(store: Store) -> list[str]:
    return sorted(file.name for file in (store.home / "thing").glob(".making-[0-9]*"))


def test_who_takes_the_lock_is_not_taken_for_the_ended_run_before_it(store: Store) -> None:
    """Between taking a lock and writing one's name lies a moment, and in it stood the name of the one before."""
    with store.making("thing", "ended", lambda _: False):
        pass
    entered: list[bool] = []

    def second() -> None:
        with store.making("thing", "second", lambda run: run == "ended"):
            entered.append((store.home / "left").exists())

    with maker(store, "first", pauses=True) as first:
        assert said(first) == "paused"
        waits = threading.Thread(target=second)
        waits.start()
        waits.join(1.2)  # long enough to look at the lock several times
        go_on(first)
        assert said(first) == "in"
        waits.join(1.2)
        go_on(first)
        waits.join()
    assert entered == [True]


def test_an_orphan_is_passed_once_and_its_successor_is_waited_for(store: Store) -> None:
    entered: list[bool] = []

    def third() -> None:
        with store.making("thing", "third", lambda run: run == "ended"):
            entered.append((store.home / "left").exists())

    with maker(store, "ended") as orphan:
        assert said(orphan) == "in"
        with maker(store, "living") as living:
            assert said(living) == "in"
            assert numbers(store) == [".making-1", ".making-2"]
            waits = threading.Thread(target=third)
            waits.start()
            waits.join(1.2)
            assert entered == []
            go_on(living)
            waits.join()
        assert entered == [True] and orphan.poll() is None


def test_locks_of_orphans_go_when_these_have_ended(store: Store) -> None:
    with maker(store, "ended") as orphan:
        assert said(orphan) == "in"
        with store.making("thing", "ended too", lambda _: True), store.making("thing", "last", lambda _: True):
            assert numbers(store) == [".making-1", ".making-2", ".making-3"]
    with store.making("thing", "next", lambda _: False):
        assert numbers(store) == [".making-3"]


def test_where_the_record_was_lost_whoever_works_is_waited_for(store: Store) -> None:
    with store.making("thing", "one", lambda _: True):
        pass
    with maker(store, "two") as works:
        assert said(works) == "in"
        (store.home / "thing" / ".making").write_text("{", encoding="utf-8")
        entered: list[bool] = []

        def next_one() -> None:
            with store.making("thing", "three", lambda _: True):
                entered.append((store.home / "left").exists())

        waits = threading.Thread(target=next_one)
        waits.start()
        waits.join(1.2)
        assert entered == []
        go_on(works)
        waits.join()
    assert entered == [True] and len(numbers(store)) == 1


def test_a_lock_is_given_back_where_its_owner_cannot_be_written(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space") as kept, store.making("thing", "one", lambda _: False):
            raise AssertionError("in")
    with store.making("thing", "two", lambda _: False):
        assert numbers(store) == [".making-1"]
    assert kept.tb  # all that the failure refers to is alive still, and the lock is not
