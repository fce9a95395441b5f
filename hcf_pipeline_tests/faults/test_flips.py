"""One byte flipped in a published file: never a wrong answer, never a traceback; the next refresh heals."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hcf_pipeline_tests.conftest import Finished, Project
from hcf_pipeline_tests.faults.injector import plain
from hcf_pipeline_tests.faults.lab import FULL, NO_TRAIN, Lab, Looked, told
from hcf_pipeline_tests.faults.tally import survived

PUBLISHED_BY_TRAINING = ("base_model", "lora_adapter", "sft_dataset")
OTHERS = (
    "turn_table",
    "parsed_pairs",
    "chunk_table",
    "chunk_embeddings",
    "encoder_model",
    "faiss_index",
    "retrieval_scorecard",
    "raw_transcripts",
    "release",
    "sample_answers",
)
QUESTION = "小顾头一个月的工资是多少？"


@pytest.fixture(scope="module")
def settled(lab: Lab, finished: Finished) -> Lab:
    """Trials of the finished project as it is: nothing stale."""
    return Lab(lab.warm, lab.scratch, finished.project, "settled")


@pytest.fixture(scope="module")
def whole(settled: Lab) -> Looked:
    return settled.look(settled.copy())


def kinds_of_files(home: Path, asset: str) -> Iterator[Path]:
    """One file of each kind that an asset keeps: of the parts, which are alike, the first."""
    seen: set[str] = set()
    for file in sorted((home / asset).rglob("*")):
        kind = plain(str(file.relative_to(home)))
        if file.is_file() and ".lock" not in file.name and file.stat().st_size and kind not in seen:
            seen.add(kind)
            yield file.relative_to(home)


def flip(file: Path, bit: int) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= bit
    file.chmod(0o644)
    file.write_bytes(data)


def survives_a_flip(lab: Lab, whole: Looked, file: Path, bit: int, refresh: tuple[str, ...]) -> None:
    project: Project = lab.copy()
    flip(project.home / file, bit)
    asked = lab.hcf(project, "ask", QUESTION, "--json")
    told(asked)
    if asked.code == 0:
        found = lab.look(project)
        assert found.answers == whole.answers or not found.answers, file
    told(lab.hcf(project, "status"))
    told(lab.hcf(project, "release", "list"))
    healed = lab.hcf(project, *refresh)
    assert healed.code == 0, (file, healed)
    now = lab.look(project)
    assert not now.broken and not now.lying, (file, now)
    assert (now.release, now.current, now.answers) == (whole.release, whole.current, whole.answers), file
    survived["flipped bytes"] += 1


def test_a_flipped_byte_is_told_or_healed_and_never_answers(settled: Lab, whole: Looked) -> None:
    file = next(file for file in kinds_of_files(settled.template.home, "faiss_index") if file.name == "dense.faiss")
    survives_a_flip(settled, whole, file, 128, NO_TRAIN)


@pytest.mark.slow
@pytest.mark.parametrize("bit", [1, 128])
@pytest.mark.parametrize("asset", [*OTHERS, *PUBLISHED_BY_TRAINING])
def test_a_flipped_byte_in_each_kind_of_file(settled: Lab, whole: Looked, asset: str, bit: int) -> None:
    refresh = FULL if asset in PUBLISHED_BY_TRAINING else NO_TRAIN
    for file in kinds_of_files(settled.template.home, asset):
        survives_a_flip(settled, whole, file, bit, refresh)
