"""One small project, refreshed once for all tests that look at a finished pipeline."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from hcf_pipeline.machine.threads import SPINS
from hcf_pipeline_tests.faults import tally

# Two workers share the cores: threads of OpenMP that wait for each other shall not keep one busy (threads.py says more).
os.environ.setdefault("GOMP_SPINCOUNT", SPINS)

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "data" / "sample"
REFRESHED = "refreshed.json"  # in the finished project: what `hcf refresh --json` said

# What a first refresh makes.
# The same code as ever, with the models as small and as little trained as they can be (so the encoder counts for little).
SMALL = """
[corpus]
path = "corpus"

[sft]
max_chars = 200

[base]
hidden_size = 32
layers = 1
vocab_size = 1500
steps = 2

[lora]
r = 2
max_steps = 2
batch_size = 2
checkpoint_steps = 1
held_out_samples = 4

[encoder]
dim = 32
vocab_size = 1000
steps = 40

[retrieval]
dense_weight = 0.02

[chat]
max_new_tokens = 12
context_chars = 60
seed = 1
"""


# What starts processes, trains, or first refreshes a project: all but these is `-m fast`, for between two edits.
UNHURRIED = {
    "chat/test_engine", "cli", "corpus/test_fetch", "defs/test_liveness", "defs/test_stale_as_dagster", "faults", "hub",
    "rag/test_encoder", "rag/test_index_update", "rag/test_server_encoder", "sft/test_base_model", "sft/test_threads", "sft/test_train",
    "sft/test_train_process", "test_automation", "test_daemon", "test_dagster_dev", "test_damage", "test_definitions",
    "test_gpu_benchmark", "test_held_out_split", "test_leases", "test_making", "test_model_servers", "test_monologue", "test_nothing_to_learn",
    "test_odd_settings", "test_old_homes", "test_permissions", "test_pipeline", "test_reading", "test_real_models", "test_releases", "test_runner",
    "test_seconds", "test_staleness", "test_strangers", "test_untrained", "test_wheel",
}  # fmt: skip


@dataclass(frozen=True)
class Project:
    """A folder with an hcf.toml and a corpus."""

    root: Path

    @property
    def corpus(self) -> Path:
        return self.root / "corpus"

    @property
    def home(self) -> Path:
        return self.root / ".hcf"

    def hcf(self, *arguments: str, stdin: str | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(Path(sys.executable).with_name("hcf")), *arguments],
            cwd=self.root,
            env=clean_environment(**environ),
            input=stdin,
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )

    def json(self, *arguments: str, **environ: str) -> Any:
        done = self.hcf(*arguments, "--json", **environ)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


def clean_environment(**more: str) -> dict[str, str]:
    """This process's environment without what would steer hcf, Dagster or the Hub; and with no network."""
    steering = ("HCF_", "DAGSTER_", "HF_", "FUCHENFENG_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(steering)}
    return kept | {"HF_HUB_OFFLINE": "1", "PYTHONIOENCODING": "utf-8", "COLUMNS": "200"} | more


def modules_loaded_by(*arguments: str) -> set[str]:
    """The top-level modules that a process has loaded once `hcf` with these arguments has ended."""
    code = f"import sys\nsys.argv = ['hcf', *{list(arguments)!r}]\nfrom hcf_pipeline.cli import main\ntry: main()\nexcept SystemExit: pass\n"
    code += "import json; print(json.dumps(sorted(m for m in sys.modules if '.' not in m)), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=clean_environment(), capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stderr))


@contextmanager
def no_signal_ignored() -> Iterator[None]:
    """What is started within heeds every wish to end, also where these tests run in the background or under nohup, which
    let their children ignore some."""
    wishes = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
    before = {wish: signal.signal(wish, signal.SIG_DFL) for wish in wishes}
    try:
        yield
    finally:
        for wish, handler in before.items():
            signal.signal(wish, handler)


def new_project(root: Path) -> Project:
    shutil.copytree(SAMPLE, root / "corpus")
    (root / "hcf.toml").write_text(SMALL, encoding="utf-8")
    return Project(root)


@dataclass(frozen=True)
class Finished:
    project: Project
    refreshed: Any  # what `hcf refresh --json` said


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Finished:
    """Read only: other tests look at it too, those of the other workers among them."""
    base = tmp_path_factory.getbasetemp()
    root = (base if worker_id == "master" else base.parent) / "finished"
    with FileLock(f"{root}.lock"):
        if not (root / REFRESHED).exists():
            shutil.rmtree(root, ignore_errors=True)  # of a worker that was killed
            root.mkdir()
            done = new_project(root).json("refresh")
            (root / REFRESHED).write_text(json.dumps(done), encoding="utf-8")
    return Finished(Project(root), json.loads((root / REFRESHED).read_text(encoding="utf-8")))


@pytest.fixture
def project(finished: Finished, tmp_path: Path) -> Project:
    """A finished project of one's own, to change."""
    shutil.copytree(finished.project.root, tmp_path / "own", symlinks=True)
    return Project(tmp_path / "own")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        module = item.path.relative_to(ROOT / "hcf_pipeline_tests").with_suffix("")
        whole = UNHURRIED & {module.as_posix(), module.parts[0]} or "finished" in getattr(item, "fixturenames", ())
        if not whole and not any(map(item.get_closest_marker, ("slow", "corpus"))):
            item.add_marker("fast")


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):  # of pytest-xdist: what a worker tells the one that started it
        session.config.workeroutput["survived"] = dict(tally.survived)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    tally.survived.update(getattr(node, "workeroutput", {}).get("survived", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if tally.survived:
        terminalreporter.write_line(tally.summary())
