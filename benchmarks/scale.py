"""What 50,000, 200,000 and 1,000,000 chunks cost to build, keep and ask: the whole index, words and vectors.

    python benchmarks/scale.py --corpus FOLDER [--work FOLDER] [--sizes 50000 200000 1000000] [--questions 500]

The corpus is cut again and again, a little smaller each time (600, 590, 580, ... characters at most), each time as
transcripts of other names, until there are enough chunks: real texts of the usual length, though many share words with
one of another cut. Questions are guests' turns. Each step runs in a process of its own with one thread; memory is the most
that it held. Times of a question are of `Retriever.search(question, 10)`, encoding and reading the rows included.
--work keeps turn table, encoder and vectors, and uses what is there. benchmarks/vectors.py compares the dense side with a
flat index.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
import psutil

from hcf_pipeline.corpus.grammar import Grammar
from hcf_pipeline.corpus.manifest import scan
from hcf_pipeline.corpus.parts import Made, Table, Wanted, write_table
from hcf_pipeline.corpus.tables import PAIRS, TURNS, read_pairs, turns_of, write_pair_table, write_turn_table
from hcf_pipeline.rag.chunking.chunks import CHUNK_SCHEMA, CHUNKS, chunk_transcript
from hcf_pipeline.rag.encode.embed import write_embeddings
from hcf_pipeline.rag.encode.encoder import Encoder, load_encoder
from hcf_pipeline.rag.encode.encoder_fit import fit_encoder
from hcf_pipeline.rag.encode.vector_cache import VectorCache
from hcf_pipeline.rag.index.writer import write_index
from hcf_pipeline.rag.search.retriever import Retriever
from hcf_pipeline.settings.file import load_settings

LARGEST, STEP, SMALLEST = 600, 10, 200  # characters, the budgets
TOP = 10
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

T = TypeVar("T")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--work", type=Path, help="keeps turn table, encoder and vectors")
    parser.add_argument("--sizes", type=int, nargs="+", default=[50_000, 200_000, 1_000_000])
    parser.add_argument("--questions", type=int, default=500)
    given = parser.parse_args()
    os.environ |= ONE_THREAD
    with tempfile.TemporaryDirectory() as scratch:
        work = given.work or Path(scratch)
        apart(prepare, given.corpus, work)
        for size in given.sizes:
            folder = work / str(size)
            shutil.rmtree(folder, ignore_errors=True)
            for step in (cut, encode, build):
                seconds, peak, told = apart(step, work, folder, size)
                print(f"{size:9} {step.__name__:7} {seconds:7.1f} s {peak / 1e9:6.1f} GB  {told}", flush=True)
            for _ in range(2):  # the first reads the files from the disk
                seconds, peak, told = apart(ask, work, folder, given.questions)
            print(f"{size:9} {'ask':7} {seconds:7.1f} s {peak / 1e9:6.1f} GB  {told}", flush=True)


def apart(step: Callable[..., str], *arguments: object) -> tuple[float, int, str]:
    """(seconds, most memory in bytes, what it tells) of a step in a process of its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_measured, step, *arguments).result()


def _measured(step: Callable[..., str], *arguments: object) -> tuple[float, int, str]:
    began = time.perf_counter()
    told = step(*arguments)
    return time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, told


def prepare(corpus: Path, work: Path) -> str:
    sections = load_settings().sections
    if not (work / TURNS).exists():
        write_turn_table(scan(corpus, sections.corpus), Grammar(sections.corpus), work)
    if not (work / PAIRS).exists():
        write_pair_table(work / TURNS, work)
    if not (work / "encoder").is_dir():
        fit_encoder(work / PAIRS, sections.encoder, (), work / "encoder")
    return ""


def cut(work: Path, folder: Path, size: int) -> str:
    settings = load_settings().sections.chunks
    source = Table(work / TURNS)
    made: dict[str, Made] = {}
    n_chunks = 0
    wanted: list[Wanted] = []
    for budget in range(LARGEST, SMALLEST, -STEP):
        cutting = settings.model_copy(update={"max_chars": budget})
        for entry in source.entries:
            if entry.n_rows and n_chunks < size:
                path = f"{budget}/{entry.path}"
                chunks = chunk_transcript(path, turns_of(source, entry.path), cutting)[: size - n_chunks]
                made[path] = Made(tuple(zip(*chunks, strict=True)), {})
                wanted.append(Wanted(path, entry.date, path))
                n_chunks += len(chunks)
    if n_chunks < size:
        raise SystemExit(f"the corpus gives {n_chunks} chunks; ask for no more with --sizes")
    folder.mkdir(parents=True)
    table = write_table(CHUNK_SCHEMA, wanted, lambda one: made.pop(one.path), folder / CHUNKS)
    return f"{table.n_rows} chunks, {sum(entry.n_bytes for entry in table.entries) / 1e6:.0f} MB of rows"


def encode(work: Path, folder: Path, size: int) -> str:
    (folder / "embeddings").mkdir()
    report = write_embeddings(folder / CHUNKS, _encoder(work), VectorCache(work / "cache"), folder / "embeddings")
    return f"{report.n_texts} distinct texts, {report.n_encoded} of them not encoded before"


def build(work: Path, folder: Path, size: int) -> str:
    (folder / "index").mkdir()
    report = write_index(folder / CHUNKS, folder / "embeddings", folder / "index")
    parts: dict[str, int] = {}
    for file in (folder / "index" / "segments").rglob("*"):
        if file.is_file():
            part = file.relative_to(folder / "index" / "segments").parts[1]
            parts[part] = parts.get(part, 0) + file.stat().st_size
    each = ", ".join(f"{part} {n_bytes / report.n_chunks:,.0f}" for part, n_bytes in sorted(parts.items()))
    return f"{report.n_bytes / 1e6:.0f} MB; bytes a chunk: {each}"


def ask(work: Path, folder: Path, n_questions: int) -> str:
    encoder = _encoder(work)
    asked = [pair.guest_text for _, _, pairs in read_pairs(work / PAIRS) for pair in pairs if pair.guest_text]
    asked = asked[:: max(len(asked) // n_questions, 1)][:n_questions]
    encoder.encode_query("你好")
    before = psutil.Process().memory_info().rss
    began = time.perf_counter()
    retriever = Retriever.open(folder / "index", encoder, load_settings().sections.retrieval)
    opened = time.perf_counter() - began
    retriever.search(asked[0], TOP)
    whole, words, vectors = [], [], []
    for question in asked:
        began = time.perf_counter()
        retriever.search(question, TOP)
        whole.append(time.perf_counter() - began)
    resident = psutil.Process().memory_info().rss - before
    for question in asked:
        found = retriever.candidates(retriever.query(question), TOP)
        words.append(found.lexical_s)
        vectors.append(found.dense_s)
    times = ", ".join(
        f"{name} p50 {1000 * np.percentile(seconds, 50):.1f} p99 {1000 * np.percentile(seconds, 99):.1f} ms"
        for name, seconds in (("question", whole), ("of it words", words), ("vectors", vectors))
    )
    return f"opened in {opened:.2f} s, {resident / 1e6:.0f} MB resident; {times}"


def _encoder(work: Path) -> Encoder:
    return load_encoder(work / "encoder", "cpu", load_settings().sections.encoder)


if __name__ == "__main__":
    main()
