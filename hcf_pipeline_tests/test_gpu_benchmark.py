"""benchmarks/gpu.py, on a CPU and as bare as the machine that it is for."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "benchmarks" / "gpu.py"
BARE = """
from importlib.machinery import PathFinder

find = PathFinder.find_spec
MISSING = {"dagster", "dagster_pipes", "dagster_shared", "dagster_webserver", "faiss", "typer"}

def known(name, *where):
    return None if name.partition(".")[0] in MISSING else find(name, *where)

PathFinder.find_spec = staticmethod(known)
"""
WHAT = [
    ("machine", "cpu"),
    ("random weights", "made on the device, written in shards"),
    ("load the base", "NF4, double quantization"),
    ("load the base", "unquantized"),
    *(("train, 160 tokens", f"{name}, batches of 2") for name in ("this trainer", "stock TRL", "plain Trainer")),
    ("attention kernels", "samples of one length"),
    ("attention kernels", "a padded batch"),
    ("resume after kill -9", "2 layers"),
    ("generate", "adapter merged, unquantized"),
    ("generate", "adapter beside it, unquantized"),
    ("generate", "adapter beside it, NF4"),
    *(("train, 320 tokens", f"{name}, batches of 2") for name in ("this trainer", "stock TRL", "plain Trainer")),
]


def rows(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]


@pytest.mark.slow
def test_the_whole_table_comes_out_small_where_neither_dagster_nor_faiss_nor_typer_is(tmp_path: Path) -> None:
    """So what trains, loads and generates imports none of them; the killed training, in its own process, neither."""
    (tmp_path / "sitecustomize.py").write_text(BARE, encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)]), "OMP_NUM_THREADS": "1"}
    for module in ("dagster", "faiss", "typer"):
        tried = subprocess.run(
            [sys.executable, "-c", f"import {module}"], env=environment, capture_output=True, check=False
        )
        assert b"ModuleNotFoundError" in tried.stderr
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--small", "--out", str(tmp_path / "gpu.md")],
        env=environment, capture_output=True, text=True, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "gpu.md").read_text(encoding="utf-8") == done.stdout
    found = rows(done.stdout)
    assert [(what, how) for what, how, *_ in found] == WHAT
    figures = {(what, how): text for what, how, text, _ in found}
    assert not [line for line in found if any(sign in line[2] for sign in ("Error", "left out", "broken off"))]
    assert figures["resume after kill -9", "2 layers"] == "resumed from step 3 of 6: the very same bytes"
    assert "chosen: " in figures["attention kernels", "a padded batch"]


@pytest.fixture(scope="module")
def table_module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("benchmarks_table", SCRIPT.with_name("table.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_a_step_that_fails_leaves_a_line_and_the_next_one_begins(table_module: ModuleType, tmp_path: Path) -> None:
    import torch

    out = tmp_path / "table.md"
    table = table_module.Table(out, time.monotonic() + 60)

    def too_large() -> str:
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried | to allocate 80 GiB")

    def missing() -> str:
        raise ModuleNotFoundError("No module named 'trl'", name="trl")

    def too_slow() -> str:
        try:
            time.sleep(60)
        except Exception:  # what a library may do
            return "never"
        return "never"

    written: list[int] = []

    def good() -> str:
        written.append(len(out.read_text(encoding="utf-8").splitlines()))
        return "7 tokens/s"

    table.head()
    for what, measure in (("a", too_large), ("b", missing), ("c", too_slow), ("d", good)):
        table.step(what, "how", 1.5, measure)
    table.ends = time.monotonic()
    table.step("e", "how", 60, good)
    assert written == [5]  # the lines before were out by then
    assert [(what, figures) for what, _, figures, _ in rows(out.read_text(encoding="utf-8"))] == [
        ("a", "OutOfMemoryError: CUDA out of memory. Tried / to allocate 80 GiB"),
        ("b", "left out: trl is missing"),
        ("c", "broken off after its 2 s"),
        ("d", "7 tokens/s"),
        ("e", "left out: no time left"),
    ]
