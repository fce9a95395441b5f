"""The two forms of a segment's dense side: a flat one, and an inverted file that finds nearly the same in a quarter."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import faiss
import numpy as np
import pytest

from hcf_pipeline.errors import ArtifactError
from hcf_pipeline.rag.arrays import Vectors
from hcf_pipeline.rag.encode.embed import write_embeddings
from hcf_pipeline.rag.index.dense import DENSE, VECTORS, Flat, Inverted, dense_writer, open_dense
from hcf_pipeline.rag.index.index import Index
from hcf_pipeline.rag.index.self_test import self_test
from hcf_pipeline.rag.index.writer import write_index
from hcf_pipeline.rag.search.retriever import Retriever
from hcf_pipeline.settings import RetrievalSettings
from hcf_pipeline_tests.rag.conftest import Built, write_chunks
from hcf_pipeline_tests.rag.test_index_update import WORDS, corpus

N_ROWS, DIM, TOP = 3_000, 64, 10
FLAT_ROWS = 1_000  # for these tests


def unit(vectors: Vectors) -> Vectors:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def clustered(n: int, seed: int) -> Vectors:
    """n vectors around 40 centres that are the same for every seed."""
    centres = np.random.default_rng(0).standard_normal((40, DIM))
    random_ = np.random.default_rng(seed)
    return unit(centres[random_.integers(0, 40, n)] + 0.5 * random_.standard_normal((n, DIM)))


VECTORS_OF_ALL = clustered(N_ROWS, 1)
KEPT = VECTORS_OF_ALL.astype(np.float16).astype(np.float32)
"""What an index holds of them."""
QUESTIONS = clustered(100, 2)


def write(vectors: Vectors, folder: Path, flat_rows: int = FLAT_ROWS, at_a_time: int = 700) -> Path:
    folder.mkdir()
    with dense_writer(folder, len(vectors), DIM, flat_rows) as add:
        for start in range(0, len(vectors), at_a_time):
            add(vectors[start : start + at_a_time])
    return folder


def recall(folder: Path, among: np.ndarray | None = None, k: int = TOP) -> float:
    """Share of the true first k that the index in a folder finds."""
    dense = open_dense(folder)
    rows = np.arange(N_ROWS) if among is None else np.flatnonzero(among)
    found = 0
    for question in QUESTIONS:
        true = rows[np.argsort(-(VECTORS_OF_ALL[rows] @ question))[:k]]
        found += len(np.intersect1d(dense.nearest(question, k, among)[1], true))
    return found / (len(QUESTIONS) * min(k, len(rows)))


@pytest.fixture(scope="module")
def flat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(VECTORS_OF_ALL, tmp_path_factory.mktemp("dense") / "flat", flat_rows=N_ROWS)


@pytest.fixture(scope="module")
def inverted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(VECTORS_OF_ALL, tmp_path_factory.mktemp("dense") / "inverted")


def test_rows_up_to_the_limit_are_flat_in_the_same_bytes_as_ever_and_more_become_an_inverted_file(
    tmp_path: Path,
) -> None:
    small = write(VECTORS_OF_ALL[:FLAT_ROWS], tmp_path / "small")
    plain = faiss.IndexScalarQuantizer(DIM, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
    plain.add(KEPT[:FLAT_ROWS])
    faiss.write_index(plain, str(tmp_path / "plain"))
    assert [file.name for file in small.iterdir()] == [DENSE]
    assert (small / DENSE).read_bytes() == (tmp_path / "plain").read_bytes()
    assert isinstance(open_dense(small), Flat)
    large = write(VECTORS_OF_ALL[: FLAT_ROWS + 1], tmp_path / "large")
    assert {file.name for file in large.iterdir()} == {DENSE, VECTORS}
    assert isinstance(open_dense(large), Inverted)
    assert (large / DENSE).stat().st_size < VECTORS_OF_ALL[: FLAT_ROWS + 1].nbytes / 2


def test_the_inverted_file_finds_what_the_flat_one_finds_and_reads_few_lists_of_clustered_vectors(
    inverted: Path,
) -> None:
    assert recall(inverted) >= 0.97
    assert recall(inverted, k=200) >= 0.97
    index = faiss.read_index(str(inverted / DENSE))
    assert index.nprobe < index.nlist / 2


@pytest.mark.parametrize("form", ["flat", "inverted"])
def test_products_are_those_of_the_kept_vectors_best_first(form: str, request: pytest.FixtureRequest) -> None:
    dense = open_dense(request.getfixturevalue(form))
    for question in QUESTIONS[:10]:
        products, rows = dense.nearest(question, 50, None)
        assert len(rows) == len(set(rows.tolist())) == 50
        assert products == pytest.approx(KEPT[rows] @ question, abs=1e-6)
        assert (np.diff(products) <= 0).all()


def test_half_precision_moves_no_cosine_by_more_than_two_ten_thousandths_and_loses_no_neighbour(flat: Path) -> None:
    assert np.abs(KEPT @ QUESTIONS.T - VECTORS_OF_ALL @ QUESTIONS.T).max() < 2e-4
    assert recall(flat) > 0.995


@pytest.mark.parametrize("share", [0.5, 0.1, 0.01, 0.002])
@pytest.mark.parametrize("in_a_run", [True, False], ids=["a run of rows", "here and there"])
def test_only_allowed_rows_come_out_and_none_is_missed_where_few_are(
    inverted: Path, share: float, in_a_run: bool
) -> None:
    among = np.random.default_rng(3).random(N_ROWS) < share
    if in_a_run:
        among = np.arange(N_ROWS) < share * N_ROWS
    allowed = set(np.flatnonzero(among).tolist())
    for question in QUESTIONS[:20]:
        _, rows = open_dense(inverted).nearest(question, TOP, among)
        assert len(rows) == min(TOP, len(allowed)) and set(rows.tolist()) <= allowed
    assert recall(inverted, among) >= (0.97 if share >= 0.1 else 1)


def test_where_no_row_is_allowed_nothing_comes_out(inverted: Path) -> None:
    products, rows = open_dense(inverted).nearest(QUESTIONS[0], TOP, np.zeros(N_ROWS, np.bool_))
    assert len(products) == len(rows) == 0


def test_more_than_there_is_gives_all_there_is(inverted: Path) -> None:
    _, rows = open_dense(inverted).nearest(QUESTIONS[0], 5 * N_ROWS, None)
    assert sorted(rows.tolist()) == list(range(N_ROWS))


@pytest.mark.parametrize("form", ["flat", "inverted"])
@pytest.mark.parametrize("rows", [[], [0], [N_ROWS - 1], [3, 4, 5, 9, 10, 2_000], list(range(N_ROWS))])
def test_the_vectors_of_some_rows_are_those_given_in_half_precision(
    form: str, rows: list[int], request: pytest.FixtureRequest
) -> None:
    found = open_dense(request.getfixturevalue(form)).vectors(np.array(rows, dtype=np.int64))
    assert found.dtype == np.float32 and found.shape == (len(rows), DIM)
    assert np.array_equal(found, KEPT[rows])


def test_the_same_vectors_give_the_same_bytes_however_they_come(inverted: Path, tmp_path: Path) -> None:
    again = write(VECTORS_OF_ALL, tmp_path / "again", at_a_time=1_231)
    for name in (DENSE, VECTORS):
        assert (again / name).read_bytes() == (inverted / name).read_bytes()


def test_equal_vectors_and_vectors_without_direction_are_found_too(tmp_path: Path) -> None:
    vectors = VECTORS_OF_ALL.copy()
    vectors[100:110] = vectors[2_500:2_510] = QUESTIONS[0]
    vectors[1_500:1_700] = 0
    products, rows = open_dense(write(vectors, tmp_path / "odd")).nearest(QUESTIONS[0], 20, None)
    assert sorted(rows.tolist()) == [*range(100, 110), *range(2_500, 2_510)]
    assert products == pytest.approx(np.full(20, QUESTIONS[0].astype(np.float16) @ QUESTIONS[0]), abs=1e-6)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_processes_share_the_lists_and_hold_no_copy_of_the_vectors(inverted: Path) -> None:
    reads = f"""
import sys; from pathlib import Path; import numpy as np; from hcf_pipeline.rag.index.dense import open_dense
folder = Path({str(inverted)!r})
dense = open_dense(folder)
dense.nearest(np.load(folder / "vectors.npy")[0], {N_ROWS}, None)
maps, size = {{}}, ""
for line in open("/proc/self/smaps"):
    if line.rstrip().endswith((".faiss", ".npy")): size = line.rsplit("/", 1)[1].strip()
    elif line[0] in "0123456789abcdef": size = ""
    elif size and line.startswith(("Rss:", "Pss:")): maps[size + line[:3]] = maps.get(size + line[:3], 0) + int(line.split()[1])
import json; print(json.dumps(maps), flush=True); sys.stdin.read()
"""
    one, two = (
        subprocess.Popen([sys.executable, "-c", reads], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    )
    try:
        assert one.stdout and two.stdout
        json.loads(one.stdout.readline())
        maps = json.loads(two.stdout.readline())
    finally:
        one.communicate("")
        two.communicate("")
    n_bytes = (inverted / DENSE).stat().st_size
    assert maps[f"{DENSE}Rss"] * 1024 > 0.8 * n_bytes
    assert maps.get(f"{VECTORS}Rss", 0) * 1024 < os.sysconf("SC_PAGE_SIZE") * 16 + 1


@pytest.fixture(scope="module")
def indexes(built: Built, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same chunks with a flat dense side and with an inverted file; in both, some transcripts are dead."""
    folder = tmp_path_factory.mktemp("indexes")
    talks = corpus(40)
    gone = {path: talk for path, talk in talks.items() if path not in {"003.md", "017.md"}}
    tables = [write_chunks(one, folder / name) for one, name in ((talks, "chunks"), (gone, "fewer chunks"))]
    out = {}
    for name, flat_rows in (("flat", 10**6), ("inverted", 100)):
        previous = None
        for n, table in enumerate(tables):
            embeddings, index = folder / name / f"{n} embeddings", folder / name / f"{n} index"
            embeddings.mkdir(parents=True)
            index.mkdir()
            write_embeddings(table, built.encoder, built.cache, embeddings)
            write_index(table, embeddings, index, previous, flat_rows)
            previous = index
        assert previous
        out[name] = previous
    return out


def test_an_index_answers_alike_in_both_forms_and_finds_nothing_dead(built: Built, indexes: dict[str, Path]) -> None:
    settings = RetrievalSettings(dense_weight=0.5)
    flat, inverted = (Retriever.open(indexes[name], built.encoder, settings) for name in ("flat", "inverted"))
    assert list(indexes["inverted"].rglob(VECTORS)) and not list(indexes["flat"].rglob(VECTORS))
    random_ = random.Random(7)
    for _ in range(30):
        question = "".join(random_.choices(WORDS, k=random_.randrange(4, 14))) + "？"
        one, two = flat.search(question, TOP), inverted.search(question, TOP)
        assert [hit.chunk_id for hit in one] == [hit.chunk_id for hit in two]
        assert not {"003.md", "017.md"} & {hit.transcript for hit in two}
        assert [hit.score for hit in one] == pytest.approx([hit.score for hit in two], abs=1e-5)
    assert Index(indexes["inverted"], built.encoder.identity, built.encoder.dim).live is not None
    assert self_test(indexes["inverted"]).n_wrong == 0


@pytest.mark.parametrize("name", [DENSE, VECTORS])
@pytest.mark.parametrize("how", ["cut short", "gone"])
def test_a_damaged_file_is_refused_in_one_sentence(built: Built, indexes: dict[str, Path], name: str, how: str) -> None:
    file = next(indexes["inverted"].rglob(name))
    whole = file.read_bytes()
    file.unlink()  # a new file: the other versions of the index have links to this one
    if how == "cut short":
        file.write_bytes(whole[: len(whole) // 2])
    try:
        for verified in (False, True):  # by the checksum, and by what opening it shows
            with pytest.raises(ArtifactError, match=r"^The index is incomplete or damaged \([^\n]*\); run hcf refresh"):
                Index(indexes["inverted"], built.encoder.identity, built.encoder.dim, verified=verified)
    finally:
        file.write_bytes(whole)
