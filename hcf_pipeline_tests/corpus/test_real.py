"""Marked `corpus`: on a real corpus that HCF_TEST_CORPUS names, its labels among the default ones."""

from __future__ import annotations

import itertools
import json
import os
import re
from pathlib import Path

import pytest

from hcf_pipeline.corpus.grammar import Grammar
from hcf_pipeline.corpus.manifest import scan
from hcf_pipeline.corpus.tables import PAIRS, TURNS, read_pairs, read_transcripts, write_pair_table, write_turn_table
from hcf_pipeline.settings import CorpusSettings
from hcf_pipeline_tests.conftest import Project

pytestmark = pytest.mark.corpus


@pytest.fixture(scope="module")
def folder() -> Path:
    return Path(os.environ["HCF_TEST_CORPUS"]).resolve()


def test_every_labelled_line_is_a_turn_with_its_words(folder: Path, tmp_path: Path) -> None:
    settings = CorpusSettings()
    write_turn_table(scan(folder, settings), Grammar(settings), tmp_path)
    labels = "|".join(settings.host_labels + settings.guest_labels)
    n_turns = 0
    for path, _, turns in read_transcripts(tmp_path / TURNS):
        text = (folder / path).read_text(encoding="utf-8-sig")
        lines = re.findall(rf"^[^\S\n]*({labels})[^\S\n]*[：:][^\S\n]*(.*?)[^\S\n]*$", text, flags=re.MULTILINE)
        assert len(lines) == len(turns), path
        assert all(
            turn.label == label and said[:30] in turn.text for turn, (label, said) in zip(turns, lines, strict=True)
        )
        n_turns += len(turns)
    assert n_turns > 0


def test_pairs_never_cross_a_broadcast_and_stand_in_order(folder: Path, tmp_path: Path) -> None:
    settings = CorpusSettings()
    write_turn_table(scan(folder, settings), Grammar(settings), tmp_path)
    write_pair_table(tmp_path / TURNS, tmp_path)
    last_turn = {path: turns[-1].no for path, _, turns in read_transcripts(tmp_path / TURNS)}
    for path, _, pairs in read_pairs(tmp_path / PAIRS):
        ends = [(pair.first_turn, pair.last_turn) for pair in pairs]
        assert all(first < last <= last_turn[path] for first, last in ends)
        assert all(before[1] < after[0] for before, after in itertools.pairwise(ends))


@pytest.mark.slow
def test_the_whole_pipeline_runs_on_it_and_cites_it(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "hcf.toml").write_text(f"[corpus]\npath = {json.dumps(str(folder))}\n", encoding="utf-8")
    project = Project(tmp_path)
    assert project.json("refresh")["release"]
    assert project.json("refresh")["ran"] == []
    answer = project.json("ask", "围棋还有必要存在吗？")
    for quote in answer["quotes"]:
        cited = next(citation for citation in answer["citations"] if citation["n"] == quote["n"])
        assert quote["text"] in (folder / cited["transcript"]).read_text(encoding="utf-8-sig")
        assert cited["date"] in cited["transcript"]
