"""Artifacts: whole or not there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hcf_pipeline.errors import ArtifactError, HomeBusy, NotReady
from hcf_pipeline.store import Artifact, Built, Markdown, Store, recipe_of


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "home")


def publish(store: Store, text: str, recipe: str = "r1", inputs: dict[str, str] | None = None) -> Artifact:
    def build(folder: Path) -> Built:
        (folder / "inner").mkdir()
        (folder / "inner" / "text").write_text(text, encoding="utf-8")
        return Built({"rows": len(text), "table": Markdown("| a |")})

    return store.publish("thing", build, recipe=recipe, inputs=inputs or {})


def test_what_was_published_is_current_and_keeps_its_metadata_and_inputs(store: Store) -> None:
    made = publish(store, "one", inputs={"source": "v0"})
    current = store.current("thing")
    assert current == made and current is not None
    assert current.file("inner/text").read_text(encoding="utf-8") == "one"
    assert (current.metadata["rows"], current.inputs) == (3, {"source": "v0"})
    assert isinstance(current.metadata["table"], Markdown)


def test_the_same_content_has_the_same_version_and_another_content_another(store: Store) -> None:
    first, second, again = publish(store, "one"), publish(store, "two", "r2"), publish(store, "one", "r3")
    assert first.version == again.version != second.version
    assert store.current("thing") == again


def test_a_recipe_finds_what_it_gave_before(store: Store) -> None:
    made = publish(store, "one", "r1")
    publish(store, "two", "r2")
    assert store.find("thing", "r1") == made
    assert store.find("thing", "r9") is None
    assert recipe_of("1", {"a": "x"}) != recipe_of("1", {"a": "y"}) != recipe_of("2", {"a": "y"})


def test_a_damaged_version_is_refused_not_found_by_its_recipe_and_healed_by_a_rebuild(store: Store) -> None:
    made = publish(store, "one")
    (made.path / "inner" / "text").write_text("0ne", encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"damaged .*inner/text"):
        made.verify()
    assert store.find("thing", "r1") is None
    publish(store, "one").verify()


def test_a_build_that_fails_leaves_the_old_version_current_and_no_leftovers(store: Store) -> None:
    made = publish(store, "one")

    def build(folder: Path) -> Built:
        (folder / "half").write_text("…", encoding="utf-8")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        store.publish("thing", build, recipe="r2")
    assert store.current("thing") == made
    assert sorted(p.name for p in (store.home / "thing").iterdir()) == sorted([made.version, "current", "recipes"])


def test_what_a_killed_process_left_half_written_is_cleared_and_a_living_ones_is_not(store: Store) -> None:
    made = publish(store, "one")
    code = "import sys, pathlib, os, signal; from hcf_pipeline.store import Store\n"
    code += "Store(pathlib.Path(sys.argv[1])).publish('thing', lambda folder: os.kill(os.getpid(), signal.SIGKILL), recipe='r2')"
    subprocess.run([sys.executable, "-c", code, str(store.home)], check=False)
    assert len(list((store.home / "thing").glob(".draft-*"))) == 1

    def build(folder: Path) -> Built:
        store.clear_leftovers()
        assert list((store.home / "thing").glob(".draft-*")) == [folder]
        return Built({}, "v2")

    store.publish("thing", build, recipe="r3")
    assert store.open("thing", made.version) == made


def test_a_version_that_is_gone_says_how_to_get_it_back(store: Store) -> None:
    with pytest.raises(NotReady, match="hcf refresh"):
        store.open("thing", "0" * 20)
    assert store.current("thing") is None


def test_one_process_writes_and_the_other_is_told_who(store: Store, tmp_path: Path) -> None:
    code = "import sys, pathlib; from hcf_pipeline.store import Store\n"
    code += "with Store(pathlib.Path(sys.argv[1])).lock(): print('held', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", code, str(store.home)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        with pytest.raises(HomeBusy, match=str(other.pid)), store.lock():
            pass
        other.kill()
    with store.lock():  # the lock of a dead process is no lock
        pass
