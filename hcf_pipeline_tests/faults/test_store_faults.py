"""Every event in the life of one small artifact, each as the moment of a fault."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from hcf_pipeline.errors import HcfError
from hcf_pipeline.store import Built, Recipe, Store
from hcf_pipeline_tests.faults.injector import Fault, Kind
from hcf_pipeline_tests.faults.lab import TRIAL
from hcf_pipeline_tests.faults.warm import Ended, Order, Warm


@pytest.fixture
def bench(scratch: Path) -> Iterator[Path]:
    folder = scratch / "store"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def seed(bench: Path) -> Path:
    """A home with one version of one artifact."""
    home = bench / "seed"
    publish(Store(home), "one", 1)
    return home


def publish(store: Store, text: str, number: int) -> None:
    def build(folder: Path) -> Built:
        (folder / "text").write_text(text, encoding="utf-8")
        return Built({"persona": "江照野", "rows": 12345})

    store.publish("thing", build, Recipe(number, {"thing.size": number}, {"source": "0123456789"}))


def live(light: Warm, home: Path, fault: Fault | None = None, trace_into: Path | None = None) -> Ended:
    """Three publications by copies and links, a rollback and a tidying, under a fault."""
    wanted = {
        "home": str(home),
        "fault": fault and asdict(fault),
        "trace_into": str(trace_into) if trace_into else None,
    }
    return light.do(Order(f"{TRIAL}:store_life", str(home.parent), wanted))


def assert_sound(home: Path) -> None:
    """Whatever has a name is whole, and something serves."""
    store = Store(home)
    current = store.current("thing")
    assert current is not None
    current.verify()
    for path in (home / "thing").iterdir():
        if path.is_dir() and path.name != "recipes" and not path.name.startswith("."):
            store.open("thing", path.name).verify()
    for followed in store.followed("thing"):
        if followed.version in store.versions("thing"):
            store.open("thing", followed.version).verify()


def assert_heals(home: Path) -> None:
    """The next one publishes, and after its tidying nothing lies about."""
    store = Store(home)
    with store.lock(), store.making("thing", "next", lambda _: False):
        publish(store, "healed", 9)
        for leftover in store.leftovers():
            store.remove(leftover)
    assert not list(home.rglob(".d*-*"))
    assert_sound(home)


@pytest.mark.parametrize(("kind", "lasts"), [("kill", False), ("enospc", False), ("enospc", True), ("eio", False)])
def test_a_fault_at_any_event_leaves_whole_versions_only_and_the_next_one_heals(
    light: Warm, seed: Path, bench: Path, kind: Kind, lasts: bool
) -> None:
    traced, dry = bench / "events.txt", bench / "dry"
    shutil.copytree(seed, dry)
    assert live(light, dry, trace_into=traced).code == 0
    n_events = len(traced.read_text(encoding="utf-8").splitlines())
    assert n_events > 50
    for at in range(1, n_events + 1):
        home = bench / f"home-{at}"
        shutil.copytree(seed, home)
        ended = live(light, home, Fault(kind, at, lasts))
        assert ended.killed if kind == "kill" else ended.code in (0, 70), ended
        if ended.code == 70:
            assert "OSError" in ended.stderr, ended.stderr
        assert_sound(home)
        assert_heals(home)


def flipped(file: Path) -> Iterator[bytes]:
    """The file with one bit of one byte after the other flipped; it is as it was at the end."""
    data = file.read_bytes()
    for place, byte in enumerate(data):
        for bit in (1, 128):
            file.write_bytes(data[:place] + bytes([byte ^ bit]) + data[place + 1 :])
            yield file.read_bytes()
    file.write_bytes(data)


def test_a_version_with_any_byte_flipped_is_never_taken_for_whole(seed: Path) -> None:
    """Its manifest too: another persona, another input, would be a wrong answer."""
    store = Store(seed)
    current = store.current("thing")
    assert current is not None
    for file in [path for path in current.path.rglob("*") if path.is_file()]:
        for _ in flipped(file):
            with pytest.raises(HcfError, match="damaged"):
                store.open("thing", current.version).verify()
    current.verify()


def test_a_recipe_with_any_byte_flipped_is_as_good_as_none(seed: Path) -> None:
    store = Store(seed)
    for _ in flipped(next((seed / "thing" / "recipes").iterdir())):
        assert store.followed("thing") == []
    assert len(store.followed("thing")) == 1


def test_a_flipped_name_of_what_is_current_is_as_good_as_none(seed: Path) -> None:
    store = Store(seed)
    for _ in flipped(seed / "thing" / "current"):
        assert store.current("thing") is None
