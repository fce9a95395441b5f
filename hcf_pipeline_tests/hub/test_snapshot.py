"""Snapshots from a Hub on loopback and from folders: what is fetched, pinned, kept and refused."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from hcf_pipeline.errors import HubError, SettingsError
from hcf_pipeline.hub.snapshot import fetch_snapshot
from hcf_pipeline.settings import HubSettings
from hcf_pipeline_tests.hub.conftest import Calls, fetch
from hcf_pipeline_tests.hub.server import FakeHub, sharded_model, tiny_model

FETCHED = {"config.json", "tokenizer.json", "merges.txt", "chat_template.jinja", "model.safetensors"}


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def names(folder: str) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in Path(folder).rglob("*") if p.is_file()}


def test_a_branch_becomes_its_commit_and_only_what_runs_no_code_is_fetched(hub: FakeHub, call: Calls) -> None:
    model = hub.add("owner/tiny", tiny_model())
    got = call(fetch()).last
    assert got["revision"] == model.commit
    assert got["source"] == "hub"
    assert names(got["path"]) == FETCHED
    assert not any("onnx" in a.path or a.path.endswith((".bin", ".py")) for a in hub.asked)
    weights = load_file(Path(got["path"]) / "model.safetensors")["weight"]
    assert np.array_equal(weights, np.random.default_rng(0).standard_normal(64).astype(np.float32))


def test_a_pinned_commit_in_the_cache_costs_no_request(hub: FakeHub, call: Calls) -> None:
    model = hub.add("owner/tiny", tiny_model())
    first = call(fetch(revision=model.commit)).last
    hub.asked.clear()
    assert call(fetch(revision=model.commit)).last["path"] == first["path"]
    assert hub.asked == []


def test_a_branch_that_moved_gives_the_new_commit_and_fetches_only_what_changed(hub: FakeHub, call: Calls) -> None:
    hub.add("owner/tiny", tiny_model())
    call(fetch())
    hub.asked.clear()
    moved = hub.add("owner/tiny", tiny_model(seed=1))
    got = call(fetch()).last
    assert got["revision"] == moved.commit
    fetched = {a.path.rsplit("/", 1)[1] for a in hub.asked if a.method == "GET" and "/resolve/" in a.path}
    assert fetched == {"model.safetensors"}


def test_the_cache_can_be_elsewhere(hub: FakeHub, call: Calls, tmp_path: Path) -> None:
    hub.add("owner/tiny", tiny_model())
    assert call(fetch(cache=str(tmp_path / "elsewhere"))).last["path"].startswith(str(tmp_path / "elsewhere"))


def test_all_shards_are_fetched(hub: FakeHub, call: Calls) -> None:
    hub.add("owner/tiny", sharded_model(3))
    assert len(list(Path(call(fetch()).last["path"]).glob("model-*.safetensors"))) == 3


def test_a_snapshot_whose_shard_is_missing_is_refused(hub: FakeHub, call: Calls) -> None:
    files = sharded_model(2)
    del files["model-00002-of-00002.safetensors"]
    hub.add("owner/tiny", files)
    got = call(fetch()).last
    assert got["error"] == "HubError"
    assert "lacks the shard model-00002-of-00002.safetensors" in got["en"]


def test_a_model_without_safetensors_is_refused_before_anything_is_downloaded(hub: FakeHub, call: Calls) -> None:
    files = tiny_model()
    del files["model.safetensors"]
    hub.add("owner/tiny", files)
    got = call(fetch()).last
    assert got["error"] == "HubError"
    assert "no safetensors" in got["en"] and "safetensors/convert" in got["zh"]
    assert not any("/resolve/" in a.path for a in hub.asked)


def test_an_encoder_with_a_module_in_pickle_is_refused(hub: FakeHub, call: Calls) -> None:
    hub.add("owner/tiny", {**tiny_model(), "modules.json": b"[]", "2_Dense/pytorch_model.bin": b"a pickle"})
    got = call(fetch(kind="encoder")).last
    assert "no safetensors" in got["en"] and "[encoder] revision" in got["en"]


def test_an_encoder_brings_its_pooling_settings(hub: FakeHub, call: Calls) -> None:
    files = tiny_model()
    del files["pytorch_model.bin"]
    hub.add("owner/tiny", {**files, "modules.json": b"[]", "1_Pooling/config.json": b"{}"})
    assert names(call(fetch(kind="encoder")).last["path"]) == FETCHED | {"modules.json", "1_Pooling/config.json"}


def test_offline_uses_what_the_cache_holds_and_names_what_it_does_not(hub: FakeHub, call: Calls) -> None:
    hub.add("owner/tiny", tiny_model())
    online = call(fetch()).last
    hub.asked.clear()
    here, missing = call(fetch(), fetch("owner/other"), HF_HUB_OFFLINE="1", hosts=set()).results
    assert here["path"] == online["path"]
    assert missing["error"] == "HubError" and missing["exit"] == 3
    assert "HF_HUB_OFFLINE is set, and owner/other (main) is not" in missing["en"]
    assert "HF_HUB_OFFLINE" in missing["zh"]
    assert hub.asked == []


def test_offline_does_not_use_a_snapshot_that_is_cut_short(hub: FakeHub, call: Calls) -> None:
    hub.add("owner/tiny", tiny_model())
    weights = Path(call(fetch()).last["path"]) / "model.safetensors"
    weights.resolve().write_bytes(weights.read_bytes()[:-4])
    assert "HF_HUB_OFFLINE" in call(fetch(), HF_HUB_OFFLINE="1").last["en"]
    online = call(fetch()).last
    assert "cut short or damaged" in online["en"] and str(weights) in online["en"]


def test_a_cached_branch_serves_when_the_hub_is_down_and_says_so(hub: FakeHub, call: Calls) -> None:
    model = hub.add("owner/tiny", tiny_model())
    call(fetch())
    hub.status = 503
    done = call(fetch())
    assert done.last["revision"] == model.commit
    assert f"using owner/tiny as cached, commit {model.commit}" in done.output


def test_a_broken_connection_is_taken_up_again_at_its_byte(hub: FakeHub, call: Calls) -> None:
    files = tiny_model(3_000_000)  # 12 MB: huggingface_hub hands on 10 MB (10 × 2**20) at a time
    hub.add("owner/tiny", files)
    hub.cuts["model.safetensors"] = [11_000_000]
    got = call(fetch()).last
    digest = hashlib.sha256((Path(got["path"]) / "model.safetensors").read_bytes()).digest()
    assert digest == hashlib.sha256(files["model.safetensors"]).digest()
    ranges = [a.byte_range for a in hub.asked if a.method == "GET" and a.path.endswith("model.safetensors")]
    assert ranges == [None, f"bytes={10 * 2**20}-"]


def test_after_a_failed_download_the_next_call_fetches_only_what_is_missing(hub: FakeHub, call: Calls) -> None:
    hub.add("owner/tiny", tiny_model())
    hub.sizes["model.safetensors"] = 10_000  # longer than what comes
    broken = call(fetch()).last
    assert broken["error"] == "HubBusy" and "broke off" in broken["en"]
    hub.sizes.clear()
    hub.asked.clear()
    assert "path" in call(fetch()).last
    again = {a.path.rsplit("/", 1)[1] for a in hub.asked if a.method == "GET" and "/resolve/" in a.path}
    assert "model.safetensors" in again
    assert not list(Path(call(fetch()).last["path"]).parents[1].rglob("*.incomplete"))


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json"])
def test_a_file_with_another_checksum_is_removed_and_fetched_again(hub: FakeHub, call: Calls, file: str) -> None:
    hub.add("owner/tiny", tiny_model())
    hub.corrupt = {file}
    spoilt = call(fetch()).last
    assert spoilt["error"] == "HubError"
    assert file in spoilt["en"] and "checksum" in spoilt["en"]
    hub.corrupt = set()
    got = call(fetch()).last
    assert (Path(got["path"]) / file).read_bytes() == tiny_model()[file]


def test_a_folder_is_used_as_it_is_and_its_revision_follows_its_content(tmp_path: Path) -> None:
    folder = write(tmp_path / "model", tiny_model())
    first = fetch_snapshot(str(folder), "main", HubSettings(), "language model")
    assert (first.path, first.source, len(first.revision)) == (folder, "folder", 20)
    (folder / "notes.md").write_text("no part of the model", encoding="utf-8")
    assert fetch_snapshot(str(folder), "other", HubSettings(), "language model").revision == first.revision
    (folder / "config.json").write_bytes(b"{}")
    assert fetch_snapshot(str(folder), "main", HubSettings(), "language model").revision != first.revision


def test_a_folder_that_is_not_there_is_named_with_its_setting() -> None:
    with pytest.raises(SettingsError, match=r"\[encoder\] model names the folder .*/nowhere"):
        fetch_snapshot("./nowhere", "main", HubSettings(), "encoder")


def test_what_is_neither_a_folder_nor_a_hub_id_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"\[base\] model = .* is neither"):
        fetch_snapshot("owner/model/file", "main", HubSettings(), "language model")


@pytest.mark.parametrize(
    ("gone", "says"),
    [("model.safetensors", "no safetensors"), ("config.json", "no config.json")],
)
def test_a_folder_without_its_weights_or_config_is_refused(tmp_path: Path, gone: str, says: str) -> None:
    folder = write(tmp_path, tiny_model())
    (folder / gone).unlink()
    with pytest.raises(HubError, match=says):
        fetch_snapshot(str(folder), "main", HubSettings(), "language model")


def test_a_folder_with_a_damaged_index_or_weights_cut_short_is_refused(tmp_path: Path) -> None:
    sharded = write(tmp_path / "sharded", sharded_model())
    (sharded / "model.safetensors.index.json").write_text("not JSON", encoding="utf-8")
    short = write(tmp_path / "short", tiny_model())
    (short / "model.safetensors").write_bytes(tiny_model()["model.safetensors"][:-1])
    for folder in (sharded, short):
        with pytest.raises(HubError, match="cut short or damaged"):
            fetch_snapshot(str(folder), "main", HubSettings(), "language model")
