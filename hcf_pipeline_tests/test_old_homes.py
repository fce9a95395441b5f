"""A home from before turns had seconds, and before a report said how the corpus was read: it serves, and is brought up to date."""

from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest

from hcf_pipeline.corpus.parts import PARTS, TABLE, Table
from hcf_pipeline.corpus.tables import REPORT, TURNS, TurnReport, read_transcripts
from hcf_pipeline.files import file_sha256
from hcf_pipeline.store import Artifact, Store
from hcf_pipeline.store.artifact import MANIFEST, manifest_text
from hcf_pipeline_tests.conftest import Project

TIMED = (
    "[00:00:05] 水友：灯塔的门票多少钱？\n\n[01:02:03] 江照野：鲸尾岬灯塔的门票是四十七块，上午九点开门，带身份证。\n"
)
NEWER = ("reading", "worst", "left_out", "forms", "encodings")  # than the home


def made_older(turns: Artifact) -> None:
    """The turn table as the program wrote it that knew neither seconds, forms, nor how the corpus was read."""
    parts = turns.path / TURNS / PARTS
    for part in parts.iterdir():
        rows = pq.read_table(part)
        kept = [name for name in rows.column_names if name != "start_s"]
        pq.write_table(rows.select(kept), part, compression="zstd")
    table = json.loads((turns.path / TURNS / TABLE).read_text(encoding="utf-8"))
    for entry in table["entries"]:
        entry[-1] = {name: value for name, value in entry[-1].items() if name not in NEWER}
    (turns.path / TURNS / TABLE).write_text(json.dumps(table, ensure_ascii=False), encoding="utf-8")
    report = json.loads(turns.file(REPORT).read_text(encoding="utf-8"))
    older = {name: value for name, value in report.items() if name not in NEWER}
    turns.file(REPORT).write_text(json.dumps(older, ensure_ascii=False), encoding="utf-8")
    files = {name: file_sha256(turns.path / name) for name in turns.files}
    text = manifest_text(files, turns.inputs, turns.metadata)
    (turns.path / MANIFEST).write_text(text, encoding="utf-8")


def turn_table(project: Project) -> Artifact:
    turns = Store(project.home).current("turn_table")
    assert turns is not None
    return turns


@pytest.mark.slow
def test_a_turn_table_without_seconds_serves_and_takes_a_transcript_that_has_them(project: Project) -> None:
    before = turn_table(project)
    made_older(before)
    assert TurnReport.load(turn_table(project).file(REPORT)).reading is None
    assert all("start_s" not in pq.read_schema(part).names for part in (before.path / TURNS / PARTS).iterdir())
    ran = project.json("refresh", "--no-train")["ran"]
    assert ran == ["release", "sample_answers"], "a release pins the bytes that were there before"
    status = project.json("status")
    assert {asset["state"] for asset in status["assets"]} == {"fresh"} and status["release"]
    answer = project.json("ask", "灯塔的门票多少钱？", "-s", "retrieval.min_score=0")
    assert answer["citations"] and {citation["start_s"] for citation in answer["citations"]} == {None}
    said = project.hcf("refresh", "--no-train", "--lang", "en")
    assert said.returncode == 0 and "nothing ran" in said.stdout and "of the text has a speaker" not in said.stdout

    (project.corpus / "2024-07-05.md").write_text(TIMED, encoding="utf-8")
    done = project.json("refresh", "--no-train")
    assert {"turn_table", "faiss_index", "release"} <= set(done["ran"]) and done["reading"]["spoken_share"] == 1.0
    after = turn_table(project)
    seconds = {path: [turn.start_s for turn in turns] for path, _, turns in read_transcripts(after.path / TURNS)}
    assert seconds.pop("2024-07-05.md") == [5.0, 3723.0] and {s for found in seconds.values() for s in found} == {None}
    assert len(Table(after.path / TURNS).entries) == len(Table(before.path / TURNS).entries) + 1
    hits = project.json("retrieve", "鲸尾岬灯塔的门票多少钱？", "-k", "3")["hits"]
    assert next(hit["start_s"] for hit in hits if hit["transcript"] == "2024-07-05.md") == 5
