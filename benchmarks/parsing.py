"""Parsing speed: `python benchmarks/parsing.py --corpus FOLDER [--host 户晨风 --guest 某网友]`.

One core. Prints MB/s (bytes of the files) of turns and pairs in memory, and of the obvious script that joins all files
and searches the rest of the text after each question; how time grows; what the turn, pair and chunk tables cost with
their Parquet, all of them and after one file changed; and what a look at the corpus costs.
"""

from __future__ import annotations

import argparse
import dataclasses
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from hcf_pipeline.corpus.grammar import Grammar
from hcf_pipeline.corpus.manifest import Manifest, look_at, scan
from hcf_pipeline.corpus.pairs import pair_turns
from hcf_pipeline.corpus.tables import TURNS, write_pair_table, write_turn_table
from hcf_pipeline.corpus.transcript import parse_transcript
from hcf_pipeline.rag.chunking.chunks import write_chunk_table
from hcf_pipeline.settings import ChunkSettings, CorpusSettings

ROOT = Path(__file__).parents[1]


def best_of(n: int, work: Callable[[], object]) -> float:
    """Seconds of the fastest of n runs."""
    times = []
    for _ in range(n):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)


def parse(texts: list[bytes], grammar: Grammar) -> int:
    return sum(1 for text in texts for _ in pair_turns(parse_transcript(text.decode(), grammar).turns))


def obvious(texts: list[bytes], host: str, guest: str) -> int:
    joined = "\n".join(text.decode() for text in texts)
    n_pairs = 0
    for question in re.finditer(f"{guest}[：:](.*)", joined):
        rest = joined[question.end() :]
        if re.search(f"{host}[：:](.*)", rest):
            n_pairs += 1
    return n_pairs


def first_bytes(texts: list[bytes], n_bytes: int) -> list[bytes]:
    """Whole files until there are enough bytes; a small corpus is repeated."""
    taken: list[bytes] = []
    size = 0
    while size < n_bytes:
        for text in texts:
            if size >= n_bytes:
                break
            taken.append(text)
            size += len(text)
    return taken


def tables(manifest: Manifest, grammar: Grammar, out: Path, previous: Path | None = None) -> list[float]:
    """Seconds that each table takes."""
    steps: list[Callable[[], object]] = [
        lambda: write_turn_table(manifest, grammar, out, previous=previous),
        lambda: write_pair_table(out / TURNS, out, previous),
        lambda: write_chunk_table(out / TURNS, ChunkSettings(), out, previous=previous),
    ]
    return [best_of(1, step) for step in steps]


def print_tables(corpus: Path, settings: CorpusSettings, work: Path) -> None:
    """The tables of all files, then again from these after the middle one of the files got a question more."""
    shutil.copytree(corpus, work / "corpus")
    grammar, manifest = Grammar(settings), scan(work / "corpus", settings)
    full = [tables(manifest, grammar, work / f"full {n}") for n in range(3)]
    changed = work / "corpus" / manifest.files[len(manifest.files) // 2].path
    host, guest = settings.host_labels[0], settings.guest_labels[0]
    with changed.open("a", encoding="utf-8") as file:
        file.write(f"\n\n{guest}：还有一个问题。\n\n{host}：说吧。\n")
    moved = scan(work / "corpus", settings)
    one = [tables(moved, grammar, work / f"one {n}", work / "full 0") for n in range(3)]
    megabytes = manifest.n_bytes / 1e6
    for n, name in enumerate(("turn", "pair", "chunk")):
        all_s, one_s = min(times[n] for times in full), min(times[n] for times in one)
        told = f"{all_s:.2f} s); one file changed: {one_s * 1000:.0f} ms, 1/{all_s / one_s:.0f}"
        print(f"{name + ' table':12} {megabytes / all_s:6.1f} MB/s  ({told}")
    look = look_at(corpus, settings)
    aged = dataclasses.replace(look, looked_ns=look.looked_ns + 60 * 10**9)
    seconds = best_of(3, lambda: look_at(corpus, settings, aged))
    print(f"a look when nothing changed: {seconds * 1000:.1f} ms for {len(look.manifest.files)} files")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--corpus", type=Path, default=ROOT / "data" / "sample")
    arguments.add_argument("--host", default="户晨风")
    arguments.add_argument("--guest", default="某网友")
    given = arguments.parse_args()
    settings = CorpusSettings()
    grammar = Grammar(settings)
    manifest = scan(given.corpus.resolve(), settings)
    texts = [(given.corpus / file.path).read_bytes() for file in manifest.files]
    if not any(f"{given.host}：".encode() in text for text in texts):
        given.host, given.guest = settings.host_labels[0], settings.guest_labels[0]
    megabytes = manifest.n_bytes / 1e6
    print(f"corpus: {len(texts)} files, {megabytes:.1f} MB")
    seconds = best_of(5, lambda: parse(texts, grammar))
    print(f"turns and pairs in memory: {megabytes / seconds:6.1f} MB/s  ({seconds:.2f} s)")
    with tempfile.TemporaryDirectory() as work:
        print_tables(given.corpus.resolve(), settings, Path(work))
    eight, sixteen = (first_bytes(texts, n * 1_000_000) for n in (8, 16))
    t8, t16 = (best_of(9, lambda sample=sample: parse(sample, grammar)) for sample in (eight, sixteen))
    print(f"growth: 16 MB takes {t16 / t8:.2f} times 8 MB")
    for n in (2, 4, 8):
        sample = first_bytes(texts, n * 1_000_000)
        ours = best_of(3, lambda sample=sample: parse(sample, grammar))
        theirs = best_of(1, lambda sample=sample: obvious(sample, given.host, given.guest))
        print(f"the obvious script at {n} MB: {theirs:7.2f} s, {theirs / ours:5.0f} times ours ({ours:.2f} s)")


if __name__ == "__main__":
    main()
