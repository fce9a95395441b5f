"""From files to the turn and pair tables."""

from __future__ import annotations

import json
import shutil
import tracemalloc
from pathlib import Path

import pytest

from hcf_pipeline.corpus import tables
from hcf_pipeline.corpus.grammar import Grammar
from hcf_pipeline.corpus.lookup import turns_around
from hcf_pipeline.corpus.manifest import scan
from hcf_pipeline.corpus.parts import PARTS, Table
from hcf_pipeline.corpus.questions import asked_in_corpus
from hcf_pipeline.corpus.tables import (
    PAIRS,
    REPORT,
    TURNS,
    TurnReport,
    read_pairs,
    read_transcripts,
    write_pair_table,
    write_turn_table,
)
from hcf_pipeline.errors import CorpusError, CorpusMoved
from hcf_pipeline.rag.evaluation.questions import guest_questions
from hcf_pipeline.settings import CorpusSettings

SETTINGS = CorpusSettings(host_labels=["甲"], guest_labels=["乙"], max_file_mb=1)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    (folder / "2024年01月").mkdir(parents=True)
    (folder / "2024年01月" / "2024-01-02.md").write_text(
        "乙：修吗\n\n甲：修。\n\n乙：多少钱\n\n甲：三块。", encoding="utf-8"
    )
    (folder / "2024年01月" / "2024-01-01.md").write_text("乙：在吗\n甲：在。", encoding="utf-8")
    (folder / "2024年01月" / "README.md").write_text("# 说明", encoding="utf-8")
    return folder


def table(corpus: Path, out: Path, previous: Path | None = None) -> tuple[str, TurnReport]:
    out.mkdir(parents=True, exist_ok=True)
    return write_turn_table(scan(corpus, SETTINGS), Grammar(SETTINGS), out, previous=previous)


def files(folder: Path) -> dict[str, bytes]:
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_tables_hold_every_turn_and_pair_in_path_order(corpus: Path, tmp_path: Path) -> None:
    _, report = table(corpus, tmp_path)
    assert [(path, len(turns)) for path, _, turns in read_transcripts(tmp_path / TURNS)] == [
        ("2024年01月/2024-01-01.md", 2),
        ("2024年01月/2024-01-02.md", 4),
    ]
    _, n_pairs, hosts = write_pair_table(tmp_path / TURNS, tmp_path)
    pairs = [pair for _, _, found in read_pairs(tmp_path / PAIRS) for pair in found]
    assert (n_pairs, hosts) == (3, {"甲": 3})
    assert [(p.guest_text, p.host_text, p.first_turn, p.last_turn) for p in pairs][2] == ("多少钱", "三块。", 3, 4)
    assert (report.n_transcripts, report.n_turns, report.first_date, report.parse_rate) == (2, 6, "2024-01-01", 1.0)


def test_the_report_counts_what_a_reader_should_know(corpus: Path, tmp_path: Path) -> None:
    (corpus / "旧.md").write_text("开场\n乙：在\n甲：在的\n路人：我也在\n乙：好\n路人：好", encoding="utf-8")
    (corpus / "空.md").write_text("", encoding="utf-8")
    _, report = table(corpus, tmp_path)
    assert report.host_labels == {"甲": 4} and report.unknown_labels == {"路人": 2}
    assert (report.n_host_chars, report.n_guest_chars) == (2 + 3 + 2 + 2, 2 + 3 + 2 + 1 + 1)
    assert (report.n_chars_before_first_label, report.n_noise_lines, report.n_undated) == (2, 0, 1)
    assert (report.first_date, report.last_date) == ("2024-01-01", "2024-01-02")
    assert (report.n_transcripts, report.parse_rate) == (3, 0.75)


def test_a_file_with_a_thousand_unknown_labels_notes_fifty_and_how_many_more(corpus: Path, tmp_path: Path) -> None:
    lines = "".join(f"路人{chr(0x4E00 + n)}：插一句\n" * (2 if n < 60 else 1) for n in range(1000))
    (corpus / "旧.md").write_text(f"乙：在吗\n甲：在的\n{lines}", encoding="utf-8")
    _, report = table(corpus, tmp_path)
    assert len(report.unknown_labels) == 50 and set(report.unknown_labels.values()) == {2}
    assert 940 <= report.n_more_labels <= 950  # a few of them look like words (路人说)
    assert len((tmp_path / TURNS / "table.json").read_text(encoding="utf-8")) < 5000


def test_a_report_from_before_the_labels_were_counted_is_read(corpus: Path, tmp_path: Path) -> None:
    _, report = table(corpus, tmp_path)
    written = json.loads((tmp_path / REPORT).read_text(encoding="utf-8"))
    del written["n_more_labels"]
    (tmp_path / REPORT).write_text(json.dumps(written), encoding="utf-8")
    assert TurnReport.load(tmp_path / REPORT) == report


@pytest.mark.parametrize(
    ("content", "reason", "byte"),
    [
        (b"\xff\xff\xff", tables.UNKNOWN_ENCODING, 0),
        ("乙：好\n".encode() + b"\xff\xfe", tables.UNKNOWN_ENCODING, len("乙：好\n".encode())),
        (b"", tables.EMPTY, 0),
        (b"\xef\xbb\xbf \n", tables.EMPTY, 0),
        ("没有称呼的一段话".encode(), tables.NO_TURN, 0),
        (b"x" * 1_000_001, f"{tables.TOO_LARGE} 1 MB", 1_000_000),
    ],
)
def test_a_bad_file_is_quarantined_by_name_and_byte_and_the_rest_goes_on(
    corpus: Path, tmp_path: Path, content: bytes, reason: str, byte: int
) -> None:
    (corpus / "bad.md").write_bytes(content)
    _, report = table(corpus, tmp_path)
    assert [(q.file, q.reason, q.byte) for q in report.quarantined] == [("bad.md", reason, byte)]
    assert report.n_transcripts == 2


def test_no_usable_file_is_an_error_that_names_labels_and_next_step(tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    folder.mkdir()
    (folder / "a.md").write_text("丙：谁也不认识我", encoding="utf-8")
    with pytest.raises(CorpusError, match=r"a\.md.*甲 乙.*hcf init"):
        table(folder, tmp_path / "out")


def test_white_space_and_moved_modification_times_change_no_version(corpus: Path, tmp_path: Path) -> None:
    before, _ = table(corpus, tmp_path / "before")
    (corpus / "2024年01月" / "2024-01-01.md").write_text("\n乙： 在吗 \r\n\r\n甲：在。\n", encoding="utf-8")
    after, _ = table(corpus, tmp_path / "after")
    assert after == before


def test_one_changed_word_changes_the_version(corpus: Path, tmp_path: Path) -> None:
    before, _ = table(corpus, tmp_path / "before")
    (corpus / "2024年01月" / "2024-01-01.md").write_text("乙：在吗\n甲：不在。", encoding="utf-8")
    assert table(corpus, tmp_path / "after")[0] != before


def test_a_file_that_changed_since_the_snapshot_is_not_mixed_into_it(corpus: Path, tmp_path: Path) -> None:
    manifest = scan(corpus, SETTINGS)
    (corpus / "2024年01月" / "2024-01-01.md").write_text("乙：在吗\n甲：不在了。", encoding="utf-8")
    with pytest.raises(CorpusMoved, match=r"2024-01-01\.md changed"):
        write_turn_table(manifest, Grammar(SETTINGS), tmp_path)


def test_a_file_that_vanished_since_the_snapshot_is_told_in_the_same_words(corpus: Path, tmp_path: Path) -> None:
    manifest = scan(corpus, SETTINGS)
    (corpus / "2024年01月" / "2024-01-02.md").unlink()
    with pytest.raises(CorpusMoved, match=r"2024-01-02\.md changed"):
        write_turn_table(manifest, Grammar(SETTINGS), tmp_path)


def test_files_that_the_table_before_knows_are_not_opened_not_even_bad_ones(corpus: Path, tmp_path: Path) -> None:
    (corpus / "bad.md").write_bytes(b"\xff")
    manifest = scan(corpus, SETTINGS)
    (tmp_path / "before").mkdir()
    first = write_turn_table(manifest, Grammar(SETTINGS), tmp_path / "before")
    shutil.rmtree(corpus)
    again = write_turn_table(manifest, Grammar(SETTINGS), tmp_path / "after", previous=tmp_path / "before")
    assert again == first and [one.file for one in again[1].quarantined] == ["bad.md"]
    assert files(tmp_path / "after") == files(tmp_path / "before")


def test_a_table_made_from_the_one_before_is_the_one_made_from_nothing(corpus: Path, tmp_path: Path) -> None:
    folder = corpus / "2024年01月"
    for n in range(3, 30):
        (folder / f"2024-01-{n:02}.md").write_text(f"前言{n}\n乙：第{n}天\n甲：好。\n丙：插嘴", encoding="utf-8")
    table(corpus, tmp_path / "0")
    write_pair_table(tmp_path / "0" / TURNS, tmp_path / "0")
    (folder / "2024-01-03.md").unlink()
    (folder / "2024-01-04.md").write_text("谁也没说话", encoding="utf-8")
    (folder / "2024-01-05.md").write_text("乙：改了吗\n甲：改了。", encoding="utf-8")
    (folder / "2024-01-06.md").rename(folder / "2024-02-06.md")
    (folder / "2024-01-07.md").rename(folder / "2024-01-07-INC.md")
    grown = table(corpus, tmp_path / "1", tmp_path / "0")
    assert grown == table(corpus, tmp_path / "fresh")
    pairs = write_pair_table(tmp_path / "1" / TURNS, tmp_path / "1", tmp_path / "0")
    assert pairs == write_pair_table(tmp_path / "fresh" / TURNS, tmp_path / "fresh")
    assert files(tmp_path / "1") == files(tmp_path / "fresh")
    assert (grown[1].n_transcripts, grown[1].unknown_labels, pairs[2]) == (27, {"丙": 24}, {"甲": 28})
    cut_off = next(read_transcripts(tmp_path / "1" / TURNS, ["2024年01月/2024-01-07-INC.md"]))[2]
    assert [turn.flags for turn in cut_off] == ["", "cut_off unknown_label"]


def test_pairs_are_made_only_of_transcripts_whose_turns_changed(corpus: Path, tmp_path: Path) -> None:
    table(corpus, tmp_path / "before")
    write_pair_table(tmp_path / "before" / TURNS, tmp_path / "before")
    (corpus / "2024年01月" / "2024-01-01.md").write_text("乙：还在吗\n甲：还在。", encoding="utf-8")
    table(corpus, tmp_path / "after", tmp_path / "before")
    turns = Table(tmp_path / "after" / TURNS)
    changed = {part.name for part in (turns.folder / PARTS).iterdir()}
    changed -= {part.name for part in (tmp_path / "before" / TURNS / PARTS).iterdir()}
    for part in (turns.folder / PARTS).iterdir():
        if part.name not in changed:
            part.unlink()
    _, n_pairs, _ = write_pair_table(turns.folder, tmp_path / "after", tmp_path / "before")
    assert (len(changed), n_pairs) == (1, 3)


def test_turns_without_a_pair_make_an_empty_table_that_every_reader_can_read(tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    folder.mkdir()
    (folder / "2024-01-01.md").write_text("甲：今天聊搬家。\n乙：那我呢？", encoding="utf-8")
    table(folder, tmp_path)
    _, n_pairs, hosts = write_pair_table(tmp_path / TURNS, tmp_path)
    assert (n_pairs, hosts, list(read_pairs(tmp_path / PAIRS))) == (0, {}, [])
    assert asked_in_corpus(tmp_path / PAIRS, 3) == []
    assert guest_questions(tmp_path / TURNS, ["2024-01-01.md"]) == []
    again = tmp_path / "again"
    again.mkdir()
    assert write_pair_table(tmp_path / TURNS, again, tmp_path)[1] == 0


def test_an_enormous_file_is_quarantined_without_being_taken_into_memory(corpus: Path, tmp_path: Path) -> None:
    with (corpus / "huge.md").open("wb") as huge:
        huge.truncate(500_000_000)
    tracemalloc.start()
    _, report = table(corpus, tmp_path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [(one.file, one.byte) for one in report.quarantined] == [("huge.md", 1_000_000)]
    assert peak < 20_000_000


@pytest.mark.parametrize("label", ["甲：", ""])
def test_a_line_of_a_megabyte_is_parsed_and_paired_whole(corpus: Path, tmp_path: Path, label: str) -> None:
    long = "很长的一句话" * 55_000
    (corpus / "long.md").write_text(f"乙：说吧\n甲：好。\n{label}{long}", encoding="utf-8")
    assert (corpus / "long.md").stat().st_size > 980_000
    table(corpus, tmp_path)
    write_pair_table(tmp_path / TURNS, tmp_path)
    (_, _, pairs), *_ = read_pairs(tmp_path / PAIRS, {"long.md"})
    assert pairs[0].host_text == f"好。\n{long}"


def test_a_report_comes_back_as_it_was_saved(corpus: Path, tmp_path: Path) -> None:
    (corpus / "bad.md").write_bytes(b"")
    _, report = table(corpus, tmp_path)
    assert TurnReport.load(tmp_path / REPORT) == report


def test_a_citation_is_looked_up_with_its_neighbours(corpus: Path, tmp_path: Path) -> None:
    table(corpus, tmp_path)
    found = turns_around(tmp_path, "2024年01月/2024-01-02.md", 2, 2, around=1)
    assert [(turn.no, turn.text) for turn in found] == [(1, "修吗"), (2, "修。"), (3, "多少钱")]


def test_a_transcript_that_is_not_there_has_no_turns_to_show(corpus: Path, tmp_path: Path) -> None:
    table(corpus, tmp_path)
    assert turns_around(tmp_path, "2024-12-31.md", 1, 2) == []


def test_a_citation_opens_only_the_part_where_it_stands(corpus: Path, tmp_path: Path) -> None:
    table(corpus, tmp_path)
    parts = sorted((tmp_path / TURNS / PARTS).iterdir(), key=lambda part: part.stat().st_size)
    assert len(parts) == 2  # a small table has a part for each transcript
    parts[0].unlink()  # of the shorter one
    assert len(turns_around(tmp_path, "2024年01月/2024-01-02.md", 1, 4)) == 4
