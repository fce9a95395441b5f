"""A process that has imported everything and started no thread: it forks a child for each trial.

Importing Dagster, torch and the rest costs ten seconds a process, and a trial takes two or three. The warm process
reads orders from its standard input, one JSON document a line, and answers each with how the child ended.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hcf_pipeline_tests.conftest import ROOT, clean_environment

HEAVY = (
    "pyarrow.parquet",
    "faiss",
    "transformers.models.qwen2.modeling_qwen2",
    "sentence_transformers",
    "peft",
    "hcf_pipeline.cli.refresh",
    "hcf_pipeline.cli.retrieve",
    "hcf_pipeline.cli.status",
    "hcf_pipeline.cli.gc",
    "hcf_pipeline.defs.refresh",
    "hcf_pipeline.chat.engine",
    "hcf_pipeline_tests.faults.trial",
)
LIGHT = ("hcf_pipeline_tests.faults.trial",)


@dataclass(frozen=True)
class Order:
    """What a child shall do: `module:function`, called with `arguments`, in the folder `cwd`."""

    call: str
    cwd: str
    arguments: dict[str, Any] = field(default_factory=dict)
    kill_after_s: float | None = None
    environ: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Ended:
    code: int  # minus the signal, where one ended it
    stdout: str
    stderr: str
    seconds: float

    @property
    def killed(self) -> bool:
        return self.code == -signal.SIGKILL


class Warm:
    """The warm process, as its owner sees it."""

    def __init__(self, scratch: Path, modules: tuple[str, ...] = HEAVY) -> None:
        self._out, self._err = scratch / "child.out", scratch / "child.err"
        environ = clean_environment(
            HCF_LANG="en", OMP_NUM_THREADS="1", PYTHONPATH=str(ROOT), TOKENIZERS_PARALLELISM="false"
        )
        command = [sys.executable, "-m", "hcf_pipeline_tests.faults.warm", str(self._out), str(self._err), *modules]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ, text=True, encoding="utf-8"
        )

    def do(self, order: Order) -> Ended:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(asdict(order)) + "\n")
        self._process.stdin.flush()
        code, seconds = json.loads(self._process.stdout.readline())
        stdout, stderr = (file.read_text(encoding="utf-8", errors="replace") for file in (self._out, self._err))
        return Ended(code, stdout, stderr, seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def main() -> None:
    out, err, *modules = sys.argv[1:]
    with contextlib.redirect_stdout(sys.stderr):
        for module in modules:
            importlib.import_module(module)
        if modules != list(LIGHT):
            _make_engines_once()
    for line in sys.stdin:
        order = Order(**json.loads(line))
        began = time.monotonic()
        child = os.fork()
        if child == 0:
            _be_child(order, out, err)
        if order.kill_after_s is not None:
            _kill_after(child, order.kill_after_s)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        sys.stdout.write(json.dumps([code, time.monotonic() - began]) + "\n")
        sys.stdout.flush()


def _make_engines_once() -> None:
    """Dagster makes a new SQLAlchemy engine for every query, a third of a small refresh; a child keeps them."""
    for name in ("event_log.sqlite.sqlite_event_log", "runs.sqlite.sqlite_run_storage"):
        module: Any = importlib.import_module(f"dagster._core.storage.{name}")
        module.create_engine = _once(module.create_engine)


def _once(make: Callable[..., Any]) -> Callable[..., Any]:
    made: dict[str, Any] = {}

    def made_before(url: str, **options: Any) -> Any:
        if url not in made:
            made[url] = make(url, **options)
        return made[url]

    return made_before


def _kill_after(child: int, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)


def _be_child(order: Order, out: str, err: str) -> None:
    for number, file in ((1, out), (2, err)):
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(order.cwd)
    os.environ.update(order.environ)
    code = 70
    try:
        module, _, name = order.call.partition(":")
        code = getattr(importlib.import_module(module), name)(**order.arguments) or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
