"""Tables in parts: what is made, what is taken over, and what lies on the disk."""

from __future__ import annotations

import datetime
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hcf_pipeline.corpus import parts
from hcf_pipeline.corpus.parts import PARTS, TABLE, Made, Table, Wanted, write_table
from hcf_pipeline.errors import ArtifactError

SCHEMA = pa.schema(
    [
        pa.field("transcript", pa.string(), nullable=False),
        pa.field("date", pa.date32()),
        pa.field("no", pa.int32(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("nos", pa.list_(pa.int32()), nullable=False),
    ]
)
DAY = datetime.date(2024, 1, 1)
Corpus = Mapping[str, str]  # path → its lines, the key of its rows


def build(corpus: Corpus, out: Path, previous: Path | None = None) -> tuple[Table, list[str]]:
    """The table, and the transcripts that were made for it."""
    made: list[str] = []

    def make(one: Wanted) -> Made:
        made.append(one.path)
        lines = one.key.split("\n") if one.key else []
        columns = (range(1, len(lines) + 1), lines, [[n] * n for n in range(len(lines))]) if lines else ()
        return Made(columns, {"n_lines": len(lines)})

    wanted = [Wanted(path, DAY if path < "m" else None, text) for path, text in corpus.items()]
    return write_table(SCHEMA, wanted, make, out, previous), made


def texts(table: Table, paths: Sequence[str] | None = None) -> list[tuple[str, list[str]]]:
    return [(entry.path, columns[0].to_pylist()) for entry, columns in table.read(["text"], paths)]


def on_disk(table: Table) -> dict[str, bytes]:
    return {p.relative_to(table.folder).as_posix(): p.read_bytes() for p in table.folder.rglob("*") if p.is_file()}


MANY = {f"{n:02}.md": f"第{n}场\n第二句" for n in range(64)}


def test_rows_come_back_in_path_order_whatever_order_they_were_given_in(tmp_path: Path) -> None:
    table, made = build({"z.md": "三", "a.md": "一\n二", "b.md": ""}, tmp_path / "out")
    assert texts(table) == [("a.md", ["一", "二"]), ("z.md", ["三"])]
    assert made == ["a.md", "b.md", "z.md"]
    assert [(e.path, e.date, e.n_rows, e.note) for e in table.entries] == [
        ("a.md", DAY, 2, {"n_lines": 2}),
        ("b.md", DAY, 0, {"n_lines": 0}),
        ("z.md", None, 1, {"n_lines": 1}),
    ]
    rows = [row for block in table.blocks(SCHEMA.names) for row in block.to_pylist()]
    assert rows[1] == {"transcript": "a.md", "date": DAY, "no": 2, "text": "二", "nos": [1]}


def test_only_what_is_new_is_made_and_only_its_part_is_written(tmp_path: Path) -> None:
    before, _ = build(MANY, tmp_path / "before")
    after, made = build(MANY | {"40.md": "改了"}, tmp_path / "after", tmp_path / "before")
    assert made == ["40.md"]
    assert dict(texts(after))["40.md"] == ["改了"] and dict(texts(after))["41.md"] == dict(texts(before))["41.md"]
    old, new = ({p.name: p.stat().st_ino for p in (t.folder / PARTS).iterdir()} for t in (before, after))
    assert len(new.keys() - old.keys()) == 1 and len(old) > 8
    assert all(old[name] == inode for name, inode in new.items() if name in old)


def test_renamed_transcripts_bring_their_rows_along(tmp_path: Path) -> None:
    build(MANY, tmp_path / "before")
    after, made = build({f"new/{path}": text for path, text in MANY.items()}, tmp_path / "after", tmp_path / "before")
    assert made == []
    assert texts(after) == [(f"new/{path}", text.split("\n")) for path, text in MANY.items()]
    assert {entry.date for entry in after.entries} == {None}


def test_rows_that_are_made_again_and_are_the_same_change_no_part(tmp_path: Path) -> None:
    before, _ = build({"a.md": "一"}, tmp_path / "before")
    one = Wanted("a.md", DAY, "another key")
    after = write_table(SCHEMA, [one], lambda _: Made(([1], ["一"], [[]]), {}), tmp_path / "after", before.folder)
    assert after.version == before.version
    assert [p.name for p in (after.folder / PARTS).iterdir()] == [p.name for p in (before.folder / PARTS).iterdir()]


def test_reading_some_paths_opens_no_part_without_them(tmp_path: Path) -> None:
    table, _ = build(MANY, tmp_path / "out")
    wanted = ["07.md", "50.md"]
    n_parts = len(list((table.folder / PARTS).iterdir()))
    kept = {name for name, _ in _parts_with(table, wanted)}
    for part in (table.folder / PARTS).iterdir():
        if part.name not in kept:
            part.unlink()
    assert len(kept) <= 2 < n_parts
    assert texts(table, wanted) == [(path, MANY[path].split("\n")) for path in wanted]


def _parts_with(table: Table, paths: Sequence[str]) -> list[tuple[str, int]]:
    raw = json.loads((table.folder / TABLE).read_text(encoding="utf-8"))
    found, start = [], 0
    for name, n in raw["parts"]:
        if {row[0] for row in raw["entries"][start : start + n]} & set(paths):
            found.append((name, n))
        start += n
    return found


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"format": 99}', '{"format": 1, "entries": [[1]], "parts": []}'])
def test_a_damaged_table_is_an_error_with_its_file(tmp_path: Path, content: str) -> None:
    (tmp_path / TABLE).write_text(content, encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"table\.json"):
        Table(tmp_path)


def test_a_damaged_part_is_an_error_with_its_file(tmp_path: Path) -> None:
    table, _ = build({"a.md": "一"}, tmp_path / "out")
    part = next((table.folder / PARTS).iterdir())
    part.write_bytes(b"PAR1")
    with pytest.raises(ArtifactError, match=part.name):
        texts(table)


def test_rows_that_hold_the_separators_are_told_apart(tmp_path: Path) -> None:
    texts_of = (("a\x1eb", "c"), ("a", "b\x1ec"), ("a\x1d", "b"), ("a", "\x1db"), ('["a", "b"]', "c"))
    digests = set()
    for n, (first, second) in enumerate(texts_of):
        made = Made(([1, 2], [first, second], [[], []]), {})
        table = write_table(SCHEMA, [Wanted("a", None, "")], lambda _, made=made: made, tmp_path / str(n))
        digests.add(table.version)
    assert len(digests) == len(texts_of)


def test_a_part_is_cut_where_it_gets_too_long_for_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lone, _ = build(MANY, tmp_path / "whole")
    monkeypatch.setattr(parts, "PART_BYTES", 1)
    cut, _ = build(MANY, tmp_path / "cut")
    assert len(list((cut.folder / PARTS).iterdir())) == len(MANY) > len(list((lone.folder / PARTS).iterdir()))
    assert texts(cut) == texts(lone) and cut.version == lone.version


paths = st.integers(0, 60).map(lambda n: f"{'am'[n % 2]}/{n}.md")
lines = st.lists(st.sampled_from(["", "嗯", "好的", "说" * 200]), max_size=4).map("\n".join)
corpora = st.dictionaries(paths, lines, max_size=40)


@given(st.lists(corpora, min_size=1, max_size=4), st.sampled_from([40, 2_000, 64_000_000]))
@settings(max_examples=40, deadline=None)
def test_what_lies_on_the_disk_tells_nothing_of_the_tables_history(history: list[Corpus], part_bytes: int) -> None:
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as scratch:
        patch.setattr(parts, "PART_BYTES", part_bytes)
        previous: Path | None = None
        known: set[str] = set()
        for n, corpus in enumerate(history):
            table, made = build(corpus, Path(scratch) / str(n), previous)
            assert made == [path for path in sorted(corpus) if corpus[path] not in known]
            previous, known = table.folder, set(corpus.values())
        fresh, _ = build(history[-1], Path(scratch) / "fresh")
        assert on_disk(table) == on_disk(fresh)
        assert texts(table) == [(path, text.split("\n")) for path, text in sorted(history[-1].items()) if text]
