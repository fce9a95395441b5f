"""Trials: a copy of a finished project, a fault in its refresh, and what must hold after it."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from hcf_pipeline_tests.conftest import Project
from hcf_pipeline_tests.faults.injector import Fault
from hcf_pipeline_tests.faults.tally import survived
from hcf_pipeline_tests.faults.warm import Ended, Order, Warm

TRIAL = "hcf_pipeline_tests.faults.trial"
CONTENT = ("turn_table", "parsed_pairs", "chunk_table", "chunk_embeddings", "faiss_index")
NEWS = "水友：灯塔的门票多少钱？\n\n江照野：鲸尾岬灯塔的门票是四十七块，上午九点开门，带身份证。"
NO_TRAIN = ("refresh", "--no-train", "--json", "--lang", "en")
ORPHANS_END_S = 10
FULL = ("refresh", "--json", "--lang", "en")


@dataclass(frozen=True)
class Looked:
    """What a project's home holds, and what it answers."""

    release: str | None
    current: dict[str, str]
    broken: list[str]
    lying: list[str]
    answers: list[list[Any]]


@dataclass(frozen=True)
class Undisturbed:
    """What the same refresh gives when nothing happens."""

    before: Looked
    after: Looked
    events: list[str]  # "name path" of each event, in order
    seconds: float

    def at(self, name: str, ending: str) -> int:
        """The number of the first event whose path ends so."""
        return next(n for n, event in enumerate(self.events, 1) if event.startswith(name) and event.endswith(ending))


class Lab:
    """Makes trials in one scratch folder with one warm process."""

    def __init__(self, warm: Warm, scratch: Path, template: Project, name: str = "trial") -> None:
        self.warm = warm
        self.scratch = scratch
        self.template = template
        self._name = name
        self._n = 0

    def copy(self) -> Project:
        """A project of one's own, in a folder that no other trial had."""
        self._n += 1
        shutil.rmtree(self.scratch / f"{self._name}-{self._n - 1}", ignore_errors=True)
        root = self.scratch / f"{self._name}-{self._n}"
        shutil.copytree(self.template.root, root, symlinks=True)
        return Project(root)

    def hcf(self, project: Project, *arguments: str, fault: Fault | None = None, **environ: str) -> Ended:
        wanted: dict[str, Any] = {"arguments": arguments, "fault": fault and asdict(fault)}
        return self.warm.do(Order(f"{TRIAL}:hcf", str(project.root), wanted, environ=environ))

    def call(self, project: Project, name: str, **arguments: Any) -> Ended:
        return self.warm.do(Order(f"{TRIAL}:{name}", str(project.root), arguments))

    def look(self, project: Project) -> Looked:
        ended = self.call(project, "look")
        assert ended.code == 0, ended.stderr
        return Looked(**json.loads(ended.stdout.splitlines()[-1]))

    def undisturbed(self, arguments: tuple[str, ...] = NO_TRAIN) -> Undisturbed:
        project = self.copy()
        before = self.look(project)
        assert not before.broken, before.broken
        traced = self.scratch / "events.txt"
        traced.unlink(missing_ok=True)
        order = {"arguments": arguments, "trace_into": str(traced)}
        ended = self.warm.do(Order(f"{TRIAL}:hcf", str(project.root), order))
        assert ended.code == 0, ended.stderr
        after = self.look(project)
        assert not after.broken and not after.lying, after
        return Undisturbed(before, after, traced.read_text(encoding="utf-8").splitlines(), ended.seconds)

    def survives(
        self, expected: Undisturbed, hurt: Callable[[Project], Ended], kind: str, arguments: tuple[str, ...] = NO_TRAIN
    ) -> None:
        """Asserts all that must hold after `hurt` did something bad to a refresh of a fresh copy."""
        project = self.copy()
        ended = hurt(project)
        if not ended.killed:
            told(ended)
        after = self.look(project)
        assert not after.broken, (after.broken, ended)
        assert after.release in (expected.before.release, expected.after.release), (after.release, ended)
        same = expected.before if after.release == expected.before.release else expected.after
        assert after.answers == same.answers, ended
        self.heals(project, expected, arguments)
        assert_nothing_lives_in(project.root)
        survived[kind] += 1

    def heals(self, project: Project, expected: Undisturbed, arguments: tuple[str, ...] = NO_TRAIN) -> None:
        """Asserts that the next refresh makes of the project what an undisturbed one would have."""
        healed = self.hcf(project, *arguments)
        assert healed.code == 0, healed.stderr
        now = self.look(project)
        assert not now.broken and not now.lying, now
        assert {name: now.current[name] for name in CONTENT} == {n: expected.after.current[n] for n in CONTENT}
        assert now.release == expected.after.release
        assert now.answers == expected.after.answers


def told(ended: Ended) -> None:
    """Asserts that a command ended well, or with an error in one sentence."""
    assert ended.code in (0, 1, 3), ended
    assert "Traceback" not in ended.stderr, ended.stderr
    if ended.code:
        assert "Error" in ended.stderr, ended.stderr


def assert_nothing_lives_in(root: Path) -> None:
    """Asserts that no orphan works in a trial's folder; Dagster's log readers look for their parent every second."""
    end = time.monotonic() + ORPHANS_END_S
    while found := living_in(root):
        assert time.monotonic() < end, found
        time.sleep(0.1)


def living_in(root: Path) -> list[str]:
    """The command lines of processes that work in a trial's folder, or were given it to work on."""
    found: list[str] = []
    for process in psutil.process_iter():
        try:
            command = " ".join(process.cmdline())
            if str(root) in command or Path(process.cwd()).is_relative_to(root):
                found.append(command)
        except psutil.Error:
            continue
    return found
