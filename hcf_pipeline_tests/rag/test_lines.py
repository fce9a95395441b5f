"""Who speaks stands beside the words, and is never read out of them again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hcf_pipeline.corpus.parts import Table
from hcf_pipeline.corpus.transcript import Turn
from hcf_pipeline.rag.chunking.chunks import CHUNK_SCHEMA, Chunk, chunk_transcript
from hcf_pipeline.rag.chunking.lines import Line, shown
from hcf_pipeline.rag.encode.embed import write_embeddings
from hcf_pipeline.rag.encode.vector_cache import VectorCache
from hcf_pipeline.rag.evaluation.questions import Question, without_questions
from hcf_pipeline.rag.index.writer import write_index
from hcf_pipeline.rag.search.retriever import Retriever
from hcf_pipeline.settings import ChunkSettings, RetrievalSettings
from hcf_pipeline_tests.rag.conftest import Built, write_chunks

SAID = [
    Turn(1, "guest", "水友", "两件事：几点开播？", ""),
    Turn(2, "host", "小禾", "开播时间：八点整。\n电瓶价格：四百七十块。\n还有一句", ""),
    Turn(3, "host", "大山", "我补充一句：九点收工", ""),
]


@pytest.fixture(scope="module")
def retriever(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Retriever:
    folder = tmp_path_factory.mktemp("lines")
    for name in ("embeddings", "index"):
        (folder / name).mkdir()
    others = [Turn(no, "host", "小禾", f"第{no}天去河边跑步，天气不错。" * 3, "") for no in range(1, 9)]
    chunks = write_chunks({"a.md": (None, SAID), "b.md": (None, others)}, folder / "chunks")
    write_embeddings(chunks, built.encoder, VectorCache(folder / "cache"), folder / "embeddings")
    write_index(chunks, folder / "embeddings", folder / "index")
    return Retriever.open(folder / "index", built.encoder, RetrievalSettings(dense_weight=0))


@pytest.mark.parametrize("words", ["电瓶价格", "开播时间", "补充", "两件事"])
def test_what_stands_before_a_colon_is_found(retriever: Retriever, words: str) -> None:
    asked = retriever.query(words)
    hits = retriever.search(asked, 5)
    assert hits[0].transcript == "a.md" and words in hits[0].words
    assert retriever.bears_on(asked, hits)


@pytest.mark.parametrize("label", ["小禾", "大山"])
def test_a_speakers_name_is_not_found_where_he_merely_speaks(retriever: Retriever, label: str) -> None:
    assert retriever.search(label, 5) == []


def test_a_hit_has_each_turn_with_its_number_and_speaker_and_shows_them(retriever: Retriever) -> None:
    hit = retriever.search("电瓶价格", 1)[0]
    assert hit.lines == tuple(Line(turn.no, turn.label, turn.text) for turn in SAID)
    assert hit.text == (
        "水友：两件事：几点开播？\n小禾：开播时间：八点整。\n电瓶价格：四百七十块。\n还有一句\n大山：我补充一句：九点收工"
    )


odd = st.text(st.sampled_from("修车：:，。\n 一"), min_size=1, max_size=80)


@given(st.lists(st.tuples(st.sampled_from(["水友", "小：禾", "大 山"]), odd), min_size=1, max_size=12))
def test_lines_come_back_from_a_chunk_as_they_went_in_whatever_their_words(said: list[tuple[str, str]]) -> None:
    turns = [Turn(no, "host", label, text, "") for no, (label, text) in enumerate(said, 1)]
    chunks = chunk_transcript("a.md", turns, ChunkSettings(max_chars=32768))
    lines = [line for chunk in chunks for line in chunk.lines]
    assert lines == ([Line(t.no, t.label, t.text) for t in turns] if "".join(t.text for t in turns).strip() else [])
    assert [chunk.n_chars for chunk in chunks] == [sum(len(line.text) for line in chunk.lines) for chunk in chunks]


def test_the_same_words_of_another_speaker_have_the_same_vector_and_are_another_row() -> None:
    mine, theirs = (
        chunk_transcript("a.md", [Turn(1, "host", label, "一样的话。", "")], ChunkSettings())
        for label in ("小禾", "大山")
    )
    assert mine[0].content_hash == theirs[0].content_hash and mine != theirs


def test_a_question_is_taken_out_with_all_its_lines_and_nothing_else(built: Built, tmp_path: Path) -> None:
    turns = [SAID[0]._replace(text="第一：几点开播？\n第二：几点收工？"), *SAID[1:]]
    chunks = write_chunks({"a.md": (None, turns)}, tmp_path / "chunks")
    without = without_questions(chunks, [Question("几点开播？", "a.md", turn=1)], tmp_path / "without")
    rows = Table(without).rows("a.md", CHUNK_SCHEMA.names[2:]).to_pylist()
    (chunk,) = (Chunk(**row) for row in rows)
    assert chunk.lines == tuple(Line(turn.no, turn.label, turn.text) for turn in turns[1:])
    assert (chunk.first_turn, chunk.last_turn, chunk.speakers) == (2, 3, ["小禾", "大山"])
    assert shown(chunk.lines).startswith("小禾：开播时间：八点整。")


class Counted(str):
    """A text that counts the characters which are copied out of it or searched."""

    n_read = 0

    def __getitem__(self, key: object) -> str:
        part = super().__getitem__(key)  # type: ignore[index]
        Counted.n_read += len(part)
        return part

    def find(self, sub: str, start: int = 0, end: int | None = None) -> int:  # type: ignore[override]
        Counted.n_read += (len(self) if end is None else end) - start
        return super().find(sub, start, end)

    def rfind(self, sub: str, start: int = 0, end: int | None = None) -> int:  # type: ignore[override]
        Counted.n_read += (len(self) if end is None else end) - start
        return super().rfind(sub, start, end)


@pytest.mark.parametrize("unit", ["说完一句。", "没有句号", "好 ", "\n"])
def test_a_huge_turn_is_cut_in_one_pass(unit: str) -> None:
    def read(n: int) -> int:
        Counted.n_read = 0
        text = Counted("好" + unit * n + "好")
        chunks = chunk_transcript("a.md", [Turn(1, "host", "小禾", text, "")], ChunkSettings(max_chars=64))
        assert sum(len(chunk.text.strip()) for chunk in chunks) <= len(text)
        return Counted.n_read

    assert read(40_000) < 5 * read(10_000)


def test_no_chunk_is_white_space_alone(built: Built, tmp_path: Path) -> None:
    turns = [Turn(1, "host", "小禾", "前面。" + " " * 500 + "\n" * 90 + "后面。", "")]
    chunks = write_chunks({"a.md": (None, turns)}, tmp_path / "chunks")
    assert all(text.strip() for _, (texts,) in Table(chunks).read(["text"]) for text in texts.to_pylist())
    (tmp_path / "out").mkdir()
    report = write_embeddings(chunks, built.encoder, VectorCache(tmp_path / "cache"), tmp_path / "out")
    assert report.n_texts == report.n_encoded == 2


def test_rows_of_a_table_are_the_chunks(built: Built) -> None:
    for entry in Table(built.chunks).entries:
        for row in Table(built.chunks).rows(entry.path, CHUNK_SCHEMA.names[2:]).to_pylist():
            chunk = Chunk(**row)
            assert np.diff(chunk.ends).min(initial=1) > 0 and chunk.ends[-1] == len(chunk.text)
            assert chunk.with_lines(chunk.lines) == chunk
