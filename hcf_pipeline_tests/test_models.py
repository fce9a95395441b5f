"""Models outside the store: every file is pinned by its hash, and a changed one never serves in silence."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from hcf_pipeline.errors import ArtifactError, NotReady
from hcf_pipeline.hub import models
from hcf_pipeline.hub.models import ModelSource, file_digests, listing_of, model_files, model_folder, require_unchanged
from hcf_pipeline.settings.file import load_settings
from hcf_pipeline.store import Artifact, Built, Recipe, Store

OLD = 1_600_000_000_000_000_000


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if every file had been there for long."""
    monkeypatch.setattr(models, "RACY_NS", -(10**18))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    model = tmp_path / "model"
    (model / "onnx").mkdir(parents=True)
    for name in ("model.safetensors", "config.json", "onnx/model.safetensors", ".hidden.json", "notes.md"):
        (model / name).write_text(f"bytes of {name}", encoding="utf-8")
        os.utime(model / name, ns=(OLD, OLD))
    return model


def pinned(store: Store, folder: Path) -> Artifact:
    source = ModelSource("folder", "mine", "", str(folder), file_digests(folder, store.home))

    def build(draft: Path) -> Built:
        source.save(draft)
        return Built({}, source.content)

    return store.publish("base_model", build, Recipe(1))


def test_the_files_that_a_model_is_loaded_from_are_the_ones_that_count(folder: Path) -> None:
    assert sorted(model_files(folder)) == ["config.json", "model.safetensors"]


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("change", ["written over", "same size and time", "gone", "one more"])
def test_changed_weights_are_not_served(tmp_path: Path, folder: Path, change: str) -> None:
    """Before, the checksum of a release covered model.json alone."""
    artifact = pinned(Store(tmp_path / "home"), folder)
    assert model_folder(artifact) == folder
    weights = folder / "model.safetensors"
    if change == "gone":
        weights.unlink()
    elif change == "one more":
        (folder / "more.safetensors").write_text("x", encoding="utf-8")
    else:
        weights.write_text(
            "BYTES of model.safetensors" if change == "same size and time" else "other", encoding="utf-8"
        )
    if change == "same size and time":
        os.utime(weights, ns=(OLD, OLD))  # the time of the change (ctime) cannot be set back
    with pytest.raises(ArtifactError, match=r"safetensors of mine is not the file that was pinned.*hcf refresh"):
        model_folder(artifact)


@pytest.mark.usefixtures("settled")
def test_only_what_may_have_changed_is_read_again(tmp_path: Path, folder: Path) -> None:
    home = tmp_path / "home"
    first = file_digests(folder, home)
    (record,) = (home / "cache" / "model-files").iterdir()
    seen = json.loads(record.read_text(encoding="utf-8"))
    seen["config.json"][3] = "taken from the record"
    record.write_text(json.dumps(seen), encoding="utf-8")
    assert file_digests(folder, home)["config.json"] == "taken from the record"
    assert file_digests(folder, home, deep=True) == first  # every byte is read, and the record mended
    assert file_digests(folder, home) == first


def test_a_file_that_was_just_written_is_not_remembered(tmp_path: Path, folder: Path) -> None:
    """It may be written again within a step of the clock, and have the same times."""
    (folder / "model.safetensors").write_text("new", encoding="utf-8")
    home = tmp_path / "home"
    digest = file_digests(folder, home)["model.safetensors"]
    (folder / "model.safetensors").write_text("old", encoding="utf-8")
    assert file_digests(folder, home)["model.safetensors"] != digest
    assert "model.safetensors" not in "".join(path.read_text(encoding="utf-8") for path in home.rglob("*.json"))


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("text", ["{", "[]", '{"config.json": 3}', '{"config.json": [1, 2]}'])
def test_a_damaged_record_costs_a_reading_and_nothing_else(tmp_path: Path, folder: Path, text: str) -> None:
    home = tmp_path / "home"
    first = file_digests(folder, home)
    (record,) = (home / "cache" / "model-files").iterdir()
    record.write_text(text, encoding="utf-8")
    assert file_digests(folder, home) == first


def test_a_model_that_is_gone_says_how_it_comes_back(tmp_path: Path) -> None:
    with pytest.raises(NotReady, match=r"no longer in .*hcf refresh --refit"):
        require_unchanged(ModelSource("hub", "a/b", "c", str(tmp_path / "gone"), {}), tmp_path)


def test_a_model_pinned_by_an_earlier_version_of_this_program_is_still_found(tmp_path: Path, folder: Path) -> None:
    old = {"source": "folder", "model": "mine", "revision": "r", "path": str(folder)}
    assert require_unchanged(ModelSource(**old), tmp_path) == folder  # type: ignore[arg-type]


def test_other_bytes_are_another_version(tmp_path: Path, folder: Path) -> None:
    first = pinned(Store(tmp_path / "home"), folder).version
    (folder / "model.safetensors").write_text("other", encoding="utf-8")
    assert pinned(Store(tmp_path / "home"), folder).version != first


@pytest.mark.parametrize("given", ["model", "~/model", "absolute"])
def test_a_recipe_knows_the_files_of_a_folder_however_it_is_named(
    tmp_path: Path, folder: Path, given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "hcf.toml").write_text("", encoding="utf-8")
    settings = load_settings(tmp_path / "hcf.toml", environ={})
    named = str(folder) if given == "absolute" else given
    before = listing_of(settings, named)
    assert list(before) == [f"files of {named}"]
    (folder / "config.json").write_text("{}", encoding="utf-8")
    assert listing_of(settings, named) != before
    assert listing_of(settings, "someone/else") == listing_of(settings, "") == {}
