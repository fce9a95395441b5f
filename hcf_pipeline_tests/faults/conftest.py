"""The lab of the fault tests: one warm process and one template for all of them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from hcf_pipeline_tests.conftest import Finished, Project
from hcf_pipeline_tests.faults.lab import NEWS, Lab, Undisturbed
from hcf_pipeline_tests.faults.warm import LIGHT, Warm

MEMORY = Path("/dev/shm")


@pytest.fixture(scope="session")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in memory where there is one: hundreds of copies, and SQLite waits for every commit."""
    if not MEMORY.is_dir():
        yield tmp_path_factory.mktemp("faults")
        return
    folder = Path(tempfile.mkdtemp(prefix="hcf-faults-", dir=MEMORY))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def warm(scratch: Path) -> Iterator[Warm]:
    with Warm(scratch) as process:
        yield process


@pytest.fixture(scope="session")
def light(scratch: Path) -> Iterator[Warm]:
    """A warm process that knows the store alone."""
    (scratch / "light").mkdir()
    with Warm(scratch / "light", LIGHT) as process:
        yield process


@pytest.fixture(scope="session")
def lab(warm: Warm, finished: Finished, scratch: Path) -> Lab:
    """Trials of a finished project with one transcript that it doesn't know yet."""
    template = Project(scratch / "template")
    shutil.copytree(finished.project.root, template.root, symlinks=True)
    (template.corpus / "2024年06月" / "2024-07-02.md").write_text(NEWS, encoding="utf-8")
    return Lab(warm, scratch, template)


@pytest.fixture(scope="session")
def undisturbed(lab: Lab) -> Undisturbed:
    return lab.undisturbed()
