"""What somebody reads or writes is not taken from under them, and what nobody does goes."""

from __future__ import annotations

import errno
import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from hcf_pipeline.errors import ArtifactError, NotReady
from hcf_pipeline.gc import sweep
from hcf_pipeline.rag.encode.vector_cache import VectorCache
from hcf_pipeline.store import Artifact, Built, Recipe, Store, locks
from hcf_pipeline_tests.conftest import Project

READS = "lease = Store(Path(sys.argv[1])).lease(*sys.argv[2:]); print('held', flush=True); sys.stdin.read()"
BEYOND_ANY_PID = 99_999_999


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "home")


def publish(store: Store, asset: str, text: str, **inputs: str) -> Artifact:
    def build(folder: Path) -> Built:
        (folder / "text").write_text(text, encoding="utf-8")
        return Built({})

    return store.publish(asset, build, Recipe(1, {"text": text}, inputs))


@contextmanager
def another_process(code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Runs `code` until it prints "held", and kills it at the end."""
    code = f"import os, sys; from pathlib import Path; from hcf_pipeline.store import *\n{code}"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def test_what_another_process_reads_stays_with_what_it_was_made_from_until_that_process_is_gone(store: Store) -> None:
    oldest = publish(store, "turn_table", "oldest")
    old = publish(store, "chunk_table", "old", turn_table=oldest.version)
    for asset in ("turn_table", "chunk_table"):
        publish(store, asset, "unread")
        publish(store, asset, "new")
    with another_process(READS, store.home, "chunk_table", old.version) as reader:
        looked = sweep(store, keep=1, dry_run=True)
        swept = sweep(store, keep=1)
        assert swept == looked and list(swept.in_use) == [old.path]
        assert len(store.versions("turn_table")) == len(store.versions("chunk_table")) == 2
        old.verify()
        oldest.verify()
        assert not store.remove_version("chunk_table", old.version)
        reader.kill()
        reader.wait()
    assert sweep(store, keep=1).in_use == ()
    assert [len(store.versions(asset)) for asset in ("turn_table", "chunk_table")] == [1, 1]


def test_a_lease_ends_when_it_is_released_or_nobody_has_it_any_more(store: Store) -> None:
    old = publish(store, "thing", "old")
    publish(store, "thing", "new")
    held = store.lease("thing", old.version)
    assert held.artifact == old
    held.release()
    held.release()
    with store.lease("thing", old.version) as within:
        assert not store.remove_version("thing", within.artifact.version)
    forgotten = [store.lease("thing", old.version), store.lease("thing", old.version)]
    assert sweep(store, keep=1, dry_run=True).in_use == (old.path,)
    forgotten.clear()
    gc.collect()
    assert store.remove_version("thing", old.version)
    assert store.find("thing", Recipe(1, {"text": "old"})) is None and len(store.followed("thing")) == 1
    with pytest.raises(NotReady, match="not the current one"):
        store.lease("thing", old.version)


def test_a_lease_on_what_cannot_be_read_is_refused_and_holds_nothing(store: Store) -> None:
    made = publish(store, "thing", "one")
    (made.path / "manifest.json").write_text("{", encoding="utf-8")
    with pytest.raises(ArtifactError, match="damaged"):
        store.lease("thing", made.version)
    assert store.remove_version("thing", made.version)


def test_a_reader_who_comes_while_a_version_is_removed_gets_none_or_the_new_one(store: Store) -> None:
    old = publish(store, "thing", "old")
    new = publish(store, "thing", "new")
    code = "store = Store(Path(sys.argv[1])); print('held', flush=True)\n"
    code += "try: lease = store.lease('thing', sys.argv[2]); lease.artifact.verify(); print('whole', flush=True)\n"
    code += "except Exception as error: print(type(error).__name__, flush=True)\nsys.stdin.read()"
    for version, then, expected in ((old.version, None, "NotReady"), (new.version, "new", "whole")):
        unread = locks.exclusive(store.home / "thing" / version / "manifest.json")
        with another_process(code, store.home, version) as reader:
            while f" {reader.pid} " not in Path("/proc/locks").read_text(
                encoding="ascii"
            ):  # those who wait are there too
                assert reader.poll() is None
            store.remove(store.home / "thing" / version)
            if then:
                publish(store, "thing", then)
            unread.release()
            assert reader.stdout is not None and reader.stdout.readline() == f"{expected}\n"
            if then:
                assert not store.remove_version("thing", version)  # it is the new one that is leased


class Swept(Store):
    """Somebody tidies up between the rename of a version and its promotion."""

    def promote(self, asset: str, version: str, recipe: Recipe | None = None) -> Artifact:
        sweep(Store(self.home), keep=1)
        return super().promote(asset, version, recipe)


def test_tidying_between_rename_and_promotion_takes_nothing_from_the_asset_that_is_published(store: Store) -> None:
    publish(store, "thing", "one")
    assert publish(Swept(store.home), "thing", "two") == store.current("thing")


def test_a_living_writer_of_another_pid_namespace_keeps_its_draft(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(store, "thing", "one")
    old = publish(store, "other", "old")
    publish(store, "other", "new")
    monkeypatch.setattr(os, "getpid", lambda: BEYOND_ANY_PID)

    def build(folder: Path) -> Built:
        assert str(BEYOND_ANY_PID) in folder.name
        assert old.path in [one.path for one in sweep(store, keep=1).gone] and folder.is_dir()
        (folder / "text").write_text("two", encoding="utf-8")
        return Built({})

    assert store.publish("thing", build, Recipe(2)) == store.current("thing")


@pytest.mark.parametrize("whose", ["mine", "of the first process", "nobody's"])
def test_what_killed_processes_left_goes_whoever_has_their_number_now(store: Store, whose: str) -> None:
    pid = {"mine": os.getpid(), "of the first process": 1}.get(whose, BEYOND_ANY_PID)
    made = publish(store, "thing", "one")
    lies = [".draft-{}-dagster.yaml", "thing/.draft-{}-x", "thing/recipes/.draft-{}-r.json", "thing/.dying-{}-v"]
    for place in lies:
        (store.home / place.format(pid)).mkdir()
    (store.home / "thing" / f".draft-{pid}-x" / "half").touch()
    assert len(sweep(store, keep=1, dry_run=True).gone) == 4
    assert {one.path for one in sweep(store, keep=1).gone} == {store.home / place.format(pid) for place in lies}
    assert not list(store.home.rglob(".d*-*")) and store.current("thing") == made


def test_a_killed_publication_leaves_a_draft_that_goes_and_does_not_hinder_its_next_try(store: Store) -> None:
    publish(store, "thing", "one")
    code = "import signal\nStore(Path(sys.argv[1])).publish('thing', lambda _: os.kill(os.getpid(), 9), Recipe(2))"
    with pytest.raises(AssertionError), another_process(code, store.home):
        pass
    (draft,) = (store.home / "thing").glob(".draft-*")
    store.publish("thing", lambda folder: Built({}, "v2"), Recipe(2))
    assert [one.path for one in sweep(store, keep=1).gone if "draft" in one.path.name] == [draft]


def test_what_is_being_removed_twice_under_one_number_does_not_collide(store: Store) -> None:
    """In a container every process may be number 1; a killed removal leaves what it began."""
    made = publish(store, "thing", "one")
    for _ in range(2):
        store.remove(made.path)
        left = store.home / "thing" / f".dying-{os.getpid()}-{made.version}"
        left.mkdir(exist_ok=True)
        (left / "half").touch()
        made = publish(store, "thing", "one")
    made.verify()


def test_where_the_system_refuses_locks_a_reader_reads_and_nothing_is_removed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = publish(store, "thing", "old")
    publish(store, "thing", "new")

    def refuse(handle: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    with monkeypatch.context() as patch:
        patch.setattr(locks, "flock", refuse)
        assert store.lease("thing", old.version).artifact == old
        assert sweep(store, keep=1).gone == ()
    assert [one.path for one in sweep(store, keep=1).gone if one.path == old.path]


def test_a_lock_that_fails_otherwise_is_no_lock(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    made = publish(store, "thing", "one")

    def fail(handle: int, operation: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(locks, "flock", fail)
    for attempt in (lambda: store.lease("thing", made.version), lambda: store.remove_version("thing", made.version)):
        with pytest.raises(OSError, match="Input/output"):
            attempt()


def test_a_home_that_can_only_be_read_is_read_under_a_lease(store: Store) -> None:
    made = publish(store, "thing", "one")
    code = "from pathlib import Path; import sys; from hcf_pipeline.store import Store; s = Store(Path(sys.argv[1])); "
    code += "a = s.lease('thing', sys.argv[2]).artifact; s.verify(a); print('read')"
    script = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && ! touch "$1/x" && exec "$0" -c "$3" "$1" "$2"'
    command = ["unshare", "--mount", "sh", "-c", script, sys.executable, str(store.home), made.version, code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "read" not in done.stdout and ("permitted" in done.stderr or done.stderr.startswith("unshare:")):
        pytest.skip("this machine lets nobody mount")  # nor does a chroot whose root is no mount
    assert done.stdout == "read\n", done.stderr


def test_old_locks_of_a_home_do_not_disturb(store: Store) -> None:
    made = publish(store, "thing", "one")
    for name, text in ((".lock", ""), (".lock-owner", "some run")):
        (store.home / "thing" / name).write_text(text, encoding="utf-8")
    with store.making("thing", "run", lambda _: False):
        publish(store, "thing", "two")
    sweep(store, keep=1)
    assert store.versions("thing") != [made.version]


def vectors(n: int) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    return np.array([f"{n:032}".encode()]), np.ones((1, 2), np.float32)


def test_vectors_are_not_pruned_while_somebody_adds_some(tmp_path: Path) -> None:
    cache = VectorCache(tmp_path / "cache")
    cache.add("e", *vectors(1))
    adds = "from hcf_pipeline.store.leases import writing\n"
    adds += "with writing(Path(sys.argv[1])):\n"
    adds += "    (Path(sys.argv[1]) / 'e' / '.draft-1').touch(); print('held', flush=True); sys.stdin.read()"
    with another_process(adds, cache.folder):
        assert cache.prune(0, ()) == 0
        assert len(list((cache.folder / "e").iterdir())) == 2
    assert cache.prune(0, ()) > 0
    assert not (cache.folder / "e").exists()


def test_a_draft_of_vectors_is_not_pruned_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, replace = VectorCache(tmp_path / "cache"), os.replace

    def pruned_meanwhile(source: Path, target: Path) -> None:
        assert cache.prune(0, ()) == 0
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", pruned_meanwhile)
        cache.add("e", *vectors(1))
    assert len(cache.open("e")) == 1


def test_an_encoder_whose_vectors_were_pruned_meanwhile_adds_its_next_ones(tmp_path: Path) -> None:
    cache = VectorCache(tmp_path / "cache")
    assert cache.open("e") == []
    cache.prune(0, ())
    cache.add("e", *vectors(1))
    assert len(cache.open("e")) == 1


def test_hcf_gc_says_what_stays_because_somebody_uses_it(project: Project) -> None:
    store = Store(project.home)
    old = publish(store, "thing", "old")
    publish(store, "thing", "new")
    with store.lease("thing", old.version):
        said = project.hcf("gc", "--lang", "en").stdout
        assert f"thing/{old.version}  in use, stays until the next time" in said and old.path.is_dir()
    assert project.json("gc")["in_use"] == [] and not old.path.exists()
