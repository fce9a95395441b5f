"""What the children of the bad worlds do: commands while the world moves under them."""

from __future__ import annotations

import ctypes
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from hcf_pipeline_tests.faults.injector import Events
from hcf_pipeline_tests.faults.trial import hcf

CLONE_NEWNS = 0x00020000
NO_SUCH_WORLD = 77  # exit code: this machine does not let us


def once_at(place: str, act: Callable[[], None]) -> None:
    """Lets `act` happen at the first event under the home whose path contains `place`."""
    done: list[str] = []

    def each(_: int, event: str, path: str) -> None:
        if place in path and not done:
            done.append(path)
            act()

    Events(Path.cwd() / ".hcf", each)


def corpus_moves(arguments: Sequence[str], transcript: str, text: str | None) -> int:
    """The transcript changes, or vanishes, between the look at the corpus and its being read."""

    def move() -> None:
        file = Path.cwd() / "corpus" / transcript
        if text is None:
            file.unlink()
        else:
            file.write_text(text, encoding="utf-8")

    once_at("/turn_table/.draft-", move)
    return hcf(arguments)


def run_is_ended(arguments: Sequence[str], asset: str) -> int:
    """Somebody ends the run while the step of an asset is at work, and the step does not hear of it."""
    import dagster as dg

    def end() -> None:
        with dg.DagsterInstance.from_config(str(Path.cwd() / ".hcf")) as instance:
            for run in instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
                instance.report_run_failed(run, "ended from outside")

    once_at(f"/{asset}/.draft-", end)
    return hcf(arguments)


def clock_is_wrong(arguments: Sequence[str], by_s: int) -> int:
    """The clock of this process is set forward or back."""
    now, now_ns = time.time, time.time_ns
    time.time = lambda: now() + by_s
    time.time_ns = lambda: now_ns() + by_s * 1_000_000_000
    return hcf(arguments)


def home_is_read_only(arguments: Sequence[str]) -> int:
    """The home is mounted read-only, for this process alone."""
    home = str(Path.cwd() / ".hcf")
    mounts = (["--make-rprivate", "/"], ["--bind", home, home], ["-o", "remount,ro,bind", home])
    if ctypes.CDLL(None).unshare(CLONE_NEWNS):
        return NO_SUCH_WORLD
    for mount in mounts:
        if subprocess.run(["mount", *mount], check=False).returncode:
            return NO_SUCH_WORLD
    return hcf(arguments)


def disk_is_full(arguments: Sequence[str], free_kb: int) -> int:
    """The home lies on a file system of its own, with so much room left; it is copied back afterwards."""
    home = Path.cwd() / ".hcf"
    aside = home.with_name("aside")
    if ctypes.CDLL(None).unshare(CLONE_NEWNS):
        return NO_SUCH_WORLD
    home.rename(aside)
    home.mkdir()
    used_kb = int(
        subprocess.run(["du", "-sk", str(aside)], check=True, capture_output=True, text=True).stdout.split()[0]
    )
    size = f"size={used_kb + 64 + free_kb}k"
    for mount in (["--make-rprivate", "/"], ["-t", "tmpfs", "-o", size, "none", str(home)]):
        if subprocess.run(["mount", *mount], check=False).returncode:
            return NO_SUCH_WORLD
    subprocess.run(["cp", "-a", f"{aside}/.", str(home)], check=True)
    try:
        return hcf(arguments)
    finally:
        subprocess.run(["cp", "-a", str(home), str(home.with_name("after"))], check=True)


def release_by_hand() -> int:
    """Somebody materializes the index and `release`, past all plans; prints whether it succeeded, and what failed."""
    import dagster as dg

    from hcf_pipeline.defs.build import build_definitions
    from hcf_pipeline.defs.home import dagster_instance
    from hcf_pipeline.settings.file import load_settings

    settings = load_settings()
    with dagster_instance(settings) as instance:
        job = build_definitions(settings).resolve_implicit_global_asset_job_def()
        names = ("chunk_table", "chunk_embeddings", "faiss_index", "retrieval_scorecard", "release")
        wanted = [dg.AssetKey(name) for name in names]
        done = job.execute_in_process(instance=instance, asset_selection=wanted, raise_on_error=False)
        errors = [event.step_failure_data.error for event in done.all_events if event.is_step_failure]
    print(done.success, *(error.cause.message if error and error.cause else error for error in errors))
    return 0
