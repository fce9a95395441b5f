"""The dense side of a segment by its size, beside FAISS's IndexFlatIP of the same vectors: in one run, on one core.

    python benchmarks/vectors.py --corpus FOLDER [--work FOLDER] [--sizes 50000 200000 1000000] [--questions 1000]

The vectors are real: the corpus is cut into chunks of BUDGETS characters at most, one budget after the other, until there
are as many distinct texts as the largest size wants, and the embedded encoder encodes them. A smaller size is an even
sample. The chunks of two budgets overlap, so there are more near repetitions than in a corpus of that size. Questions
are guests' turns of the corpus, encoded as questions; what they are asked for is as near as anything in the corpus, and
many are no questions but a word or two.

Each index is built, and asked, in a process of its own with one thread. Memory is what the process holds more after its
questions than before it opened the index; `shared` is what two processes hold of the files together (PSS). Recall is the
share of the flat index's first ten that are among ours. A filter lets every so manieth row out, or one run of rows.
--work keeps encoder and vectors, and uses what is there. benchmarks/scale.py measures the whole index.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil

from hcf_pipeline.corpus.grammar import Grammar
from hcf_pipeline.corpus.manifest import scan
from hcf_pipeline.corpus.tables import PAIRS, TURNS, read_pairs, read_transcripts, write_pair_table, write_turn_table
from hcf_pipeline.rag.arrays import Mask
from hcf_pipeline.rag.chunking.chunks import chunk_transcript
from hcf_pipeline.rag.encode.embed import prepared
from hcf_pipeline.rag.encode.encoder import Encoder, load_encoder
from hcf_pipeline.rag.encode.encoder_fit import fit_encoder
from hcf_pipeline.rag.index.dense import DENSE, dense_writer, one_thread, open_dense
from hcf_pipeline.settings import ChunkSettings, Sections
from hcf_pipeline.settings.file import load_settings

BUDGETS = (600, 500, 400, 320, 250, 200, 160, 125, 100, 80, 63, 50, 40)
TOP = 10
CANDIDATES = 100  # what the retriever asks for
FILTERS = (0.1, 0.01, 0.001)
DOCUMENTS, QUESTIONS = "documents.npy", "questions.npy"
FLAT, OURS = "flat", "ours"
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--work", type=Path, help="keeps encoder and vectors")
    parser.add_argument("--sizes", type=int, nargs="+", default=[50_000, 200_000, 1_000_000])
    parser.add_argument("--questions", type=int, default=1_000)
    parser.add_argument("--step", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.step:
        what, folder, argument = given.step
        print(json.dumps(_build(Path(folder)) if what == "build" else _ask(Path(folder), int(argument))))
        return
    sections = load_settings().sections
    with tempfile.TemporaryDirectory() as scratch:
        work = given.work or Path(scratch)
        encoder = _prepare(given.corpus, work, sections)
        _vectors(work, encoder, max(given.sizes), given.questions)
        print(
            f"\n{'vectors':>9} {'':5} {'build s':>8} {'MB':>7} {'resident':>9} {'shared':>7} "
            f"{'p50 ms':>7} {'p99 ms':>7} {f'of {CANDIDATES}':>7} {'recall':>7} {f'of {CANDIDATES}':>7}"
        )
        for size in given.sizes:
            _compare(work, size)


def _prepare(corpus: Path, work: Path, sections: Sections) -> Encoder:
    if not (work / TURNS).exists():
        write_turn_table(scan(corpus, sections.corpus), Grammar(sections.corpus), work)
    if not (work / PAIRS).exists():
        write_pair_table(work / TURNS, work)
    if not (work / "encoder").is_dir():
        fit_encoder(work / PAIRS, sections.encoder, (), work / "encoder")
    return load_encoder(work / "encoder", "cpu", sections.encoder)


def _told(what: str, started: float) -> float:
    now = time.perf_counter()
    print(f"{now - started:7.1f} s  {what}")
    return now


def _vectors(work: Path, encoder: Encoder, n: int, n_questions: int) -> None:
    if not (work / DOCUMENTS).is_file() or len(np.load(work / DOCUMENTS, mmap_mode="r")) < n:
        started = time.perf_counter()
        documents = np.lib.format.open_memmap(work / f"draft-{DOCUMENTS}", "w+", np.float32, (n, encoder.dim))
        n_done = 0
        for new in _distinct(work / TURNS):
            texts = new[: n - n_done]
            documents[n_done : n_done + len(texts)] = encoder.encode_documents(texts)
            n_done += len(texts)
            if n_done == n:
                break
        else:
            raise SystemExit(f"the corpus gives {n_done} distinct texts; ask for no more with --sizes")
        documents.flush()
        (work / f"draft-{DOCUMENTS}").rename(work / DOCUMENTS)
        _told(f"{n} distinct texts encoded", started)
    np.save(work / QUESTIONS, np.array([encoder.encode_query(question) for question in _asked(work, n_questions)]))


def _asked(work: Path, n: int) -> list[str]:
    asked = [pair.guest_text for _, _, pairs in read_pairs(work / PAIRS) for pair in pairs if pair.guest_text]
    return asked[:: max(len(asked) // n, 1)][:n]


def _distinct(turns: Path) -> Iterator[list[str]]:
    """The new texts of each transcript, as they are encoded."""
    seen: set[int] = set()
    for budget in BUDGETS:
        for path, _, said in read_transcripts(turns):
            new = {}
            for chunk in chunk_transcript(path, said, ChunkSettings(max_chars=budget)):
                text = prepared(chunk.text)
                if hash(text) not in seen:
                    new[hash(text)] = text
            seen.update(new)
            yield list(new.values())


def _compare(work: Path, size: int) -> None:
    results = {}
    for name in (FLAT, OURS):
        folder = work / f"{size} {name}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        np.save(folder / "rows.npy", np.linspace(0, len(np.load(work / DOCUMENTS, mmap_mode="r")) - 1, size, dtype=int))
        built = json.loads(_step("build", folder, 0).communicate()[0])
        asked = json.loads(_step("ask", folder, 1).communicate()[0])
        pair = [_step("ask", folder, 0) for _ in range(2)]
        for process in pair:
            assert process.stdout
            process.stdout.readline()  # both hold their files now
        shared = sum(_of_files(process.pid, folder) for process in pair)
        for process in pair:
            process.communicate("")
        results[name] = (built, asked, shared)
        found = {file.stem: np.load(file) for file in folder.glob("found *.npy")}
        reference = {file.stem: np.load(file) for file in (work / f"{size} {FLAT}").glob("found *.npy")}
        print(
            f"{size:9} {name:5} {built['seconds']:8.1f} {built['bytes'] / 1e6:7.0f} {asked['resident'] / 1e6:9.0f} "
            f"{shared / 1e6:7.0f} {asked['p50']:7.1f} {asked['p99']:7.1f} {asked['p50 of many']:7.1f} "
            f"{_recall(found, reference, f'found {TOP}'):7.3f} {_recall(found, reference, f'found {CANDIDATES}'):7.3f}",
            flush=True,
        )
    (_, flat, _), (_, ours, _) = results[FLAT], results[OURS]
    print(
        f"{'':9} memory {ours['resident'] / flat['resident']:.2f} of flat, p50 {ours['p50'] / flat['p50']:.2f} of flat, "
        f"{ours['lists']} lists read"
    )
    for name, _ in _filters(10):
        kept = _recall(found, reference, f"found {name}")
        print(f"{'':9} only {name}: recall {kept:.3f}, {ours[name]:.1f} ms in the mean, flat {flat[name]:.1f}")


def _recall(found: dict[str, np.ndarray], reference: dict[str, np.ndarray], name: str) -> float:
    pairs = zip(found[name], reference[name], strict=True)
    return float(np.mean([len(np.intersect1d(mine, true)) / len(true) for mine, true in pairs]))


def _step(what: str, folder: Path, argument: int) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, "--step", what, str(folder), str(argument)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env={**os.environ, **ONE_THREAD}, stdin=pipe, stdout=pipe, text=True)


def _of_files(pid: int, folder: Path) -> int:
    """Bytes of a folder's files that a process maps, each page divided by the number of processes that share it."""
    return sum(one.pss for one in psutil.Process(pid).memory_maps(grouped=False) if one.path.startswith(str(folder)))


class Plain:
    """FAISS's own flat index, float32, by memory map: what ours is compared with."""

    def __init__(self, file: Path) -> None:
        import faiss

        self._index = faiss.read_index(str(file), faiss.IO_FLAG_MMAP_IFC)
        self.n_rows = int(self._index.ntotal)

    def nearest(self, vector: np.ndarray, k: int, among: Mask | None) -> tuple[np.ndarray, np.ndarray]:
        import faiss

        parameters = None
        if among is not None:
            parameters = faiss.SearchParameters()
            parameters.sel = faiss.IDSelectorBitmap(np.packbits(among, bitorder="little"))
        with one_thread():
            products, rows = self._index.search(vector[None, :], k, params=parameters)
        return products[0], rows[0]


@contextmanager
def plain_writer(file: Path, dim: int) -> Iterator[Callable[[np.ndarray], object]]:
    import faiss

    index = faiss.IndexFlatIP(dim)
    yield index.add
    faiss.write_index(index, str(file))


def _build(folder: Path) -> dict[str, float]:
    documents, rows = np.load(folder.parent / DOCUMENTS, mmap_mode="r"), np.load(folder / "rows.npy")
    documents[rows[::64]].sum()  # read from the disk before the clock runs
    (folder / "index").mkdir()
    started = time.perf_counter()
    n_rows, dim = len(rows), documents.shape[1]
    ours = folder.name.endswith(OURS)
    with dense_writer(folder / "index", n_rows, dim) if ours else plain_writer(folder / "index" / DENSE, dim) as add:
        for start in range(0, n_rows, 120):  # about a transcript
            add(documents[rows[start : start + 120]])
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "bytes": sum(file.stat().st_size for file in (folder / "index").iterdir())}


def _ask(folder: Path, measure: int) -> dict[str, float]:
    """Without `measure` only a few questions, and then the files are held until the other side speaks."""
    import faiss  # noqa: F401 - its own memory is nobody's

    questions = np.load(folder.parent / QUESTIONS)
    process = psutil.Process()
    before = process.memory_info().rss
    dense = open_dense(folder / "index") if folder.name.endswith(OURS) else Plain(folder / "index" / DENSE)
    if not measure:
        for question in questions[:100]:
            dense.nearest(question, CANDIDATES, None)
        print(flush=True)
        sys.stdin.read()
        return {}
    result: dict[str, float] = {}
    for k in (TOP, CANDIDATES):
        dense.nearest(questions[0], k, None)
        found, ms = [], []
        for question in questions:
            started = time.perf_counter()
            _, rows = dense.nearest(question, k, None)
            ms.append((time.perf_counter() - started) * 1000)
            found.append(rows)
        np.save(folder / f"found {k}.npy", np.array(found))
        result |= {"p50": _p(ms, 50), "p99": _p(ms, 99)} if k == TOP else {"p50 of many": _p(ms, 50)}
    result["resident"] = process.memory_info().rss - before
    for name, among in _filters(dense.n_rows):
        started = time.perf_counter()
        found = [dense.nearest(question, TOP, among)[1] for question in questions[:200]]
        result[name] = (time.perf_counter() - started) * 1000 / len(found)
        np.save(folder / f"found {name}.npy", np.array(found))
    return {**result, "lists": _lists(folder / "index")}


def _filters(n_rows: int) -> Iterator[tuple[str, Mask]]:
    rows = np.arange(n_rows)
    for share in FILTERS:
        yield f"every {round(1 / share)}th", rows % round(1 / share) == 0
        yield f"run of {share:g}", (rows >= n_rows // 3) & (rows < n_rows // 3 + share * n_rows)


def _p(values: list[float], q: float) -> float:
    return float(np.percentile(values, q))


def _lists(folder: Path) -> str:
    import faiss

    index = faiss.read_index(str(folder / DENSE), faiss.IO_FLAG_MMAP_IFC)
    return f"{index.nprobe} of {index.nlist}" if isinstance(index, faiss.IndexIVF) else "no"


if __name__ == "__main__":
    main()
