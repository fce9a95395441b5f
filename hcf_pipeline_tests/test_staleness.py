"""README's table "what reruns when you change what", row by row, on real runs."""

from __future__ import annotations

import pytest

from hcf_pipeline_tests.conftest import Project

SERVED = ["release", "sample_answers"]
TRAINED = ["lora_adapter", *SERVED]


def ran(project: Project, **environ: str) -> list[str]:
    names = project.json("refresh", **environ)["ran"]
    assert len(set(names)) == len(names)
    return sorted(names)


def first_transcript(project: Project) -> str:
    return str(sorted(project.corpus.rglob("2024-*.md"))[0])


def test_white_space_reruns_the_turn_table_and_nothing_after_it(project: Project) -> None:
    path = project.corpus / first_transcript(project)
    path.write_text(path.read_text(encoding="utf-8").replace("\n\n", "\n\n\u3000\n"), encoding="utf-8")
    assert ran(project) == ["turn_table"]
    assert ran(project) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("HCF_CHUNKS__MAX_CHARS", "300", ["chunk_embeddings", "chunk_table", "faiss_index", *SERVED]),
        ("HCF_SFT__MAX_PAIRS", "2", ["sft_dataset", *TRAINED]),
        ("HCF_CHAT__PERSONA_PROMPT", "你是{persona}，说话要短。", ["sft_dataset", *TRAINED]),
        ("HCF_ENCODER__DIM", "48", ["chunk_embeddings", "encoder_model", "faiss_index", *SERVED]),
        ("HCF_BASE__STEPS", "3", ["base_model", *TRAINED]),
        ("HCF_CORPUS__MAX_FILE_MB", "63", ["turn_table"]),
        ("HCF_ENCODER__QUERY_PROMPT", "问：", []),
        ("HCF_RETRIEVAL__TOP_K", "3", []),
        ("HCF_CHAT__TEMPERATURE", "0.1", []),
        ("HCF_SERVE__PORT", "3999", []),
        ("HCF_BASE__REFIT_AFTER", "0.5", []),
    ],
)
def test_a_setting_reruns_what_reads_it(project: Project, variable: str, value: str, expected: list[str]) -> None:
    assert ran(project, **{variable: value}) == sorted(expected)


@pytest.mark.slow
def test_a_setting_set_back_publishes_what_was_kept_and_trains_nothing(project: Project) -> None:
    before = {asset["name"]: asset["version"] for asset in project.json("status")["assets"]}
    assert ran(project, HCF_LORA__R="3") == sorted(TRAINED)
    done = project.hcf("refresh", "--json")
    assert "/2] loss" not in done.stderr and "lora_adapter 1/2" not in done.stderr
    assert {asset["name"]: asset["version"] for asset in project.json("status")["assets"]} == before


@pytest.mark.slow
def test_a_deleted_transcript_is_cited_no_more(project: Project) -> None:
    (project.corpus / "2024年03月" / "2024-03-05.md").unlink()
    assert {"turn_table", "parsed_pairs", "chunk_table"} <= set(ran(project))
    hits = project.json("retrieve", "周姐涨房租", "-k", "20")["hits"]
    assert "2024-03-05" not in {hit["date"] for hit in hits}
