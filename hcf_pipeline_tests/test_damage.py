"""Damaged inputs: no step builds on them, the automation heals them, and what was replaced is taken out of the way."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from hcf_pipeline.defs.home import dagster_instance
from hcf_pipeline.defs.publishing import DATA_VERSION, RECIPE, latest_version, store_of
from hcf_pipeline.defs.refresh import status
from hcf_pipeline.errors import ArtifactError, InputDamaged
from hcf_pipeline.settings.file import load_settings
from hcf_pipeline.store import Artifact, Built, Store
from hcf_pipeline_tests.conftest import Project
from hcf_pipeline_tests.test_automation import Daemon, daemon_of
from hcf_pipeline_tests.test_staleness import refreshed


def current(store: Store, asset: str) -> Artifact:
    artifact = store.current(asset)
    assert artifact is not None
    return artifact


def damage(artifact: Artifact, ending: str, n_bytes: int = 1) -> None:
    """Turns some bytes in the middle of a file; other names of the same file keep theirs."""
    file = next(artifact.path / name for name in sorted(artifact.files) if name.endswith(ending))
    data = bytearray(file.read_bytes())
    middle = len(data) // 2
    data[middle : middle + n_bytes] = bytes(byte ^ 255 for byte in data[middle : middle + n_bytes])
    file.unlink()
    file.write_bytes(data)


def failures(daemon: Daemon) -> str:
    (run,) = daemon.instance.get_runs(limit=1)
    return str(daemon.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE))


@pytest.fixture(autouse=True)
def _no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HCF_HOME", raising=False)


def test_a_step_builds_nothing_from_a_damaged_input_and_the_automation_builds_that_again(project: Project) -> None:
    with daemon_of(project) as daemon:
        store = store_of(daemon.settings)
        vectors, index = current(store, "chunk_embeddings"), current(store, "faiss_index")
        damage(vectors, ".vectors", 1500)
        assert not daemon.run(["faiss_index"])
        assert InputDamaged.__name__ in failures(daemon) and "chunk_embeddings is damaged" in failures(daemon)
        assert current(store, "faiss_index") == index
        state = status(daemon.settings).states["chunk_embeddings"]
        assert state.state == "stale" and not state.is_whole and "damaged" in state.why[0].en
        assert daemon.until_nothing_is_wanted() == ["chunk_embeddings"]
        current(store, "chunk_embeddings").verify()
        assert daemon.run(["faiss_index"]) and current(store, "faiss_index") == index


def test_what_failed_by_a_damaged_input_is_asked_for_again_when_that_was_built(project: Project) -> None:
    with daemon_of(project, HCF_CHUNKS__MAX_CHARS="300") as daemon:
        store = store_of(daemon.settings)
        damage(current(store, "turn_table"), ".parquet")
        ran = daemon.until_nothing_is_wanted()
        assert ran[:2] == ["turn_table", "chunk_table"] and "release" in ran
        assert ran.count("turn_table") == ran.count("chunk_table") == 1
        current(store, "turn_table").verify()


def test_a_damaged_version_that_comes_out_with_other_bytes_is_taken_out_of_the_way(project: Project) -> None:
    settings = load_settings(project.root / "hcf.toml", environ={})
    store = store_of(settings)
    honest = current(store, "faiss_index")
    made_elsewhere(project, honest)
    assert "release" in refreshed(project, train=False).ran
    other, release = current(store, "faiss_index"), current(store, "release")
    assert other.version != honest.version
    damage(other, "dense.faiss")
    assert "faiss_index" in refreshed(project, train=False).ran
    assert current(store, "faiss_index").version == honest.version  # what this machine makes of it
    assert not other.path.exists() and all(f.version != other.version for f in store.followed("faiss_index"))
    assert current(store, "release") != release
    assert refreshed(project, train=False).ran == ()
    with pytest.raises(Exception, match="not built again"):
        store.open("faiss_index", other.version)


def made_elsewhere(project: Project, honest: Artifact) -> None:
    """The same recipe gave other bytes, as on another processor."""
    settings = load_settings(project.root / "hcf.toml", environ={})
    store = store_of(settings)
    (followed,) = (one for one in store.followed("faiss_index")[:1] if one.version == honest.version)

    def build(folder: Path) -> Built:
        for name in honest.files:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(honest.path / name, folder / name)
        listing = next(folder / name for name in honest.files if name.endswith("index.json"))
        listing.write_text(listing.read_text(encoding="utf-8") + "\n", encoding="utf-8")
        return Built(honest.metadata)

    made = store.publish("faiss_index", build, followed.recipe)
    with dagster_instance(settings) as instance:
        tags = {DATA_VERSION: made.version} | {
            f"dagster/input_data_version/{name}": str(latest_version(instance, name)) for name in followed.recipe.inputs
        }
        event = dg.AssetMaterialization("faiss_index", tags=tags, metadata={RECIPE: followed.recipe.id})
        instance.report_runless_asset_event(event)


def test_a_mark_goes_when_the_file_is_whole_again(tmp_path: Path) -> None:
    from hcf_pipeline.store import ONCE, Recipe

    store = Store(tmp_path / "home")

    def build(folder: Path) -> Built:
        (folder / "text").write_text("whole", encoding="utf-8")
        return Built({})

    made = store.publish("thing", build, Recipe(1))
    store.verify(made, max_age_s=ONCE)
    made.file("text").write_text("wh0le", encoding="utf-8")
    store.verify(made, max_age_s=ONCE)  # once per version and process
    code = (
        "import sys; from pathlib import Path; from hcf_pipeline.store import Store; store = Store(Path(sys.argv[1]))\n"
    )
    code += "store.verify(store.current('thing'))"
    other = subprocess.run([sys.executable, "-c", code, str(store.home)], capture_output=True, text=True, check=False)
    assert "is damaged" in other.stderr and "hcf refresh" in other.stderr
    assert "text" in str(store.known_damage("thing", made.version))
    with pytest.raises(ArtifactError, match="damaged"):  # somebody found it damaged since
        store.verify(made, max_age_s=ONCE)
    made.file("text").write_text("whole", encoding="utf-8")
    store.verify(made, max_age_s=ONCE)
    assert store.known_damage("thing", made.version) is None
