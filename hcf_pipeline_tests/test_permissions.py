"""What is published can be read by whom the umask lets: another user of the machine can serve it, and write nothing."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hcf_pipeline.store import Built, Recipe, Store
from hcf_pipeline_tests.conftest import ROOT, Finished, clean_environment

HCF = [sys.executable, "-c", "from hcf_pipeline.cli import main; main()", "--lang", "en"]


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_all_of_a_finished_home_has_the_permissions_of_the_umask(finished: Finished, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    below = list(finished.project.home.rglob("*"))
    assert {mode(path) for path in below if path.is_file()} == {mode(tmp_path / "file")}
    assert {mode(path) for path in below if path.is_dir()} == {mode(tmp_path / "folder")}


@pytest.mark.parametrize(
    ("mask", "file", "folder"), [(0o022, 0o644, 0o755), (0o027, 0o640, 0o750), (0o077, 0o600, 0o700)]
)
def test_what_a_library_wrote_for_its_owner_alone_follows_the_umask(
    tmp_path: Path, mask: int, file: int, folder: int
) -> None:
    def build(out: Path) -> Built:
        handle, name = tempfile.mkstemp(dir=out)  # as safetensors does
        os.close(handle)
        Path(name).rename(out / "model.safetensors")
        Path(tempfile.mkdtemp(dir=out)).rename(out / "model")
        (out / "model" / "config.json").touch(0o600)
        (out / "run.sh").touch(0o777)
        return Built({})

    with umask(mask):
        made = Store(tmp_path).publish("thing", build, Recipe(1)).path
    assert {mode(path) for path in made.rglob("*") if path.is_file()} == {file}
    assert mode(made) == mode(made / "model") == folder


def test_a_file_that_versions_share_keeps_its_permissions(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def first(out: Path) -> Built:
        (out / "part").write_text("a", encoding="utf-8")
        return Built({}, "1")

    def second(out: Path) -> Built:
        os.link(before.path / "part", out / "part")
        return Built({}, "2")

    before = store.publish("thing", first, Recipe(1))
    (before.path / "part").chmod(0o444)
    after = store.publish("thing", second, Recipe(2), like=before)
    assert mode(after.path / "part") == 0o444


def as_nobody(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`hcf` as another user: setpriv opens the interpreter before it lets go of its rights."""
    return subprocess.run(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *HCF, *arguments],
        cwd=folder,
        env=clean_environment(PYTHONPATH=str(ROOT), HOME="/nonexistent", PYTHONDONTWRITEBYTECODE="1"),
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def can_be_two_users() -> bool:
    return (
        hasattr(os, "geteuid")
        and os.geteuid() == 0
        and shutil.which("setpriv") is not None
        and as_nobody(Path("/"), "--help").returncode == 0
    )


needs_two_users = pytest.mark.skipif(
    not can_be_two_users(), reason="runs as another user, who has to be able to read this environment"
)


@pytest.fixture
def shared(finished: Finished) -> Iterator[Path]:
    """A finished project where another user can go; pytest's own folders are closed to him."""
    folder = Path(tempfile.mkdtemp(prefix="hcf-shared-"))
    shutil.copytree(finished.project.root, folder, dirs_exist_ok=True, symlinks=True)
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def contents(folder: Path) -> dict[str, int]:
    return {str(path): path.lstat().st_mtime_ns for path in folder.rglob("*")}


@needs_two_users
def test_another_user_retrieves_and_asks_on_a_home_that_he_may_only_read(shared: Path) -> None:
    before = contents(shared)
    found = as_nobody(shared, "retrieve", "直播的时候说了什么", "--json")
    assert found.returncode == 0 and json.loads(found.stdout)["hits"], found.stderr
    answer = as_nobody(shared, "ask", "直播的时候说了什么", "--json")
    assert answer.returncode == 0 and json.loads(answer.stdout)["release"], answer.stderr
    assert contents(shared) == before


@needs_two_users
@pytest.mark.parametrize("closed", ["**/*.safetensors", "encoder_model", "release/current", "../.hcf"])
def test_what_may_not_be_read_is_told_as_reading(shared: Path, closed: str) -> None:
    for path in list((shared / ".hcf").glob(closed)):
        path.chmod(0o700 if path.is_dir() else 0o600)
    done = as_nobody(shared, "retrieve", "直播的时候说了什么")
    assert done.returncode in (1, 3) and "no permission to read" in done.stderr and "chmod -R a+rX" in done.stderr
    assert "to write" not in done.stderr and done.stderr.count("\n") == 1


@needs_two_users
@pytest.mark.parametrize("command", ["status", "refresh"])
def test_what_may_not_be_written_is_told_as_writing(shared: Path, command: str) -> None:
    done = as_nobody(shared, command)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "Cannot write to" in done.stderr and "hcf retrieve, ask and chat only read" in done.stderr


@needs_two_users
def test_a_fetch_into_a_folder_of_somebody_elses_is_told_as_writing(shared: Path) -> None:
    (shared / "data").mkdir()
    done = as_nobody(shared, "corpus", "fetch", "https://127.0.0.1:9/x")
    assert done.returncode == 3 and "no permission to write" in done.stderr and done.stderr.count("\n") == 1
