"""Artifacts: whole or not there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hcf_pipeline.errors import ArtifactError, HomeBusy, NotReady
from hcf_pipeline.files import link_or_copy
from hcf_pipeline.store import Artifact, Built, Markdown, Recipe, Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "home")


def recipe(name: str, **inputs: str) -> Recipe:
    return Recipe(1, {"thing.name": name}, inputs)


def publish(store: Store, text: str, name: str = "r1", **inputs: str) -> Artifact:
    def build(folder: Path) -> Built:
        (folder / "inner").mkdir()
        (folder / "inner" / "text").write_text(text, encoding="utf-8")
        return Built({"rows": len(text), "table": Markdown("| a |")})

    return store.publish("thing", build, recipe(name, **inputs))


def test_what_was_published_is_current_and_keeps_its_metadata_and_inputs(store: Store) -> None:
    made = publish(store, "one", source="v0")
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
    assert store.find("thing", recipe("r1")) == made
    assert store.find("thing", recipe("r9")) is None
    assert [(f.recipe, f.number) for f in store.followed("thing")] == [(recipe("r2"), 2), (recipe("r1"), 1)]


def test_a_recipe_is_another_one_when_code_settings_or_inputs_are(store: Store) -> None:
    recipes = [Recipe(1), Recipe(2), Recipe(1, {"a.b": 1}), Recipe(1, {"a.b": 2}), Recipe(1, {}, {"x": "v1"})]
    assert len({one.id for one in recipes}) == 5
    assert len({one.code_version for one in recipes}) == 4  # inputs are no code


def test_a_damaged_version_is_refused_not_found_by_its_recipe_and_healed_by_a_rebuild(store: Store) -> None:
    made = publish(store, "one")
    (made.path / "inner" / "text").write_text("0ne", encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"damaged .*inner/text"):
        made.verify()
    assert store.find("thing", recipe("r1")) is None
    publish(store, "one").verify()


def test_a_build_that_fails_leaves_the_old_version_current_and_no_leftovers(store: Store) -> None:
    made = publish(store, "one")

    def build(folder: Path) -> Built:
        (folder / "half").write_text("…", encoding="utf-8")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        store.publish("thing", build, recipe("r2"))
    assert store.current("thing") == made
    left = sorted(p.name for p in (store.home / "thing").iterdir())
    assert left == sorted([made.version, ".writing", "current", "recipes"])


def test_a_version_that_is_gone_says_how_to_get_it_back(store: Store) -> None:
    with pytest.raises(NotReady, match="hcf refresh"):
        store.open("thing", "0" * 20)
    assert store.current("thing") is None


def test_one_process_writes_and_the_other_is_told_who(store: Store, tmp_path: Path) -> None:
    code = "import sys, pathlib; from hcf_pipeline.store import Recipe, Store\n"
    code += "with Store(pathlib.Path(sys.argv[1])).lock(): print('held', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", code, str(store.home)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        with pytest.raises(HomeBusy, match=str(other.pid)), store.lock():
            pass
        other.kill()
    with store.lock():  # the lock of a dead process is no lock
        pass


def test_a_linked_file_is_shared_between_versions_and_goes_with_the_last_of_them(store: Store) -> None:
    first = publish(store, "one")

    def build(folder: Path) -> Built:
        (folder / "inner").mkdir()
        link_or_copy(first.file("inner/text"), folder / "inner" / "text")
        (folder / "more").write_text("two", encoding="utf-8")
        return Built({})

    second = store.publish("thing", build, recipe("r2"), like=first)
    assert second.files["inner/text"] == first.files["inner/text"]
    assert second.file("inner/text").stat().st_ino == first.file("inner/text").stat().st_ino
    store.remove(first.path)
    second.verify()


def test_what_is_made_under_a_lost_right_is_not_published(store: Store) -> None:
    made = publish(store, "one")

    def refuse() -> None:
        raise HomeBusy(zh="已被终止", en="ended meanwhile")

    with pytest.raises(HomeBusy, match="ended"):
        store.publish("thing", lambda folder: Built({}, "v2"), recipe("r2"), may_publish=refuse)
    assert store.current("thing") == made and store.versions("thing") == [made.version]


def test_one_process_makes_an_asset_and_the_next_waits_for_it_or_passes_an_orphan(store: Store) -> None:
    code = "import sys, pathlib; from hcf_pipeline.store import Store\n"
    code += (
        "with Store(pathlib.Path(sys.argv[1])).making('thing', 'run-1', lambda _: False): print('held', flush=True); "
    )
    code += "sys.stdin.read()"
    command = [sys.executable, "-c", code, str(store.home)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        asked: list[str] = []

        def given_up(owner: str) -> bool:
            asked.append(owner)
            if len(asked) == 2:
                other.kill()
            return False

        with store.making("thing", "run-2", given_up):  # waits until the other one is gone
            assert asked[:2] == ["run-1", "run-1"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as orphan:
        assert orphan.stdout is not None and orphan.stdout.readline() == "held\n"
        with store.making("thing", "run-3", lambda owner: True):
            assert orphan.poll() is None
        orphan.kill()


def test_what_is_published_is_on_the_disk_before_it_has_its_name_and_the_name_before_it_is_current(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[tuple[str, str]] = []  # what the system was asked to do, in order
    fsync, rename, replace = os.fsync, os.rename, os.replace

    def synced(handle: int) -> None:
        done.append(("fsync", str(Path(f"/proc/self/fd/{handle}").readlink())))
        fsync(handle)

    def renamed(source: str | Path, target: str | Path, **folders: int) -> None:
        done.append(("rename", f"{source} {target}"))
        rename(source, target, **folders)

    def replaced(source: str | Path, target: str | Path, **folders: int) -> None:
        done.append(("rename", f"{source} {target}"))
        replace(source, target, **folders)

    for name, traced in (("fsync", synced), ("rename", renamed), ("replace", replaced)):
        monkeypatch.setattr(os, name, traced)
    made = publish(store, "one")
    thing = store.home / "thing"
    at = next(n for n, (what, path) in enumerate(done) if what == "rename" and path.endswith(f" {made.path}"))
    draft = Path(done[at][1].split(" ")[0])
    before = [path for what, path in done[:at] if what == "fsync"]
    inside = [draft, *(draft / path.relative_to(made.path) for path in made.path.rglob("*"))]
    assert set(map(str, inside)) <= set(before) and str(store.home) in before
    assert before.index(str(draft / "inner" / "text")) < before.index(str(draft / "inner")) < before.index(str(draft))
    assert done[at + 1] == ("fsync", str(thing))
    named = [path.split(" ") for what, path in done if what == "rename"]
    assert [Path(target).parent.name for _, target in named] == ["thing", "recipes", "thing"]
    for source, target in named[1:]:  # the recipe's file, then the pointer
        at = done.index(("rename", f"{source} {target}"))
        assert done[at - 1] == ("fsync", source) and done[at + 1] == ("fsync", str(Path(target).parent))


def test_files_shared_with_an_intact_version_are_not_read_again_and_others_are(store: Store) -> None:
    first = publish(store, "one")
    shared = first.file("inner/text")

    def build(folder: Path) -> Built:
        (folder / "inner").mkdir()
        link_or_copy(shared, folder / "inner" / "text")
        shared.write_text("0ne", encoding="utf-8")  # behind the store's back, so that reading it would show
        return Built({})

    second = store.publish("thing", build, recipe("r2"), like=first)
    assert second.files == first.files
    third = store.publish("thing", lambda folder: (link_or_copy(shared, folder / "text"), Built({}))[1], recipe("r3"))
    assert third.files["text"] != first.files["inner/text"]


def test_a_removed_version_loses_its_name_before_its_files(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    made = publish(store, "one")

    def stop(path: Path, **_: object) -> None:
        raise KeyboardInterrupt(str(path))

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", stop)
        with pytest.raises(KeyboardInterrupt, match=r"\.dying-"):
            store.remove(made.path)
    assert not made.path.exists()
    (left,) = store.leftovers()
    assert (left / "inner" / "text").is_file()
    store.remove(left)
    assert store.leftovers() == []


def test_a_recipe_that_is_followed_again_is_the_last_one(store: Store) -> None:
    for name in ("r1", "r2", "r3", "r1"):
        publish(store, name[0], name)
    assert [(f.recipe.settings["thing.name"], f.number) for f in store.followed("thing")] == [
        ("r1", 4),
        ("r3", 3),
        ("r2", 2),
    ]


def test_a_version_damaged_in_place_is_replaced_by_the_same_content_and_promoted(store: Store) -> None:
    made = publish(store, "one")
    (made.path / "inner" / "text").unlink()
    (made.path / "manifest.json").write_text("{", encoding="utf-8")
    again = publish(store, "one", "r2")
    assert again.version == made.version and store.current("thing") == again
    again.verify()
    assert store.leftovers() == []


def test_a_damaged_version_says_what_helps_it(store: Store) -> None:
    old = publish(store, "one")
    with pytest.raises(ArtifactError, match="run hcf refresh to build it again"):
        old.file("nothing")
    publish(store, "two", "r2")
    with pytest.raises(ArtifactError, match="not the current one and is not built again"):
        old.file("nothing")
    with pytest.raises(NotReady, match="not built again"):
        store.open("thing", "0" * 20)


def test_a_damaged_recipe_file_is_as_good_as_none(store: Store) -> None:
    publish(store, "one")
    next((store.home / "thing" / "recipes").iterdir()).write_text("{", encoding="utf-8")
    assert store.find("thing", recipe("r1")) is None
    assert publish(store, "one").version
