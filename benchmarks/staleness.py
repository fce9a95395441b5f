"""What a change costs: a refresh with nothing to do, one changed broadcast beside the full build, a sensor's look.

    python benchmarks/staleness.py --corpus FOLDER [--files 100000]

Works on a copy of the corpus, in a temporary folder. The full build and the update run in one process, one after the
other; the no-op refresh and `hcf status` are whole processes.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from hcf_pipeline.asset_names import CHUNK_EMBEDDINGS, CHUNK_TABLE, FAISS_INDEX, TURN_TABLE
from hcf_pipeline.defs.corpus.look import observe_corpus
from hcf_pipeline.defs.refresh import refresh
from hcf_pipeline.settings import Settings
from hcf_pipeline.settings.file import load_settings

CHUNK_SIDE = (TURN_TABLE, CHUNK_TABLE, CHUNK_EMBEDDINGS, FAISS_INDEX)


class Watch:
    """Takes each asset's time."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._began = 0.0

    def wave(self, assets: Sequence[str]) -> None: ...
    def said(self, asset: str, message: str) -> None: ...

    def started(self, asset: str) -> None:
        self._began = time.perf_counter()

    def finished(self, asset: str) -> None:
        self.seconds[asset] = time.perf_counter() - self._began


def timed_refresh(settings: Settings, *, train: bool) -> tuple[float, dict[str, float]]:
    watch, began = Watch(), time.perf_counter()
    refresh(settings, watch, train=train)
    return time.perf_counter() - began, watch.seconds


def project(root: Path, corpus: Path) -> Settings:
    (root / "hcf.toml").write_text(f'[corpus]\npath = "{corpus}"\n', encoding="utf-8")
    return load_settings(root / "hcf.toml", environ={})


def one_changed_broadcast(root: Path, corpus: Path) -> None:
    own = root / "corpus"
    shutil.copytree(corpus, own)
    settings = project(root, own)
    whole, full = timed_refresh(settings, train=True)
    transcript = sorted(own.rglob("20*.md"))[-7]
    text = transcript.read_text(encoding="utf-8")
    transcript.write_text(text.replace("。", "，真的。", 3), encoding="utf-8")
    again, update = timed_refresh(settings, train=False)
    print(f"full build {whole:.1f} s, one changed broadcast without training {again:.1f} s")
    for asset in full:
        if asset in update:
            print(f"  {asset:18} {full[asset]:8.2f} s {update[asset]:8.2f} s   1/{full[asset] / update[asset]:.0f}")
    a, b = (sum(seconds[asset] for asset in CHUNK_SIDE) for seconds in (full, update))
    print(f"  chunk side (steps) {a:8.2f} s {b:8.2f} s   1/{a / b:.0f}")
    again, ran = timed_refresh(settings, train=False)
    print(f"refresh with nothing to do, in this process: {again:.2f} s, {len(ran)} steps")
    hcf = str(Path(sys.executable).with_name("hcf"))
    for command in (["refresh", "--no-train"], ["status"]):
        began = time.perf_counter()
        subprocess.run([hcf, *command], cwd=root, check=True, capture_output=True)
        print(f"hcf {' '.join(command)}: {time.perf_counter() - began:.2f} s")
    look(settings, "the corpus")


def look(settings: Settings, what: str) -> None:
    for name in ("first look", "second", "third"):
        began = time.perf_counter()
        observe_corpus(settings, only_settled=True)
        print(f"{what}, {name}: {time.perf_counter() - began:.2f} s")


def many_files(root: Path, n: int) -> None:
    corpus = root / "many"
    for number in range(n):
        folder = corpus / f"{number // 1000:04d}"
        if number % 1000 == 0:
            folder.mkdir(parents=True)
        (folder / f"2024-01-{number % 28 + 1:02d}-{number}.md").write_text(f"甲：{number}\n", encoding="utf-8")
    time.sleep(3)  # a file that is younger than two seconds is read again
    look(project(root, corpus), f"{n} files")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--corpus", type=Path, required=True)
    arguments.add_argument("--files", type=int, default=100_000)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        (many := Path(folder) / "m").mkdir()
        many_files(many, given.files)
        (one := Path(folder) / "c").mkdir()
        one_changed_broadcast(one, given.corpus)


if __name__ == "__main__":
    main()
