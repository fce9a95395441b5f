from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hcf_pipeline.corpus.grammar import Grammar
from hcf_pipeline.corpus.manifest import scan
from hcf_pipeline.corpus.parts import PARTS, Table
from hcf_pipeline.corpus.tables import TURNS, write_turn_table
from hcf_pipeline.corpus.transcript import Turn
from hcf_pipeline.errors import DataError
from hcf_pipeline.rag.chunking.chunks import CHUNK_SCHEMA, CHUNKS, chunk_transcript, write_chunk_table
from hcf_pipeline.rag.chunking.lines import Line
from hcf_pipeline.rag.chunking.pack import pack_turns
from hcf_pipeline.settings import ChunkSettings, CorpusSettings

turn_texts = st.text(st.sampled_from("修车，。？！\n 一二三"), max_size=120)


@st.composite
def transcripts(draw: st.DrawFn) -> list[Turn]:
    rows = draw(st.lists(st.tuples(st.sampled_from(["host", "guest"]), turn_texts), max_size=25))
    labels = {"host": "江照野", "guest": "水友"}
    return [Turn(no, side, labels[side], text, "") for no, (side, text) in enumerate(rows, 1)]


def dialogue(*texts: str) -> list[Turn]:
    """Guest and host by turns, the guest first."""
    return [
        Turn(no, "host", "江照野", text, "") if no % 2 == 0 else Turn(no, "guest", "水友", text, "")
        for no, text in enumerate(texts, 1)
    ]


@given(transcripts(), st.integers(32, 90))
def test_every_character_of_every_turn_is_in_one_span_in_order(turns: list[Turn], max_chars: int) -> None:
    turns = [turn for turn in turns if turn.text]
    read = [""] * len(turns)
    for first, begin, last, end in pack_turns(turns, max_chars):
        for position in range(first, last + 1):
            start = begin if position == first else 0
            stop = end if position == last else len(turns[position].text)
            assert len(read[position]) == start < stop
            read[position] += turns[position].text[start:stop]
    assert read == [turn.text for turn in turns]


@given(transcripts(), st.integers(32, 90), st.integers(0, 3))
def test_no_chunk_holds_more_than_max_chars_of_the_turns(turns: list[Turn], max_chars: int, overlap: int) -> None:
    settings = ChunkSettings(max_chars=max_chars, overlap_turns=overlap)
    chunks = chunk_transcript("a.md", turns, settings)
    by_no = {turn.no: turn for turn in turns}
    for chunk in chunks:
        assert 0 < chunk.n_chars <= max_chars
        assert (chunk.turn_nos[0], chunk.turn_nos[-1]) == (chunk.first_turn, chunk.last_turn)
        assert chunk.text == "\n".join(line.text for line in chunk.lines) and chunk.text.strip()
        assert [line.turn for line in chunk.lines] == chunk.turn_nos == sorted(set(chunk.turn_nos))
        for line in chunk.lines:
            assert line.label == by_no[line.turn].label and line.text in by_no[line.turn].text
        for line in chunk.lines[1:-1]:
            assert line.text == by_no[line.turn].text
    assert len({chunk.chunk_id for chunk in chunks}) == len(chunks)
    assert [c.first_turn for c in chunks] == sorted(c.first_turn for c in chunks)


@given(transcripts(), st.integers(32, 90), st.integers(1, 3))
def test_overlapping_spans_leave_no_turn_out(turns: list[Turn], max_chars: int, overlap: int) -> None:
    turns = [turn for turn in turns if turn.text]
    spans = pack_turns(turns, max_chars, overlap)
    covered = {position for span in spans for position in range(span.first, span.last + 1)}
    assert covered == set(range(len(turns)))
    for before, after in itertools.pairwise(spans):
        assert (before.last, before.end) < (after.last, after.end)
        assert (after.first, after.begin) <= (before.last + 1, 0) or after.begin == before.end


def test_a_question_stays_with_its_answer() -> None:
    turns = dialogue("一" * 20, "二" * 20, "三" * 20, "四" * 20)
    assert [(s.first, s.last) for s in pack_turns(turns, 64)] == [(0, 1), (2, 3)]


def test_a_long_monologue_is_cut_at_sentence_ends() -> None:
    sentence = "这个车闸不能光看表面要拆开来看。"
    turns = dialogue("车闸怎么修？", sentence * 20)
    chunks = chunk_transcript("a.md", turns, ChunkSettings(max_chars=100))
    assert chunks[0].lines[0] == Line(1, "水友", "车闸怎么修？")
    assert all(chunk.text.endswith("。") for chunk in chunks)
    assert {chunk.lines[-1].label for chunk in chunks} == {"江照野"}  # a piece from mid-turn has its speaker, too
    assert "".join(c.lines[-1].text for c in chunks) == sentence * 20


def test_overlap_repeats_the_last_turns_of_the_chunk_before() -> None:
    turns = dialogue(*(f"{n}" * 11 for n in range(8)))
    chunks = chunk_transcript("a.md", turns, ChunkSettings(max_chars=64, overlap_turns=1))
    assert [(c.first_turn, c.last_turn) for c in chunks][:2] == [(1, 4), (4, 8)]


def test_an_edit_elsewhere_leaves_chunk_ids_as_they_are() -> None:
    turns = dialogue(*(f"第{n}句话" + "说" * (n * 7 % 23) for n in range(200)))
    changed = list(turns)
    changed[30] = changed[30]._replace(text=changed[30].text + "补上一句很长的话，长到要换一块。")
    settings = ChunkSettings(max_chars=120)
    before = [c.chunk_id for c in chunk_transcript("a.md", turns, settings)]
    after = [c.chunk_id for c in chunk_transcript("a.md", changed, settings)]
    assert len(set(after) - set(before)) <= len(after) / 4
    assert before[-1] == after[-1]


def test_the_same_text_twice_in_a_transcript_has_two_ids_and_one_hash() -> None:
    turns = dialogue(
        "一样的问题啊啊啊啊啊啊啊啊啊啊", "一样的回答。" * 4, "一样的问题啊啊啊啊啊啊啊啊啊啊", "一样的回答。" * 4
    )
    first, second = chunk_transcript("a.md", turns, ChunkSettings(max_chars=40))
    assert first.content_hash == second.content_hash and first.chunk_id != second.chunk_id


def test_sampling_keeps_a_share_and_always_the_same_chunks() -> None:
    turns = dialogue(*(f"第{n}句话，" + "说" * 20 for n in range(600)))
    everything = {c.chunk_id for c in chunk_transcript("a.md", turns, ChunkSettings(max_chars=60))}
    some = {c.chunk_id for c in chunk_transcript("a.md", turns, ChunkSettings(max_chars=60, sample_share=0.25))}
    fewer = {c.chunk_id for c in chunk_transcript("a.md", turns, ChunkSettings(max_chars=60, sample_share=0.1))}
    assert fewer < some < everything
    assert 0.15 < len(some) / len(everything) < 0.35


def turn_table(folder: Path, name: str = "turns", previous: Path | None = None, **transcripts: str) -> Path:
    corpus, out = folder / f"{name}.corpus", folder / name
    corpus.mkdir()
    for path, text in transcripts.items():
        (corpus / f"{path.removeprefix('d').replace('_', '-')}.md").write_text(text, encoding="utf-8")
    settings = CorpusSettings()
    write_turn_table(scan(corpus, settings), Grammar(settings), out, previous=previous)
    return out / TURNS


def test_the_table_holds_the_chunks_of_all_transcripts_and_its_version_follows_the_rows(tmp_path: Path) -> None:
    turns = turn_table(
        tmp_path,
        d2024_03_05="水友：几点开播？\n江照野：八点。",
        noname="水友：吃了吗？\n江照野：\n水友：啊？\n江照野：吃了。",
    )
    version, n_chunks = write_chunk_table(turns, ChunkSettings(), tmp_path)
    table = [row for part in Table(tmp_path / CHUNKS).blocks(CHUNK_SCHEMA.names) for row in part.to_pylist()]
    assert n_chunks == 2
    assert [(row["transcript"], str(row["date"])) for row in table] == [
        ("2024-03-05.md", "2024-03-05"),
        ("noname.md", "None"),
    ]
    assert table[0]["text"] == "几点开播？\n八点。"
    assert table[1]["turn_nos"] == [1, 3, 4] and table[1]["ends"] == [4, 7, 11]
    assert table[1]["speakers"] == ["水友", "江照野"] and table[1]["said_by"] == [0, 0, 1]
    assert write_chunk_table(turns, ChunkSettings(), tmp_path / "again")[0] == version
    settings = ChunkSettings(max_chars=32, overlap_turns=1)
    assert write_chunk_table(turns, settings, tmp_path / "other settings")[0] == version


def test_a_share_that_keeps_nothing_is_an_error_and_no_empty_table(tmp_path: Path) -> None:
    turns = turn_table(tmp_path, d2024_03_05="水友：几点开播？\n江照野：八点。")
    with pytest.raises(DataError, match="sample_share"):
        write_chunk_table(turns, ChunkSettings(sample_share=1e-9), tmp_path)


def test_only_transcripts_with_new_turns_or_another_path_are_chunked_again(tmp_path: Path) -> None:
    talk = {f"d2024_03_{day:02}": f"水友：第{day}天几点开播？\n江照野：八点。" for day in range(1, 9)}
    first = turn_table(tmp_path, **talk)
    write_chunk_table(first, ChunkSettings(), tmp_path / "before")
    del talk["d2024_03_01"]
    talk |= {"d2024_03_02": "水友：改到几点？\n江照野：九点。", "d2024_04_03": talk.pop("d2024_03_03")}
    turns = turn_table(tmp_path, "later", previous=first.parent, **talk)
    fresh = write_chunk_table(turns, ChunkSettings(), tmp_path / "fresh")
    for part in (turns / PARTS).iterdir():
        if (first / PARTS / part.name).exists():
            part.unlink()
    assert len(list((turns / PARTS).iterdir())) == 2
    assert write_chunk_table(turns, ChunkSettings(), tmp_path / "after", previous=tmp_path / "before") == fresh
    ids = [
        {e.path: c[0].to_pylist() for e, c in Table(tmp_path / name / CHUNKS).read(["chunk_id"])}
        for name in ("before", "after")
    ]
    assert ids[0]["2024-03-03.md"] != ids[1]["2024-04-03.md"] and ids[0]["2024-03-05.md"] == ids[1]["2024-03-05.md"]
