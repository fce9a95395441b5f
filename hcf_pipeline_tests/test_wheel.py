"""The wheel, built and installed as a user would have it: what the clone has besides the package is not there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
from pathlib import Path

import pytest

from hcf_pipeline_tests.cli.test_ui import free_port
from hcf_pipeline_tests.conftest import ROOT, SAMPLE, SMALL, Finished, clean_environment
from hcf_pipeline_tests.test_dagster_dev import ENV, assert_all_fresh, assets, dagster, homes, served

SOURCES = ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE", "hcf_pipeline", "data/sample")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("build")
    for name in SOURCES:
        source, copy = ROOT / name, folder / "clone" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(source, copy, ignore=ignored) if source.is_dir() else shutil.copyfile(source, copy)
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "-w",
        str(folder),
    ]
    done = subprocess.run([*command, str(folder / "clone")], capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    return next(folder.glob("hcf_pipeline-*.whl"))


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of an environment that has the wheel of its own, and all else from this one."""
    environment = tmp_path_factory.mktemp("environment")
    venv.create(environment, with_pip=False, symlinks=os.name != "nt")
    python = environment / ("Scripts" if os.name == "nt" else "bin") / "python"
    own = next(environment.glob("[Ll]ib/**/site-packages"))
    (own / "the_rest.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index", str(wheel)]
    # pip would find the editable installation there
    done = subprocess.run([*command, "--ignore-installed"], capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    return python


def small_settings() -> dict[str, str]:
    """SMALL but for the corpus, as variables."""
    tables = tomllib.loads(SMALL)
    return {
        f"HCF_{section}__{key}".upper(): str(value)
        for section, values in tables.items()
        if section != "corpus"
        for key, value in values.items()
    }


def run(python: Path, cwd: Path, *arguments: str, **environ: str) -> str:
    done = subprocess.run(
        [str(python.with_name("hcf")), "--lang", "en", *arguments],
        cwd=cwd,
        env={**clean_environment(PYTHONPATH=""), **environ},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_holds_the_sample_as_it_is_in_the_clone(python: Path, tmp_path: Path) -> None:
    installed = Path(json.loads(run(python, tmp_path, "--version", "--json"))["code"])
    assert installed.is_relative_to(python.parents[1])
    there = {str(file.relative_to(SAMPLE)): file.read_bytes() for file in SAMPLE.rglob("*") if file.is_file()}
    copy = installed / "sample"
    assert {str(file.relative_to(copy)): file.read_bytes() for file in copy.rglob("*") if file.is_file()} == there
    assert not (ROOT / "hcf_pipeline" / "sample").exists()


def test_demo_answers_in_an_empty_folder_and_its_release_goes_on_answering(
    python: Path, finished: Finished, tmp_path: Path
) -> None:
    """What a demo makes is there already, so that it takes seconds."""
    shutil.copytree(finished.project.home, tmp_path / ".hcf-demo", symlinks=True)
    said = run(python, tmp_path, "demo", **small_settings())
    assert "0 assets made" in said and said.count("Q: ") == 3 and "江照野" in said
    assert "hcf chat --home .hcf-demo" in said and "hcf init FOLDER" in said
    assert "2024-" in run(python, tmp_path, "--home", ".hcf-demo", "retrieve", "膝盖")
    assert {file.name for file in tmp_path.iterdir()} == {".hcf-demo"}


@pytest.mark.slow
def test_init_refresh_ui_and_a_bare_dagster_dev_work_in_a_folder_of_ones_own(
    python: Path, finished: Finished, tmp_path: Path
) -> None:
    shutil.copytree(finished.project.corpus, tmp_path / "corpus")
    run(python, tmp_path, "init", "corpus")
    assert homes(tmp_path) == {str(tmp_path / ".hcf")} and (tmp_path / ".hcf").is_dir()
    (tmp_path / "hcf.toml").write_text(SMALL, encoding="utf-8")
    shutil.rmtree(tmp_path / ".hcf")
    shutil.copytree(finished.project.home, tmp_path / ".hcf", symlinks=True)
    assert json.loads(run(python, tmp_path, "refresh", "--json"))["ran"] == []
    port = free_port()
    with served([str(python), *dagster(port)[1:]], tmp_path, port, PYTHONPATH="") as url:
        assert_all_fresh(assets(url))
    port = free_port()
    with served([str(python.with_name("hcf")), "ui", "--port", str(port)], tmp_path, port, PYTHONPATH="") as url:
        assert_all_fresh(assets(url))
    assert (tmp_path / ENV).is_file()
