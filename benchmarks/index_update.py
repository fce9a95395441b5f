"""What one changed broadcast costs on the chunk side, beside building it all: in one run, in one process.

    python benchmarks/index_update.py --corpus FOLDER [--work FOLDER] [--questions 200]

Chunk table, vectors and index are built from nothing, then once more after one sentence of one broadcast has changed,
each from the version before. Prints seconds and ratios; loading the encoder is apart. Then the updated index has to
answer as one that is built from scratch: the guests' own questions from the corpus, the first ten hits of each.
--work keeps what was built, an encoder that is there is used again.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from hcf_pipeline.corpus.grammar import Grammar
from hcf_pipeline.corpus.manifest import scan
from hcf_pipeline.corpus.tables import PAIRS, TURNS, read_pairs, write_pair_table, write_turn_table
from hcf_pipeline.rag.chunking.chunks import CHUNKS, write_chunk_table
from hcf_pipeline.rag.encode.embed import write_embeddings
from hcf_pipeline.rag.encode.encoder import Encoder, load_encoder
from hcf_pipeline.rag.encode.encoder_fit import fit_encoder
from hcf_pipeline.rag.encode.vector_cache import VectorCache
from hcf_pipeline.rag.index.writer import write_index
from hcf_pipeline.rag.search.retriever import Retriever
from hcf_pipeline.settings import Sections
from hcf_pipeline.settings.file import load_settings

STEPS = ("chunk table", "vectors", "index")
TOP = 10

T = TypeVar("T")


def timed(work: Callable[[], T]) -> tuple[float, T]:
    began = time.perf_counter()
    done = work()
    return time.perf_counter() - began, done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--work", type=Path, help="keeps what was built")
    parser.add_argument("--questions", type=int, default=200)
    given = parser.parse_args()
    sections = load_settings().sections
    with tempfile.TemporaryDirectory() as scratch:
        work = given.work or Path(scratch)
        shutil.copytree(given.corpus, work / "corpus", ignore=shutil.ignore_patterns(".git"), dirs_exist_ok=True)
        _turns(work, sections)
        if not (work / "encoder").is_dir():
            seconds, _ = timed(lambda: fit_encoder(work / PAIRS, sections.encoder, (), work / "encoder"))
            print(f"encoder fitted in {seconds:.1f} s")
        seconds, encoder = timed(lambda: load_encoder(work / "encoder", "cpu", sections.encoder))
        print(f"encoder loaded in {seconds:.2f} s")
        encoder.encode_query("你好")
        build = _Build(work, encoder, sections)
        full = build.run("full", None)
        path = _change_one(work, sections)
        _turns(work, sections)
        update = build.run("updated", "full")
        print(f"one broadcast changed: {path}")
        print(f"{'':12} {'full s':>8} {'update s':>9} {'ratio':>7}")
        for step, a, b in zip((*STEPS, "all"), (*full, sum(full)), (*update, sum(update)), strict=True):
            print(f"{step:12} {a:8.2f} {b:9.3f} {'1/' + format(a / b, '.0f'):>7}")
        build.run("rebuilt", None)
        _compare(build, given.questions)


class _Build:
    def __init__(self, work: Path, encoder: Encoder, sections: Sections) -> None:
        self.work = work
        self.encoder = encoder
        self.sections = sections

    def run(self, name: str, before: str | None) -> tuple[float, float, float]:
        """Seconds of the three steps; without `before` nothing is known, the cache included."""
        folder, old = self.work / name, self.work / before if before else None
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "index").mkdir(parents=True)
        (folder / "embeddings").mkdir()
        cache = VectorCache((old or folder) / "cache")
        table, _ = timed(lambda: write_chunk_table(self.work / TURNS, self.sections.chunks, folder, previous=old))
        vectors, made = timed(lambda: write_embeddings(folder / CHUNKS, self.encoder, cache, folder / "embeddings"))
        index, report = timed(
            lambda: write_index(
                folder / CHUNKS,
                folder / "embeddings",
                folder / "index",
                old / "index" if old else None,
            )
        )
        print(
            f"{name}: {report.n_chunks} chunks of {report.n_transcripts} broadcasts, {report.n_written} of them written"
            f", {made.n_encoded} texts encoded, {report.n_bytes / 1e6:.0f} MB"
        )
        return table, vectors, index


def _turns(work: Path, sections: Sections) -> None:
    """Turn and pair table anew; they are other assets' business and not timed here."""
    for name in (TURNS, PAIRS):
        shutil.rmtree(work / name, ignore_errors=True)
        if (work / name).is_file():
            (work / name).unlink()
    write_turn_table(scan(work / "corpus", sections.corpus), Grammar(sections.corpus), work)
    write_pair_table(work / TURNS, work)


def _change_one(work: Path, sections: Sections) -> str:
    """A sentence more in the middle of the broadcast of middling size."""
    files = sorted(scan(work / "corpus", sections.corpus).files, key=lambda file: file.size)
    file = work / "corpus" / files[len(files) // 2].path
    lines = file.read_text(encoding="utf-8").split("\n")
    label = sections.corpus.host_labels
    middle = next(n for n in range(len(lines) // 2, len(lines)) if lines[n].startswith(tuple(label)))
    lines[middle] += "补充一句从来没有人说过的话。"
    file.write_text("\n".join(lines), encoding="utf-8")
    return file.relative_to(work / "corpus").as_posix()


def _compare(build: _Build, n_questions: int) -> None:
    asked = [pair.guest_text for _, _, pairs in read_pairs(build.work / PAIRS) for pair in pairs if pair.guest_text]
    questions = asked[:: max(len(asked) // n_questions, 1)][:n_questions]
    updated, rebuilt = (
        Retriever.open(build.work / name / "index", build.encoder, build.sections.retrieval)
        for name in ("updated", "rebuilt")
    )
    n_same, furthest = 0, 0.0
    for question in questions:
        one, two = updated.search(question, TOP), rebuilt.search(question, TOP)
        n_same += [hit.chunk_id for hit in one] == [hit.chunk_id for hit in two]
        furthest = max([furthest, *(abs(a.score - b.score) for a, b in zip(one, two, strict=False))])
    print(f"updated and rebuilt index: the same first {TOP} for {n_same} of {len(questions)} questions, ", end="")
    print(f"scores differ by {furthest:.1e} at most")


if __name__ == "__main__":
    main()
