"""The gate before an index: it holds every chunk, and each is found by its own vector."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hcf_pipeline.errors import ArtifactError
from hcf_pipeline.gates import index_finds_itself
from hcf_pipeline.rag.index.self_test import self_test
from hcf_pipeline.rag.index.sidecar import Sidecar
from hcf_pipeline.settings import ReleaseSettings
from hcf_pipeline.store import Artifact, Built, Recipe, Store
from hcf_pipeline_tests.rag.conftest import Built as Room


def published(store: Store, folder: Path, rows: int) -> Artifact:
    """The index of a folder, made from a table of so many chunks."""
    chunks = store.publish("chunk_table", lambda _: Built({"rows": rows}, str(rows)), Recipe(1))

    def build(out: Path) -> Built:
        shutil.copytree(folder, out, dirs_exist_ok=True)
        return Built({}, f"of-{rows}")

    return store.publish("faiss_index", build, Recipe(1, {}, {"chunk_table": chunks.version}))


def test_an_index_that_holds_every_chunk_is_let_in_and_one_that_lacks_some_is_not(built: Room, tmp_path: Path) -> None:
    store = Store(tmp_path)
    n = self_test(built.index).n_chunks
    verdict = index_finds_itself(published(store, built.index, n), store, ReleaseSettings())
    assert verdict.passed and verdict.figures == {"chunks": n, "tried": n, "not_found": 0}
    assert n == sum(one.n_rows for one in Sidecar.load(built.index).segments)
    for other in (n - 1, n + 1):
        assert not index_finds_itself(published(store, built.index, other), store, ReleaseSettings()).passed


def test_a_damaged_index_has_no_verdict(built: Room, tmp_path: Path) -> None:
    shutil.copytree(built.index, tmp_path / "index")
    file = max(
        (file for file in (tmp_path / "index").rglob("*") if file.is_file()), key=lambda file: file.stat().st_size
    )
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(ArtifactError):
        self_test(tmp_path / "index")
