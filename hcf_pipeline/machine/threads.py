"""How many threads a fit or a training computes with, whatever its process did before, and what its bytes depend on.

Sums are split among threads, and floats summed in another order round in another way; so the number of threads counts in
a result's last bits. So does whether a process ever set it: from then on MKL no longer chooses by itself how many it
takes for a small product. Whoever promises the same bytes therefore sets it, even to what it is (`benchmarks/determinism.py`
measures what that gives on a processor).
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

REPRODUCIBLE = "AVX2"
"""MKL's reproducible mode: on Intel's processors with AVX-512 larger products with two threads or more differ from process
to process without one. With this one they did not, and training took no longer."""

SPINS = "1000"
"""How often one of GNU's OpenMP threads looks for work before it sleeps, 300,000 times by default. A fit on two cores beside
another program that keeps one of them busy took 21 s with this and 31 s without, alone 12 s with and without."""


def wanted_threads(setting: int) -> int:
    """`[run] threads`, or as many as this process may use where that is 0."""
    if setting:
        return setting
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def threads(number: int) -> Iterator[None]:
    """In it torch and numpy compute with so many threads in this process; afterwards with as many as before."""
    import torch
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    with threadpool_limits(number, user_api="blas"):
        torch.set_num_threads(number)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def environment(number: int, given: Mapping[str, str]) -> dict[str, str]:
    """What a process that computes with so many threads is started with, beside `given`, its parent's environment.

    A library reads these once, as it is loaded. What somebody chose for the mode or the waiting is left as it is.
    """
    count = str(number)
    numbers = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), count)
    fixed = {"OMP_DYNAMIC": "FALSE", "MKL_DYNAMIC": "FALSE"}
    chosen = {"MKL_CBWR": REPRODUCIBLE, "GOMP_SPINCOUNT": SPINS}
    return numbers | fixed | {name: given.get(name, value) for name, value in chosen.items()}


def processor() -> str:
    """The kind of processor that torch computes on, and with which instructions: another kind rounds in another way."""
    import torch

    known = _cpuinfo()
    kind = " ".join(known[name] for name in ("vendor_id", "cpu family", "model") if name in known)
    mode = os.environ.get("MKL_CBWR", "")
    return " ".join(filter(None, [platform.machine(), kind, torch.backends.cpu.get_cpu_capability(), mode]))


def _cpuinfo() -> dict[str, str]:
    """The first processor of Linux's list; nothing elsewhere."""
    try:
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("\n\n")[0]
    except OSError:
        return {}
    lines = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in lines}
