"""When a turn begins goes with it into chunks, index and hits; where there are no times nothing is another than before."""

from __future__ import annotations

import datetime
from pathlib import Path

import pyarrow as pa
import pytest

from hcf_pipeline.corpus.parts import Made, Table, Wanted, n_made, write_table
from hcf_pipeline.corpus.transcript import Turn
from hcf_pipeline.rag.chunking.chunks import CHUNK_SCHEMA, Chunk, chunk_transcript
from hcf_pipeline.rag.encode.embed import write_embeddings
from hcf_pipeline.rag.evaluation.questions import Question, without_questions
from hcf_pipeline.rag.index.sidecar import Sidecar
from hcf_pipeline.rag.index.writer import write_index
from hcf_pipeline.rag.search.retriever import Retriever
from hcf_pipeline.settings import ChunkSettings, RetrievalSettings
from hcf_pipeline.text import clock
from hcf_pipeline_tests.rag.conftest import CHUNKING, Built, write_chunks

DAY = datetime.date(2024, 6, 1)
TIMED = [
    Turn(1, "guest", "水友", "海胆捞饭怎么做？", "", 62.5),
    Turn(2, "host", "江照野", "海胆捞饭先放热饭，再放海胆。" + "拌匀了慢慢吃。" * 20, "", 70.25),
    Turn(3, "host", "江照野", "下一位。", "", None),
]
PLAIN = [turn._replace(start_s=None) for turn in TIMED]


def index_of(built: Built, chunks: Path, out: Path, previous: Path | None = None) -> Path:
    for name in ("vectors", "index"):
        (out / name).mkdir(parents=True)
    write_embeddings(chunks, built.encoder, built.cache, out / "vectors")
    write_index(chunks, out / "vectors", out / "index", previous)
    return out / "index"


def table_of_before(turns: list[Turn], out: Path) -> Path:
    """A chunk table as it was written before chunks had times."""
    schema = pa.schema(list(CHUNK_SCHEMA)[:-1])

    def make(one: Wanted) -> Made:
        return Made(tuple(zip(*[row[:-1] for row in chunk_transcript(one.path, turns, CHUNKING)], strict=True)), {})

    return write_table(schema, [Wanted("a.md", DAY, "key")], make, out).folder


def table_of_now(turns: list[Turn], out: Path, previous: Path | None = None) -> Path:
    def make(one: Wanted) -> Made:
        return Made(tuple(zip(*chunk_transcript(one.path, turns, CHUNKING), strict=True)), {})

    return write_table(CHUNK_SCHEMA, [Wanted("a.md", DAY, "key")], make, out, previous).folder


def test_each_piece_of_a_turn_has_the_time_at_which_the_turn_begins() -> None:
    chunks = chunk_transcript("a.md", TIMED, ChunkSettings(max_chars=64))
    assert len(chunks) > 2
    times = {1: 62.5, 2: 70.25, 3: None}
    assert all(line.start_s == times[line.turn] for chunk in chunks for line in chunk.lines)
    assert chunks[0].starts_s == [62.5, 70.25]
    assert all(chunk.with_lines(chunk.lines) == chunk for chunk in chunks)


def test_times_change_neither_the_words_nor_the_ids_of_chunks() -> None:
    with_times, without = (chunk_transcript("a.md", turns, CHUNKING) for turns in (TIMED, PLAIN))
    assert [chunk._replace(starts_s=None) for chunk in with_times] == without


def test_a_table_without_times_is_in_version_and_bytes_the_one_from_before_there_were_any(tmp_path: Path) -> None:
    before, now = table_of_before(PLAIN, tmp_path / "before"), table_of_now(PLAIN, tmp_path / "now")
    again = table_of_now(PLAIN, tmp_path / "again", before)
    assert Table(before).version == Table(now).version == Table(again).version
    assert n_made(again, before) == 0
    parts = [{file.name: file.read_bytes() for file in (one / "parts").iterdir()} for one in (before, now, again)]
    assert parts[0] == parts[1] == parts[2]
    ((_, columns),) = Table(before).read(CHUNK_SCHEMA.names[2:])
    rows = [Chunk(*row) for row in zip(*[column.to_pylist() for column in columns], strict=True)]
    assert rows == chunk_transcript("a.md", PLAIN, CHUNKING)


def test_times_that_come_give_the_table_another_version(tmp_path: Path) -> None:
    assert Table(table_of_now(TIMED, tmp_path / "a")).version != Table(table_of_now(PLAIN, tmp_path / "b")).version


@pytest.mark.parametrize(("turns", "start_s"), [(TIMED, 62.5), (PLAIN, None)])
def test_a_hit_says_when_it_was_said(built: Built, tmp_path: Path, turns: list[Turn], start_s: float | None) -> None:
    chunks = write_chunks({"a.md": (DAY, turns)}, tmp_path / "chunks")
    index = index_of(built, chunks, tmp_path)
    (hit,) = Retriever.open(index, built.encoder, RetrievalSettings()).search("海胆捞饭怎么做？", 1)
    assert hit.start_s == start_s
    assert [line.start_s for line in hit.lines] == [turns[line.turn - 1].start_s for line in hit.lines]


def test_an_index_from_before_there_were_times_is_the_same_one_and_goes_on(built: Built, tmp_path: Path) -> None:
    before = table_of_before(PLAIN, tmp_path / "before")
    index = index_of(built, before, tmp_path / "old")
    now = table_of_now(PLAIN, tmp_path / "now")
    updated = index_of(built, now, tmp_path / "new", index)
    assert Sidecar.load(updated).content == Sidecar.load(index).content
    (hit,) = Retriever.open(updated, built.encoder, RetrievalSettings()).search("海胆捞饭怎么做？", 1)
    assert hit.start_s is None and hit.lines[0].text == "海胆捞饭怎么做？"


def test_a_question_that_is_taken_out_leaves_the_times_of_the_rest(tmp_path: Path) -> None:
    chunks = write_chunks({"a.md": (DAY, TIMED)}, tmp_path / "chunks")
    left = without_questions(chunks, [Question("海胆捞饭怎么做？", "a.md", turn=1)], tmp_path / "left")
    ((_, columns),) = Table(left).read(["first_turn", "starts_s"])
    assert (columns[0][0].as_py(), columns[1][0].as_py()) == (2, [70.25])


@pytest.mark.parametrize(("seconds", "shown"), [(0, "0:00"), (62.9, "1:02"), (3723.4, "1:02:03"), (36000, "10:00:00")])
def test_a_time_is_shown_as_a_clock_shows_it(seconds: float, shown: str) -> None:
    assert clock(seconds) == shown
