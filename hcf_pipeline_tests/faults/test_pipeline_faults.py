"""A refresh that is killed, or whose disk fails, in the middle: what served serves on, and the next refresh heals."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from hcf_pipeline_tests.conftest import Project
from hcf_pipeline_tests.faults.injector import Fault, Kind
from hcf_pipeline_tests.faults.lab import FULL, NO_TRAIN, TRIAL, Lab, Undisturbed
from hcf_pipeline_tests.faults.warm import Ended, Order

N_PIECES = 9  # some 450 events of an incremental refresh are shared out, so that each slow test ends within minutes
N_RANDOM = 200
SEED = 20240702


def with_fault(lab: Lab, fault: Fault, project: Project) -> Ended:
    return lab.hcf(project, *NO_TRAIN, fault=fault)


@pytest.mark.parametrize(
    ("kind", "event", "path"),
    [
        ("kill", "open", "/chunk_table/.draft-PID-HASH/chunks/table.json"),
        ("kill", "os.rename", "/release/HASH"),
        ("enospc", "open", "/chunk_embeddings/.draft-PID-HASH/embeddings.json"),
        ("eio", "os.fsync", "/faiss_index/.draft-PID-HASH/index.json"),
    ],
)
def test_what_served_serves_on_and_the_next_refresh_heals(
    lab: Lab, undisturbed: Undisturbed, kind: Kind, event: str, path: str
) -> None:
    fault = Fault(kind, undisturbed.events.index(f"{event} {path}") + 1)
    lab.survives(undisturbed, lambda project: with_fault(lab, fault, project), kind)


def test_a_release_that_was_published_when_the_run_was_killed_serves_and_is_told_to_dagster_later(
    lab: Lab, undisturbed: Undisturbed
) -> None:
    """Between the release and its event: the step had renamed and fsynced all, and Dagster never heard of it."""
    last = max(n for n, event in enumerate(undisturbed.events, 1) if event == "os.fsync /release")
    lab.survives(undisturbed, lambda project: with_fault(lab, Fault("kill", last + 1), project), "kill")


@pytest.mark.slow
@pytest.mark.parametrize("piece", range(N_PIECES))
@pytest.mark.parametrize("kind", ["kill", "enospc", "eio"])
def test_a_fault_at_every_event_of_a_refresh(lab: Lab, undisturbed: Undisturbed, kind: Kind, piece: int) -> None:
    for at in range(1 + piece, len(undisturbed.events) + 1, N_PIECES):
        lab.survives(undisturbed, lambda project, at=at: with_fault(lab, Fault(kind, at), project), kind)  # type: ignore[misc]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["enospc", "eio"])
def test_a_disk_that_stays_broken_from_some_event_on(lab: Lab, undisturbed: Undisturbed, kind: Kind) -> None:
    for at in range(1, len(undisturbed.events) + 1, 16):
        fault = Fault(kind, at, lasts=True)
        lab.survives(undisturbed, lambda project, fault=fault: with_fault(lab, fault, project), kind)  # type: ignore[misc]


@pytest.mark.slow
@pytest.mark.parametrize("n_bytes", [2_000, 20_000, 100_000, 400_000])
def test_writes_that_fail_below_python(lab: Lab, undisturbed: Undisturbed, n_bytes: int) -> None:
    """pyarrow, faiss, numpy and SQLite meet a file that must not grow."""
    lab.survives(undisturbed, lambda project: with_fault(lab, Fault("efbig", n_bytes), project), "efbig")


@pytest.mark.slow
@pytest.mark.parametrize("piece", range(4))
def test_a_kill_at_random_moments(lab: Lab, undisturbed: Undisturbed, piece: int) -> None:
    print(f"seed {SEED}, piece {piece}")
    moments = random.Random(SEED + piece)
    for _ in range(N_RANDOM // 4):
        after_s = moments.uniform(0, undisturbed.seconds)

        def hurt(project: Project, after_s: float = after_s) -> Ended:
            return lab.warm.do(Order(f"{TRIAL}:hcf", str(project.root), {"arguments": NO_TRAIN}, kill_after_s=after_s))

        lab.survives(undisturbed, hurt, "kill at a random moment")


@pytest.mark.slow
@pytest.mark.parametrize("half", [0, 1])
def test_a_kill_at_every_step_boundary_of_a_full_refresh(lab: Lab, tmp_path: Path, half: int) -> None:
    """All steps, training in its own process included."""
    full = lab.undisturbed(FULL)
    dry, count = lab.copy(), tmp_path / "count"
    ended = lab.call(dry, "refresh_killed_at_call", at=0, train=True, count_into=str(count))
    assert ended.code == 0, ended.stderr
    n_calls = int(count.read_text(encoding="utf-8"))
    assert n_calls > 20
    for at in range(1 + half, n_calls + 1, 2):
        lab.survives(
            full,
            lambda project, at=at: lab.call(project, "refresh_killed_at_call", at=at, train=True),  # type: ignore[misc]
            "kill at a step boundary",
            FULL,
        )
