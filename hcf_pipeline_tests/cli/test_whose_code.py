"""Copied and moved clones: whose code runs is noticed before it does anything."""

from __future__ import annotations

import shutil
import subprocess
import sysconfig
import venv
from pathlib import Path

import pytest

from hcf_pipeline_tests.conftest import ROOT, clean_environment

SCRIPT = """#!{python}
import sys
from hcf_pipeline.cli import main
if __name__ == '__main__':
    sys.exit(main())
"""
FINDER = """
import sys
from importlib.util import spec_from_file_location
class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "hcf_pipeline":
            return spec_from_file_location(name, {package!r} + "/__init__.py", submodule_search_locations=[{package!r}])
sys.meta_path.append(Finder)
"""


def install(environment: Path, clone: Path) -> Path:
    """An environment as hcf.py makes it, the libraries shared with this one; returns its `hcf`."""
    venv.create(environment, symlinks=True)
    packages = next(environment.glob("lib/python*/site-packages"))
    (packages / "editable_finder.py").write_text(FINDER.format(package=str(clone / "hcf_pipeline")), encoding="utf-8")
    (packages / "editable.pth").write_text("import editable_finder\n", encoding="utf-8")
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    hcf = environment / "bin" / "hcf"
    hcf.write_text(SCRIPT.format(python=environment / "bin" / "python"), encoding="utf-8")
    hcf.chmod(0o755)
    return hcf


def clone_at(folder: Path) -> Path:
    shutil.copytree(ROOT / "hcf_pipeline", folder / "hcf_pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("hcf.py", "pyproject.toml", "hcf.toml"):
        shutil.copy(ROOT / name, folder)
    return folder


def run(*command: str | Path, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in clean_environment().items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return subprocess.run(
        [*map(str, command), "--lang", "en", "corpus", "fetch", ""],
        cwd=cwd,
        env=kept | environ,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = clone_at(tmp_path_factory.mktemp("made") / "first")
    install(folder / ".venv", folder)
    return folder


@pytest.fixture
def copy(clone: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(clone, tmp_path / "copy", symlinks=True))


WORKS = "Fetch which corpus?"  # the command's own answer, and all that it says


def is_at_ease(done: subprocess.CompletedProcess[str]) -> bool:
    return done.returncode == 1 and WORKS in done.stderr and done.stderr.count("\n") == 1


def test_a_clone_with_its_own_environment_runs_without_a_word(clone: Path, tmp_path: Path) -> None:
    shutil.copy(ROOT / "hcf.toml", tmp_path)
    for folder in (clone, tmp_path):  # a project elsewhere has settings and no code
        assert is_at_ease(run(clone / ".venv/bin/hcf", cwd=folder))
    assert is_at_ease(run(".venv/bin/hcf", cwd=clone))


@pytest.mark.parametrize("how", [["bin/hcf"], ["bin/python", "-c", "from hcf_pipeline.cli import main; main()"]])
def test_a_copied_clone_does_not_run_the_code_of_the_old_one(
    clone: Path, copy: Path, how: list[str], tmp_path: Path
) -> None:
    done = run(copy / ".venv" / how[0], *how[1:], cwd=tmp_path)
    assert done.returncode == 3 and done.stderr.count("\n") == 1
    assert f"installed from {clone}" in done.stderr and f"python3 {copy / 'hcf.py'}" in done.stderr


def test_an_active_environment_of_another_clone_is_told_and_works(clone: Path, tmp_path: Path) -> None:
    other = clone_at(tmp_path / "other")
    done = run(clone / ".venv/bin/hcf", cwd=other)
    assert done.returncode == 1 and WORKS in done.stderr
    assert f"runs the code of {clone}, not that of the working folder {other}" in done.stderr


def test_an_environment_elsewhere_is_no_reason_for_a_word(clone: Path, tmp_path: Path) -> None:
    hcf = install(tmp_path / "elsewhere" / "env", clone)
    assert is_at_ease(run(hcf, cwd=clone))


def test_code_on_pythonpath_or_in_the_working_folder_is_meant(clone: Path, tmp_path: Path) -> None:
    worktree = clone_at(tmp_path / "worktree")
    assert is_at_ease(run(clone / ".venv/bin/hcf", cwd=worktree, PYTHONPATH=str(worktree)))
    python = clone / ".venv/bin/python"
    assert is_at_ease(run(python, "-c", "from hcf_pipeline.cli import main; main()", cwd=worktree))


def test_a_copy_in_site_packages_belongs_to_no_folder(clone: Path, tmp_path: Path) -> None:
    environment = tmp_path / ".venv"
    hcf = install(environment, clone)
    packages = next(environment.glob("lib/python*/site-packages"))
    (packages / "editable.pth").unlink()
    shutil.copytree(ROOT / "hcf_pipeline", packages / "hcf_pipeline")
    other = clone_at(tmp_path / "work")
    assert is_at_ease(run(hcf, cwd=other))
