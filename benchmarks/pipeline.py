"""The whole pipeline, timed: `python benchmarks/pipeline.py [--corpus FOLDER]` (embedded profile, an empty home).

Prints wall seconds of every asset, the peak memory of the whole process tree (sampled four times a second), and
what a user waits for: `hcf --help`, `hcf status`, a refresh with nothing to do, loading the code location.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]
HCF = str(Path(sys.executable).with_name("hcf"))


def run(command: list[str], environ: dict[str, str]) -> tuple[float, float, str]:
    """Seconds, peak MB of the process and its children together, stderr."""
    began = time.perf_counter()
    peak = 0
    with tempfile.TemporaryFile("w+", encoding="utf-8") as said:
        with subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.DEVNULL, stderr=said) as process:
            while process.poll() is None:
                peak = max(peak, memory(process.pid))
                time.sleep(0.25 if time.perf_counter() - began > 5 else 0.01)
        seconds = time.perf_counter() - began
        said.seek(0)
        text = said.read()
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{text}")
    return seconds, peak / 1e6, text


def memory(pid: int) -> int:
    try:
        whole = psutil.Process(pid)
        return sum(part.memory_info().rss for part in [whole, *whole.children(recursive=True)])
    except psutil.NoSuchProcess:
        return 0


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--corpus", type=Path, default=ROOT / "data" / "sample")
    arguments.add_argument("--home", type=Path, help="keep the home here; must not exist yet")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        home = given.home or Path(scratch) / "home"
        environ = os.environ | {"HCF_HOME": str(home), "HCF_CORPUS__PATH": str(given.corpus.resolve())}
        seconds, peak, said = run([HCF, "refresh", "--json"], environ)
        print(f"first refresh: {seconds:.0f} s, peak {peak:.0f} MB")
        for name, took in re.findall(r"^✔ (\w+)  ([\d.]+) s$", said, flags=re.MULTILINE):
            print(f"  {name:<18}{float(took):7.1f} s")
        rows = [
            ("refresh, nothing to do", [HCF, "refresh", "--json"]),
            ("hcf status", [HCF, "status", "--json"]),
            ("hcf --help", [HCF, "--help"]),
            ("code location import", [sys.executable, "-c", "import hcf_pipeline.definitions"]),
            ("dagster alone", [sys.executable, "-c", "import dagster"]),
        ]
        for title, command in rows:
            best = min(run(command, environ)[0] for _ in range(3))
            print(f"{title:<24}{best:6.2f} s")


if __name__ == "__main__":
    main()
