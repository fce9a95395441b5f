"""Whether the same products give the same bytes in every process, by number of threads and MKL's reproducible mode.

Each row is so many fresh processes that compute the same thing from the same numbers; a column is a shape, a cell the share
of the processes that got the most frequent bytes (1 = all the same). "chain" is a product of products, "step" two
optimizer steps of one transformer block. Threads: what torch takes by itself, a number set at the start, or set after
the process had computed with one thread. MKL_CBWR is MKL's "conditional numerical reproducibility", which has to stand
in the environment before torch is loaded.

    python benchmarks/determinism.py --processes 20
    taskset -c 0,1 python benchmarks/determinism.py --processes 40 --modes none AVX2

The bytes of two rows are compared too: which numbers of threads and which modes give the same ones on this machine.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import platform
import subprocess
import sys
from collections import Counter
from pathlib import Path

WIDTHS = (128, 256, 512)
LENGTHS = (128, 512)
THREADS = ("as it is", "1", "2", "1, then 2")
MODES = ("none", "AVX2", "COMPATIBLE")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=20)
    parser.add_argument("--modes", nargs="*", default=list(MODES))
    parser.add_argument("--threads", nargs="*", default=list(THREADS))
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child is not None:
        print(json.dumps(digests(arguments.child)))
        return
    print(f"{processor()}, {len(os.sched_getaffinity(0))} cores, torch {torch_version()}\n")
    names = list(digests_of(arguments.modes[0], "1"))
    print("| MKL_CBWR | threads | " + " | ".join(names) + " |")
    print("|---" * (2 + len(names)) + "|", flush=True)
    usual: dict[tuple[str, str], dict[str, str]] = {}
    for mode, threads in itertools.product(arguments.modes, arguments.threads):
        found = [digests_of(mode, threads) for _ in range(arguments.processes)]
        counts = {name: Counter(one[name] for one in found).most_common() for name in names}
        usual[mode, threads] = {name: counts[name][0][0] for name in names}
        cells = [f"{counts[name][0][1] / len(found):.2f}" for name in names]
        print(f"| {mode} | {threads} | " + " | ".join(cells) + " |", flush=True)
    print("\nThe most frequent bytes are the same for:")
    groups: dict[str, list[str]] = {}
    for (mode, threads), digest in usual.items():
        groups.setdefault(json.dumps(digest), []).append(f"({mode}; {threads})")
    for members in groups.values():
        print("  " + " ".join(members))


def digests_of(mode: str, threads: str) -> dict[str, str]:
    environment = {name: value for name, value in os.environ.items() if name != "MKL_CBWR"}
    environment["OMP_WAIT_POLICY"] = "passive"  # or they are slow where the machine has other work
    if mode != "none":
        environment["MKL_CBWR"] = mode
    command = [sys.executable, __file__, "--child", threads]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, encoding="utf-8", check=True)
    found: dict[str, str] = json.loads(done.stdout)
    return found


def digests(threads: str) -> dict[str, str]:
    """The sha256 of every result, by shape, in this process."""
    import torch

    for number in threads.split(", then "):
        if number.isdecimal():
            torch.set_num_threads(int(number))
            torch.rand(64, 64) @ torch.rand(64, 64)
    found: dict[str, str] = {}
    for width, length in itertools.product(WIDTHS, LENGTHS):
        found[f"chain {width}×{length}"] = chain(width, length)
        found[f"step {width}×{length}"] = steps(width, length)
    return found


def chain(width: int, length: int) -> str:
    import torch

    draw = torch.Generator().manual_seed(width + length)
    rows = torch.randn(2 * length, width, generator=draw)
    for inner in (4 * width, width, 3 * width, width):
        rows = rows @ torch.randn(rows.shape[1], inner, generator=draw) / rows.shape[1] ** 0.5
    return hashlib.sha256(rows.numpy().tobytes()).hexdigest()


def steps(width: int, length: int) -> str:
    """Two AdamW steps of attention, gated layers and a vocabulary of 1,000 at batch 2."""
    import torch
    from torch.nn.functional import cross_entropy, rms_norm, scaled_dot_product_attention, silu

    draw = torch.Generator().manual_seed(width * length)

    def matrix(n: int, m: int) -> torch.Tensor:
        return (torch.randn(n, m, generator=draw) / m**0.5).requires_grad_()

    embedding, out = matrix(1000, width), matrix(1000, width)
    qkv, o, gate, up = (matrix(n * width, width) for n in (3, 1, 3, 3))
    down = matrix(width, 3 * width)
    parameters = [embedding, out, qkv, o, gate, up, down]
    ids = torch.randint(0, 1000, (2, length + 1), generator=draw)
    optimizer = torch.optim.AdamW(parameters, lr=1e-3)
    for _ in range(2):
        x = torch.nn.functional.embedding(ids[:, :-1], embedding)
        q, k, v = (part.unflatten(2, (-1, 32)).transpose(1, 2) for part in (x @ qkv.T).chunk(3, dim=2))
        seen = scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
        x = x + seen @ o.T
        normal = rms_norm(x, (width,))
        x = x + (silu(normal @ gate.T) * (normal @ up.T)) @ down.T
        loss = cross_entropy((rms_norm(x, (width,)) @ out.T).flatten(0, 1), ids[:, 1:].flatten())
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
    flat = torch.cat([parameter.detach().flatten() for parameter in parameters])
    return hashlib.sha256(flat.numpy().tobytes()).hexdigest()


def processor() -> str:
    """The model, and the widest instructions that products are made with."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    known = dict(reversed([line.partition("\t: ")[::2] for line in lines if "\t: " in line]))
    known |= {name.strip(): value for name, value in known.items()}
    flags = known.get("flags", "").split()
    family = f"family {known.get('cpu family', '?')} model {known.get('model', '?')}"
    wide = [flag for flag in ("avx2", "avx512f", "amx_tile") if flag in flags]
    return f"{known.get('model name', platform.processor())} ({known.get('vendor_id', '?')} {family}; {' '.join(wide)})"


def torch_version() -> str:
    import torch

    return str(torch.__version__)


if __name__ == "__main__":
    main()
