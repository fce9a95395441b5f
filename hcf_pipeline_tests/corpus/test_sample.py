"""The sample corpus has the traits of real ones, and its questions their answers."""

from __future__ import annotations

import json
import re

from hcf_pipeline.corpus.grammar import Grammar
from hcf_pipeline.corpus.manifest import scan
from hcf_pipeline.corpus.tables import read_transcript
from hcf_pipeline.corpus.transcript import Transcript
from hcf_pipeline.settings import CorpusSettings
from hcf_pipeline_tests.conftest import SAMPLE

SETTINGS = CorpusSettings()
GRAMMAR = Grammar(SETTINGS)


def transcripts() -> dict[str, Transcript]:
    found = {file.path: read_transcript(SAMPLE, file, GRAMMAR) for file in scan(SAMPLE, SETTINGS).files}
    return {path: parsed for path, parsed in found.items() if isinstance(parsed, Transcript)}


def test_it_is_large_enough_and_every_file_of_it_is_read() -> None:
    parsed = transcripts()
    assert len(parsed) == len(scan(SAMPLE, SETTINGS).files) >= 24
    assert len({path.partition("/")[0] for path in parsed}) == 6
    assert sum(len(turn.text) for transcript in parsed.values() for turn in transcript.turns) >= 40_000
    assert not any(transcript.unknown_labels for transcript in parsed.values())


def test_it_has_interrupted_broadcasts_noise_readmes_two_on_a_day_and_both_colons() -> None:
    parsed = transcripts()
    assert any(GRAMMAR.interrupted(path) for path in parsed)
    assert sum(transcript.n_noise_lines for transcript in parsed.values()) >= 3
    assert all((folder / "README.md").is_file() for folder in SAMPLE.iterdir() if folder.is_dir())
    dates = [GRAMMAR.date_of(path) for path in parsed]
    assert None not in dates and len(set(dates)) < len(dates)
    texts = [(SAMPLE / path).read_text(encoding="utf-8") for path in parsed]
    assert any("江照野:" in text for text in texts) and any("江照野：" in text for text in texts)


def test_it_has_long_monologues_and_quick_dialogues() -> None:
    hosts = [turn.text for transcript in transcripts().values() for turn in transcript.turns if turn.side == "host"]
    assert sum(len(text) >= 300 for text in hosts) >= 20 and sum(len(text) <= 60 for text in hosts) >= 50


def test_every_question_names_a_day_with_a_broadcast_or_none() -> None:
    lines = [json.loads(line) for line in (SAMPLE / "questions.jsonl").read_text(encoding="utf-8").splitlines()]
    days = {str(GRAMMAR.date_of(path)) for path in transcripts()}
    assert len(lines) >= 40 and len({line["question"] for line in lines}) == len(lines)
    for line in lines:
        assert set(line) == {"question", "date", "answer"} and re.search(r"[？?]$", line["question"])
        assert line["date"] in days if line["date"] else (line["date"], line["answer"]) == (None, "")
