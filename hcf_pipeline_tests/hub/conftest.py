from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hcf_pipeline_tests.hub.server import FakeHub

ROOT = Path(__file__).parents[2]
LOOPBACK = {"127.0.0.1", "::1", "localhost"}


@dataclass(frozen=True)
class Answers:
    results: list[dict[str, str]]
    output: str  # everything that the process wrote

    @property
    def last(self) -> dict[str, str]:
        return self.results[-1]


Calls = Callable[..., Answers]


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub() as server:
        yield server


@pytest.fixture
def call(hub: FakeHub, tmp_path: Path) -> Calls:
    """Makes calls in a fresh process: call({"model": …, "revision": …}, VARIABLE="…")."""

    def run(
        *calls: dict[str, object], prefix: tuple[str, ...] = (), hosts: set[str] | None = None, **env: str
    ) -> Answers:
        command = [*prefix, sys.executable, "-m", "hcf_pipeline_tests.hub.driver", json.dumps(calls)]
        environment = hub.environment(tmp_path, **env)
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, encoding="utf-8", check=False)
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
        assert set(answer["hosts"]) <= (LOOPBACK if hosts is None else hosts), "a request left this machine"
        return Answers(answer["results"], done.stdout + done.stderr)

    return run


def fetch(model: str = "owner/tiny", revision: str = "main", **more: object) -> dict[str, object]:
    return {"model": model, "revision": revision, **more}
