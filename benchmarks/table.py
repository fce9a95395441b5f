"""A table of measurements whose lines are out as soon as they are known, whatever becomes of each."""

from __future__ import annotations

import gc
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


class OutOfTime(BaseException):
    """Not an Exception: what is measured may not catch it."""


@dataclass
class Table:
    """Lines that are out as soon as they are known."""

    out: Path | None
    ends: float  # by time.monotonic

    def head(self) -> None:
        if self.out:
            self.out.write_text("", encoding="utf-8")
        self._put("| what | how | figures | s |\n|---|---|---|---|")

    def line(self, what: str, how: str, figures: str, seconds: float = 0) -> None:
        cells = (" ".join(cell.replace("|", "/").split()) for cell in (what, how, figures, f"{seconds:.1f}"))
        self._put(f"| {' | '.join(cells)} |")

    def step(self, what: str, how: str, budget_s: float, measure: Callable[[], str]) -> None:
        """One measurement with its line, whatever becomes of it."""
        left = min(budget_s, self.ends - time.monotonic())
        if left < 1:
            self.line(what, how, "left out: no time left")
            return
        started = time.monotonic()
        try:
            with _at_most(left):
                figures = measure()
        except OutOfTime:
            figures = f"broken off after its {left:.0f} s"
        except ModuleNotFoundError as error:
            figures = f"left out: {error.name} is missing"
        except Exception as error:  # an out-of-memory too
            figures = f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
        self.line(what, how, figures, time.monotonic() - started)
        free()

    def _put(self, text: str) -> None:
        print(text, flush=True)
        if self.out:
            with self.out.open("a", encoding="utf-8") as file:
                file.write(text + "\n")


@contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    """Raises OutOfTime in what runs inside, between two of Python's instructions; without signals (Windows) never."""
    if not hasattr(signal, "setitimer"):
        yield
        return

    def over(*_: object) -> None:
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def free() -> None:
    """Memory that nothing holds any more, given back; the peak is counted from here."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
