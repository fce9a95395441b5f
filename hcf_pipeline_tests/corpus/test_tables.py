"""From files to the turn and pair tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from hcf_pipeline.corpus import tables
from hcf_pipeline.corpus.lookup import turns_around
from hcf_pipeline.corpus.manifest import scan
from hcf_pipeline.corpus.tables import (
    PAIRS,
    TURNS,
    TurnReport,
    read_pairs,
    read_transcripts,
    write_pair_table,
    write_turn_table,
)
from hcf_pipeline.corpus.transcript import Grammar
from hcf_pipeline.errors import CorpusError
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


def table(corpus: Path, out: Path) -> tuple[str, TurnReport]:
    out.mkdir(parents=True, exist_ok=True)
    return write_turn_table(scan(corpus, SETTINGS), Grammar(SETTINGS), out)


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


@pytest.mark.parametrize(
    ("content", "reason", "byte"),
    [
        (b"\xd2\xd2\xa3\xba", tables.NOT_UTF8, 0),
        ("乙：好\n".encode() + b"\xff\xfe", tables.NOT_UTF8, len("乙：好\n".encode())),
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
    with pytest.raises(CorpusError, match=r"2024-01-01\.md changed"):
        write_turn_table(manifest, Grammar(SETTINGS), tmp_path)


def test_row_groups_hold_whole_transcripts(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hcf_pipeline.corpus.rows.ROW_GROUP", 1)
    table(corpus, tmp_path)
    assert [len(turns) for _, _, turns in read_transcripts(tmp_path / TURNS)] == [2, 4]


def test_a_citation_is_looked_up_with_its_neighbours(corpus: Path, tmp_path: Path) -> None:
    table(corpus, tmp_path)
    found = turns_around(tmp_path, "2024年01月/2024-01-02.md", 2, 2, around=1)
    assert [(turn.no, turn.text) for turn in found] == [(1, "修吗"), (2, "修。"), (3, "多少钱")]
