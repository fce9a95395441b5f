"""What may go from a home, and what must stay."""

from __future__ import annotations

import dataclasses
import os
import shutil
import time
from pathlib import Path

import pytest

from hcf_pipeline.chat.hold import hold_on
from hcf_pipeline.chat.release import ADAPTER, BASE, ENCODER, INDEX, POINTER, TURNS, Release, current_release, pin
from hcf_pipeline.chat.releases import find_release, releases, roll_back, serving_damage
from hcf_pipeline.errors import ArtifactError, NotReady
from hcf_pipeline.gc import sweep
from hcf_pipeline.rag.encode.cosines import NO_SCALE
from hcf_pipeline.rag.index import sidecar
from hcf_pipeline.rag.index.sidecar import Sidecar
from hcf_pipeline.store import Artifact, Built, Recipe, Store
from hcf_pipeline.store.artifact import manifest_text


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "home")


def publish(store: Store, asset: str, text: str, **inputs: str) -> Artifact:
    def build(folder: Path) -> Built:
        (folder / "text").write_text(text, encoding="utf-8")
        return Built({})

    return store.publish(asset, build, Recipe(1, {"text": text}, inputs))


def empty_index(store: Store, text: str, **inputs: str) -> Artifact:
    def build(folder: Path) -> Built:
        Sidecar(text, 2, NO_SCALE, ()).save(folder)
        return Built({})

    return store.publish("faiss_index", build, Recipe(1, {"text": text}, inputs))


def release(store: Store, text: str) -> Artifact:
    """A release of an adapter and an index made for it, each with its ancestors."""
    turns = publish(store, "turn_table", f"turns {text}")
    index = empty_index(store, f"index {text}", turn_table=turns.version)
    base = publish(store, "base_model", "one base")
    adapter = publish(store, "lora_adapter", f"adapter {text}", base_model=base.version)
    made = Release(
        parts={ADAPTER: pin(adapter), BASE: pin(base), INDEX: pin(index), ENCODER: pin(base), TURNS: pin(turns)},
        corpora={ADAPTER: "c", INDEX: "c"},
        persona="江",
        host_labels=("江",),
        toy=True,
        serving={},
    )

    def build(folder: Path) -> Built:
        made.save(folder)
        return Built({}, made.id)

    inputs = {"lora_adapter": adapter.version, "faiss_index": index.version}
    return store.publish("release", build, Recipe(1, {}, inputs))


def there(store: Store) -> set[tuple[str, str]]:
    return {(asset, version) for asset in store.assets() for version in store.versions(asset)}


def test_the_last_releases_stay_with_all_that_they_were_made_from(store: Store) -> None:
    first, second, third = (release(store, text) for text in "abc")
    publish(store, "chunk_table", "old")
    publish(store, "chunk_table", "new")
    sweep(store, keep=2)
    assert [version for asset, version in sorted(there(store)) if asset == "release"] == sorted(
        [second.version, third.version]
    )
    assert len(store.versions("turn_table")) == len(store.versions("lora_adapter")) == 2
    assert len(store.versions("base_model")) == len(store.versions("chunk_table")) == 1
    assert all(store.open(asset, version).verify() is None for asset, version in there(store))
    assert sweep(store, keep=2).gone == ()
    assert {store.follow("release", f.recipe.id) is not None for f in store.followed("release")} == {True}
    assert not store.find("release", Recipe(1, {}, dict(first.inputs)))


def test_nothing_goes_that_serves_after_a_rollback(store: Store) -> None:
    first, *_ = (release(store, text) for text in "abc")
    roll_back(store, first.version)
    sweep(store, keep=1)
    serving = store.current("release")
    assert serving == first and serving.file(POINTER).is_file()
    assert [listed.serves for listed in releases(store)] == [False, True]


def test_a_dry_look_counts_what_would_become_free_and_removes_nothing(store: Store) -> None:
    for text in "ab":
        release(store, text)
    before = there(store)
    found = sweep(store, keep=1, dry_run=True).gone
    assert there(store) == before
    expected = sum(len(f"{kind} a") for kind in ("turns", "index", "adapter"))
    assert sum(one.n_bytes for one in found) > expected


def test_files_that_are_shared_with_what_stays_free_nothing(store: Store) -> None:
    old = publish(store, "turn_table", "the same bytes")

    def build(folder: Path) -> Built:
        os.link(old.file("text"), folder / "text")
        (folder / "more").write_text("more", encoding="utf-8")
        return Built({})

    store.publish("turn_table", build, Recipe(2), like=old)
    (gone,) = (one for one in sweep(store, keep=1, dry_run=True).gone if one.path == old.path)
    assert gone.n_bytes == (old.path / "manifest.json").stat().st_size


def test_a_file_that_two_versions_share_is_counted_once_when_both_go(store: Store) -> None:
    first = publish(store, "turn_table", "x" * 5000)

    def build(folder: Path) -> Built:
        os.link(first.file("text"), folder / "text")
        (folder / "more").write_text("more", encoding="utf-8")
        return Built({})

    second = store.publish("turn_table", build, Recipe(2), like=first)
    publish(store, "turn_table", "new")
    gone = {one.path: one.n_bytes for one in sweep(store, keep=1).gone}
    assert 5000 < gone[first.path] + gone[second.path] < 7000 and abs(gone[first.path] - gone[second.path]) < 1000


def test_before_the_first_release_the_way_to_one_is_told(store: Store) -> None:
    with pytest.raises(NotReady, match=r"Nothing is released.*hcf refresh"):
        current_release(store)
    made = release(store, "a")
    assert current_release(store).id == made.version


def test_going_back_takes_the_release_before_and_says_when_there_is_none(store: Store) -> None:
    first, second = release(store, "a"), release(store, "b")
    assert roll_back(store).id == first.version and store.current("release") == first
    with pytest.raises(NotReady, match="no earlier release"):
        roll_back(store)
    with pytest.raises(NotReady, match="no release that begins with zzz"):
        roll_back(store, "zzz")
    assert roll_back(store, second.version[:6]).id == second.version


def test_going_back_holds_what_differs_from_now_on_and_the_way_forward_ends_that(store: Store) -> None:
    first, second = release(store, "a"), release(store, "b")
    roll_back(store)
    held = hold_on(store)
    assert held is not None and held.everything and held.rejected == second.version
    roll_back(store, first.version)  # to where one is already: nothing is rejected, what was held stays held
    assert hold_on(store) == held
    roll_back(store, second.version)
    assert hold_on(store) is None
    roll_back(store, what="adapter")
    held = hold_on(store)
    assert held is not None and dict(held.versions) == {"lora_adapter": first.inputs["lora_adapter"]}


def test_a_release_that_cannot_be_read_does_not_hide_those_before_it(store: Store) -> None:
    first, second, third, fourth = (release(store, text) for text in "abcd")
    fourth.file(POINTER).write_text("?", encoding="utf-8")
    (third.path / "manifest.json").write_text("?", encoding="utf-8")
    assert [listed.id for listed in releases(store)] == [second.version, first.version]
    assert roll_back(store).id == second.version  # the one that serves is not among them
    assert {listed.made for listed in releases(store)} == {first.created, second.created}


def test_two_releases_that_begin_alike_are_told_apart_by_a_longer_beginning(store: Store) -> None:
    made = [release(store, text) for text in "abc"]
    with pytest.raises(NotReady, match="more than one release"):
        find_release(store, "")
    assert find_release(store, made[0].version).id == made[0].version


@pytest.mark.parametrize("how", ["gone", "manifest unreadable", "known to be damaged", "built again otherwise"])
def test_a_release_names_its_parts_that_are_lost_and_the_way_back_passes_it_over(store: Store, how: str) -> None:
    first, second, _ = (release(store, text) for text in "abc")
    adapter = store.open("lora_adapter", str(second.inputs["lora_adapter"]))
    manifest = adapter.path / "manifest.json"
    if how == "gone":
        shutil.rmtree(adapter.path)
    elif how == "manifest unreadable":
        manifest.write_text("?", encoding="utf-8")
    elif how == "known to be damaged":
        adapter.file("text").write_text("flipped", encoding="utf-8")
        with pytest.raises(ArtifactError):
            store.verify(adapter)
    else:
        manifest.write_text(manifest_text({"text": "0" * 64}, {}, {}), encoding="utf-8")
    assert [listed.lost for listed in releases(store)] == [(), ("lora_adapter",), ()]
    with pytest.raises(ArtifactError, match="cannot serve any more: its lora_adapter"):
        roll_back(store, second.version)
    assert roll_back(store).id == first.version


def test_where_all_earlier_releases_are_no_longer_whole_their_number_is_told(store: Store) -> None:
    first, second, third = (release(store, text) for text in "abc")
    for one in (first, second):
        shutil.rmtree(
            store.open("turn_table", store.open("faiss_index", one.inputs["faiss_index"]).inputs["turn_table"]).path
        )
    with pytest.raises(NotReady, match=r"no earlier release to go back to \(2 are no longer whole\)"):
        roll_back(store)
    assert store.current("release") == third and hold_on(store) is None


def test_damage_in_what_only_an_earlier_release_uses_does_not_keep_the_later_one_from_serving(store: Store) -> None:
    assert serving_damage(store) is None  # before the first release
    first = release(store, "a")
    adapter = store.open("lora_adapter", str(first.inputs["lora_adapter"]))
    release(store, "b")
    adapter.file("text").write_text("flipped", encoding="utf-8")
    assert serving_damage(store) is None


@pytest.mark.parametrize("part", ["lora_adapter", "base_model", "faiss_index", "turn_table", "release"])
def test_damage_in_any_part_of_what_serves_is_found(store: Store, part: str) -> None:
    second = release(store, "b")
    hurt = second if part == "release" else store.current(part)
    assert hurt is not None
    file = hurt.path / next(iter(hurt.files))
    file.write_bytes(file.read_bytes() + b" ")
    found = serving_damage(store)
    assert isinstance(found, ArtifactError) and part in str(found)


def test_a_release_of_another_version_of_the_program_is_no_way_back(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    release(store, "a")
    monkeypatch.setattr(sidecar, "FORMAT", sidecar.FORMAT + 1)
    second = release(store, "b")
    with pytest.raises(ArtifactError, match=f"another version of this program.*reads {sidecar.FORMAT}.*hcf refresh"):
        roll_back(store)
    assert store.current("release") == second and serving_damage(store) is None
    monkeypatch.setattr(sidecar, "FORMAT", sidecar.FORMAT + 1)
    assert "another version" in str(serving_damage(store))


def test_a_release_whose_recipe_was_lost_is_still_listed_and_kept(store: Store) -> None:
    first, second = release(store, "a"), release(store, "b")
    (lost,) = (f for f in store.followed("release") if f.version == first.version)
    (store.home / "release" / "recipes" / f"{lost.recipe.id}.json").write_text("?", encoding="utf-8")
    assert [listed.id for listed in releases(store)] == [second.version, first.version]
    sweep(store, keep=2)
    assert roll_back(store).id == first.version


@pytest.mark.parametrize("hurt", ["release.json", "manifest.json", "current"])
def test_nothing_but_leftovers_goes_while_something_is_damaged(store: Store, hurt: str) -> None:
    for text in "abc":
        serving = release(store, text)
    before = there(store)
    file = store.home / "release" / "current" if hurt == "current" else serving.path / hurt
    file.write_text("?", encoding="utf-8")
    (store.home / "turn_table" / ".draft-999999999-x").mkdir()
    sweep(store, keep=1)
    assert there(store) == before and not list(store.home.rglob(".draft*"))


def test_a_release_whose_parts_are_gone_or_damaged_is_no_way_back(store: Store) -> None:
    first, second = release(store, "a"), release(store, "b")
    adapter = store.open("lora_adapter", str(first.inputs["lora_adapter"]))
    adapter.file("text").write_text("flipped", encoding="utf-8")
    with pytest.raises(Exception, match="damaged"):
        roll_back(store)
    assert store.current("release") == second


def test_a_kept_release_keeps_what_its_parts_were_made_from_down_to_the_corpus(store: Store) -> None:
    """The vectors and the chunks of an index are pinned by nobody: the index was made from them."""
    kept: dict[str, set[str]] = {}
    for text in "abc":
        raw = publish(store, "raw_transcripts", f"raw {text}")
        turns = publish(store, "turn_table", f"turns {text}", raw_transcripts=raw.version)
        chunks = publish(store, "chunk_table", f"chunks {text}", turn_table=turns.version)
        release(store, text)
        index = empty_index(store, f"own {text}", chunk_table=chunks.version)
        adapter, encoder = publish(store, "lora_adapter", f"own {text}"), publish(store, "encoder_model", text)
        made = Release.load(store.current("release").file(POINTER))  # type: ignore[union-attr]
        parts = {INDEX: pin(index), ADAPTER: pin(adapter), ENCODER: pin(encoder)}
        own = dataclasses.replace(made, parts={**made.parts, **parts})

        def build(folder: Path, own: Release = own) -> Built:
            own.save(folder)
            return Built({}, own.id)

        inputs = {"lora_adapter": adapter.version, "faiss_index": index.version}
        store.publish("release", build, Recipe(2, {}, inputs))
        for one in (raw, turns, chunks, index, encoder):  # that which is pinned alone is the encoder
            kept.setdefault(one.asset, set()).add(one.version)
    sweep(store, keep=6)
    for asset, versions in kept.items():
        assert versions <= set(store.versions(asset)), asset
    sweep(store, keep=1)
    assert len(store.versions("chunk_table")) == len(store.versions("raw_transcripts")) == 1


def test_what_the_current_version_would_be_made_from_today_stays_too(store: Store) -> None:
    """A version that its policy keeps was made from older inputs than those it was kept for."""
    old, new = publish(store, "parsed_pairs", "old"), publish(store, "parsed_pairs", "new")
    base = publish(store, "base_model", "fitted", parsed_pairs=old.version)
    store.promote("base_model", base.version, Recipe(1, {"text": "fitted"}, {"parsed_pairs": new.version}))
    publish(store, "parsed_pairs", "newest")
    sweep(store, keep=1)
    assert len(store.versions("parsed_pairs")) == 3
    assert len(store.followed("base_model")) == 2


def test_a_damaged_version_that_was_replaced_goes_though_a_release_names_it_and_the_rest_is_kept(store: Store) -> None:
    first = release(store, "a")
    adapter = store.open("lora_adapter", str(first.inputs["lora_adapter"]))
    release(store, "b")
    adapter.file("text").write_text("flipped", encoding="utf-8")
    assert sweep(store, keep=5).gone == ()  # nobody knows yet
    with pytest.raises(ArtifactError, match="not built again"):
        store.verify(adapter)
    looked = {one.path for one in sweep(store, keep=5, dry_run=True).gone}
    recipe = store.home / "lora_adapter" / "recipes"
    assert adapter.path in looked and {path.parent for path in looked} == {adapter.path.parent, recipe}
    sweep(store, keep=5)
    assert not adapter.path.exists() and all(f.version != adapter.version for f in store.followed("lora_adapter"))
    assert set(store.versions("release")) == {first.version, store.current("release").version}  # type: ignore[union-attr]
    assert len(store.versions("faiss_index")) == 2


@pytest.mark.parametrize("hurt", ["manifest.json", "text"])
def test_a_damaged_version_that_serves_is_left_for_the_refresh_that_heals_it(store: Store, hurt: str) -> None:
    made = release(store, "a")
    adapter = store.open("lora_adapter", str(made.inputs["lora_adapter"]))
    (adapter.path / hurt).write_text("?", encoding="utf-8")
    with pytest.raises(ArtifactError, match="run hcf refresh"):
        store.verify(store.open("lora_adapter", adapter.version))
    sweep(store, keep=1)
    assert adapter.path.exists() and store.find("lora_adapter", Recipe(1)) is None


def test_an_unreadable_old_version_does_not_stop_the_tidying_for_ever(store: Store) -> None:
    first = release(store, "a")
    release(store, "b")
    adapter = store.home / "lora_adapter" / str(first.inputs["lora_adapter"])
    (adapter / "manifest.json").write_text("?", encoding="utf-8")
    publish(store, "chunk_table", "old")
    publish(store, "chunk_table", "new")
    sweep(store, keep=5)
    assert not adapter.exists() and len(store.versions("chunk_table")) == 1


def test_an_interrupted_training_is_kept_for_a_week(store: Store) -> None:
    publish(store, "lora_adapter", "one")
    work = store.home / "lora_adapter" / ".work-r"
    work.mkdir()
    for days, stays in ((6.9, True), (7.1, False)):
        os.utime(work, (time.time() - 86_400 * days,) * 2)
        sweep(store, keep=1)
        assert work.exists() == stays
