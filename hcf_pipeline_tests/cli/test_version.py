"""`hcf --version`."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from hcf_pipeline_tests.conftest import ROOT, Project, clean_environment, modules_loaded_by

CORE = ["dagster", "torch", "transformers", "peft", "trl", "datasets", "bitsandbytes", "faiss-cpu"]


def test_the_versions_of_what_it_stands_on_are_shown_in_any_folder(tmp_path: Path) -> None:
    project = Project(tmp_path)
    done = project.hcf("--version")
    assert done.returncode == 0 and done.stderr == ""
    lines = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    assert lines["python"] == platform.python_version()
    assert lines["hcf-pipeline"] == f"{version('hcf-pipeline')} ({ROOT / 'hcf_pipeline'})"
    found = json.loads(project.hcf("--version", "--json").stdout)
    assert (
        found["code"] == str(ROOT / "hcf_pipeline") and json.loads(project.hcf("--json", "--version").stdout) == found
    )
    for name in CORE:
        assert found["versions"][name] == version(name) == lines[name]


WITHOUT = """
import importlib.metadata, sys
found = importlib.metadata.version
def version(name):
    if name == "bitsandbytes":  # as on a Mac
        raise importlib.metadata.PackageNotFoundError(name)
    return found(name)
importlib.metadata.version = version
sys.argv = ["hcf", "--version"]
from hcf_pipeline.cli import main
main()
"""


def test_what_is_missing_is_said_to_be() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT], cwd=ROOT, env=clean_environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and "bitsandbytes not installed" in done.stdout.splitlines()


def test_json_before_a_command_is_refused_and_not_taken_for_that_commands(tmp_path: Path) -> None:
    done = Project(tmp_path).hcf("--json", "status", "--lang", "en")
    assert done.returncode == 2 and "belongs behind the command" in done.stderr


def test_showing_the_versions_loads_none_of_them() -> None:
    assert not modules_loaded_by("--version") & {
        "dagster",
        "torch",
        "numpy",
        "pandas",
        "transformers",
        "huggingface_hub",
    }
