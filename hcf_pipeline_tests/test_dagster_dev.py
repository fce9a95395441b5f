"""A bare `dagster dev` in the project's folder shows what `hcf refresh` has built; whose .env it goes by."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hcf_pipeline.asset_names import MADE
from hcf_pipeline.defs.dagster_dev import ENV, HEADER, env_text, env_values, set_up_dagster_dev
from hcf_pipeline.settings.file import load_settings
from hcf_pipeline_tests.cli.test_ui import answers, free_port
from hcf_pipeline_tests.conftest import Project, clean_environment

ASSETS = "{ assetNodes { assetKey { path } staleStatus assetMaterializations(limit: 1) { timestamp } } }"


def folder(root: Path, text: str = "") -> Path:
    root.mkdir(parents=True, exist_ok=True)
    (root / "hcf.toml").write_text(text, encoding="utf-8")
    return root


def set_up(root: Path, home: Path | None = None, **environ: str) -> str | None:
    advice = set_up_dagster_dev(load_settings(root / "hcf.toml", home=home, environ=environ))
    return advice and advice["en"]


def homes(root: Path) -> set[str]:
    return set(env_values(root / ENV).values())


def test_the_home_that_hcf_toml_names_is_written_down_once(tmp_path: Path) -> None:
    root = folder(tmp_path / "我的 project")
    assert set_up(root) is None
    assert set(env_values(root / ENV)) == {"DAGSTER_HOME", "HCF_HOME"}
    assert homes(root) == {str(root / ".hcf")}
    before = (root / ENV).stat().st_mtime_ns
    set_up(root)
    assert (root / ENV).stat().st_mtime_ns == before
    folder(root, 'home = "/elsewhere"')
    set_up(root)
    assert homes(root) == {"/elsewhere"}


def test_after_a_move_the_new_place_is_written_down(tmp_path: Path) -> None:
    set_up(folder(tmp_path / "old"))
    moved = (tmp_path / "old").rename(tmp_path / "new")
    set_up(moved)
    assert homes(moved) == {str(moved / ".hcf")}


@pytest.mark.parametrize("text", ["HF_TOKEN=x\n", "", HEADER.replace("Written", "Kept") + "A=b\n"])
def test_a_users_own_env_is_left_alone_and_what_to_add_is_said(tmp_path: Path, text: str) -> None:
    root = folder(tmp_path)
    (root / ENV).write_text(text, encoding="utf-8")
    said = set_up(root)
    assert said and f"add the line DAGSTER_HOME={root / '.hcf'}" in said
    assert (root / ENV).read_text(encoding="utf-8") == text


def test_a_users_own_env_that_names_a_home_is_no_reason_for_a_word(tmp_path: Path) -> None:
    root = folder(tmp_path)
    (root / ENV).write_text("export DAGSTER_HOME=/mine\n", encoding="utf-8")
    assert set_up(root) is None
    assert (root / ENV).read_text(encoding="utf-8") == "export DAGSTER_HOME=/mine\n"


def test_a_home_that_is_given_for_once_is_not_written_down(tmp_path: Path) -> None:
    root = folder(tmp_path / "p")
    set_up(root, home=tmp_path / "trial")
    set_up(root, HCF_HOME=str(tmp_path / "trial"))
    (root / "other.toml").write_text("", encoding="utf-8")
    set_up_dagster_dev(load_settings(root / "other.toml", environ={}))
    assert not (root / ENV).exists()


def test_a_users_own_definitions_stay_what_dagster_loads(tmp_path: Path) -> None:
    for name, text, written in (
        ("workspace", None, True),
        ("plain", "[tool.ruff]\nline-length = 100\n", True),
        ("theirs", '[tool.dagster]\nmodule_name = "mine"\n', False),
        ("dg", '[tool.dg]\ndirectory_type = "project"\n', False),
    ):
        root = folder(tmp_path / name)
        if text:
            (root / "pyproject.toml").write_text(text, encoding="utf-8")
        set_up(root)
        assert (root / "workspace.yaml").exists() is written, name
    (tmp_path / "workspace" / "workspace.yaml").write_text("load_from: []\n", encoding="utf-8")
    set_up(tmp_path / "workspace")
    assert (tmp_path / "workspace" / "workspace.yaml").read_text(encoding="utf-8") == "load_from: []\n"


def test_where_nothing_can_be_written_nothing_is_said(tmp_path: Path) -> None:
    root = folder(tmp_path)
    (root / ENV).mkdir()
    assert set_up(root) is None


@given(st.text(st.characters(exclude_characters="\0"), min_size=1).map(lambda name: Path("/") / name))
def test_dagster_reads_the_home_that_was_meant_or_none_is_written(home: Path) -> None:
    import io

    from dotenv import dotenv_values

    text = env_text(home)
    assert text is None or set(dotenv_values(stream=io.StringIO(text)).values()) == {str(home)}
    if text is None:
        assert any(odd in str(home) for odd in ("${", "\r", "\n")) or not str(home).isprintable()


@contextmanager
def served(command: list[str], cwd: Path, port: int, **environ: str) -> Iterator[str]:
    """The address of a real Dagster; it ends with the block."""
    with subprocess.Popen(
        command,
        cwd=cwd,
        env=clean_environment(**environ),
        stdout=subprocess.DEVNULL,
        stderr=(cwd / "stderr").open("wb"),
        start_new_session=True,
    ) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            assert answers(url), (cwd / "stderr").read_text(encoding="utf-8")
            yield url
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


def assets(url: str) -> dict[str, Any]:
    """Every asset of the graph by name, once the code is loaded."""
    for _ in range(240):
        request = urllib.request.Request(
            f"{url}/graphql", json.dumps({"query": ASSETS}).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            nodes = json.load(answer)["data"]["assetNodes"]
        if nodes:
            return {node["assetKey"]["path"][-1]: node for node in nodes}
        time.sleep(0.25)
    return {}


def assert_all_fresh(found: dict[str, Any]) -> None:
    assert set(MADE) <= set(found)
    made = {name: found[name] for name in MADE}
    assert {name: node["staleStatus"] for name, node in made.items()} == dict.fromkeys(MADE, "FRESH")
    assert all(node["assetMaterializations"] for node in made.values())


def dagster(port: int) -> list[str]:
    return [sys.executable, "-m", "dagster", "dev", "--port", str(port)]


def test_a_bare_dagster_dev_shows_every_asset_fresh(project: Project) -> None:
    """Whatever HCF_HOME and DAGSTER_HOME say there: storage and artifacts are of one home, the project's."""
    assert project.json("refresh")["ran"] == []
    port = free_port()
    elsewhere = str(project.root.parent)
    with served(dagster(port), project.root, port, HCF_HOME=elsewhere, DAGSTER_HOME=elsewhere) as url:
        assert_all_fresh(assets(url))


@pytest.mark.slow
def test_hcf_ui_shows_the_home_that_it_was_given_whatever_a_env_says(project: Project, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.move(project.home, other)
    (project.root / ENV).write_text(f"DAGSTER_HOME={project.home}\nHCF_SERVE__PORT=1\n", encoding="utf-8")
    port = free_port()
    command = [str(Path(sys.executable).with_name("hcf")), "--home", str(other), "ui", "--port", str(port)]
    with served(command, project.root, port) as url:
        assert_all_fresh(assets(url))
    assert not project.home.exists()
