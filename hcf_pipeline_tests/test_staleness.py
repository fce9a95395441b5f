"""The table "what reruns when you change what" of docs/automation.md, row by row, on real runs; and how much of it is really done again."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver
from dagster._core.loader import LoadingContextForTest

from hcf_pipeline.asset_names import MADE
from hcf_pipeline.defs.build import build_definitions
from hcf_pipeline.defs.home import dagster_instance
from hcf_pipeline.defs.publishing import store_of
from hcf_pipeline.defs.refresh import Refreshed, refresh
from hcf_pipeline.errors import GateFailed, SettingsError
from hcf_pipeline.rag.evaluation.card import CARD, Scorecard
from hcf_pipeline.settings.file import load_settings
from hcf_pipeline_tests.conftest import ROOT, SAMPLE, Project

SERVED = {"release", "sample_answers"}
TRAINED = {"lora_adapter", *SERVED}
INDEXED = {"chunk_embeddings", "faiss_index", "retrieval_scorecard", *SERVED}
NEW_TEXT = "水友：灯塔的门票多少钱？\n\n江照野：鲸尾岬灯塔的门票是四十七块，上午九点开门，带身份证。\n"


class Silent:
    """Watches a refresh and says nothing."""

    def wave(self, assets: object) -> None: ...
    def started(self, asset: str) -> None: ...
    def said(self, asset: str, message: str) -> None: ...
    def finished(self, asset: str) -> None: ...


def refreshed(project: Project, *, train: bool = True, **environ: str) -> Refreshed:
    """A refresh in this process; nothing runs twice in it."""
    done = refresh(load_settings(project.root / "hcf.toml", environ=environ), Silent(), train=train)
    assert len(set(done.ran)) == len(done.ran)
    return done


def white_space(project: Project) -> None:
    path = first_transcript(project)
    path.write_text(path.read_text(encoding="utf-8").replace("\n\n", "\n\n\u3000\n"), encoding="utf-8")


def words(project: Project) -> None:
    path = first_transcript(project)
    path.write_text(path.read_text(encoding="utf-8") + NEW_TEXT, encoding="utf-8")


def add(project: Project) -> None:
    (project.corpus / "2024年06月" / "2024-07-02.md").write_text(NEW_TEXT, encoding="utf-8")


def delete(project: Project) -> None:
    first_transcript(project).unlink()


def rename(project: Project) -> None:
    path = first_transcript(project)
    path.rename(path.with_name("2024-03-01-2.md"))


def nothing(project: Project) -> None: ...


def first_transcript(project: Project) -> Path:
    return sorted(project.corpus.rglob("2024-*.md"))[0]


Change = Callable[[Project], None] | dict[str, str]

# The table's rows, by the words of their first cell: what runs, and every change that is tried for it.
ROWS: dict[str, tuple[set[str], list[Change]]] = {
    "nothing": (set(), [nothing]),
    "white space": ({"turn_table"}, [white_space]),
    "words": (set(MADE), [words, add, delete, rename]),
    "`[chunks]`": ({"chunk_table", *INDEXED}, [{"HCF_CHUNKS__MAX_CHARS": "300"}]),
    "`[lora]`": (TRAINED, [{"HCF_LORA__R": "3"}]),
    "ranking": (
        {"retrieval_scorecard", *SERVED},
        [
            {"HCF_RETRIEVAL__MIN_SCORE": "0.9"},
            {"HCF_RETRIEVAL__DENSE_WEIGHT": "0"},
            {"HCF_RETRIEVAL__DATE_FACTOR": "0", "HCF_RETRIEVAL__TOP_K": "3"},
        ],
    ),
    "`[sft]`": (
        {"sft_dataset", *TRAINED},
        [{"HCF_SFT__MAX_PAIRS": "2"}, {"HCF_CHAT__PERSONA_PROMPT": "你是{persona}，说话要短。"}],
    ),
    "`[encoder]`": ({"encoder_model", *INDEXED}, [{"HCF_ENCODER__DIM": "48"}]),
    "`[base]`": ({"base_model", *TRAINED}, [{"HCF_BASE__STEPS": "3"}]),
    "`[corpus]`": ({"turn_table"}, [{"HCF_CORPUS__MAX_FILE_MB": "63"}]),
    "serving": (SERVED, [{"HCF_CHAT__TEMPERATURE": "0.1"}, {"HCF_RETRIEVAL__CONTEXT_TURNS": "0"}]),
    "run": (
        set(),
        [
            {"HCF_SERVE__PORT": "3999", "HCF_BASE__REFIT_AFTER": "0.5", "HCF_REFRESH__TRAIN_PAIRS": "7"},
            {"HCF_RELEASE__KEEP": "7", "HCF_RUN__THREADS": "1", "HCF_ENCODER__BATCH_SIZE": "8"},
            {"HCF_LORA__CHECKPOINT_STEPS": "7", "HCF_LORA__HELD_OUT_SAMPLES": "7"},
        ],
    ),
}
CASES = [
    pytest.param(
        row,
        change,
        id=f"{row} {next(iter(change)) if isinstance(change, dict) else change.__name__}",
        marks=[pytest.mark.slow] if n and "lora_adapter" in expected else [],  # trains, as the row's first one does
    )
    for row, (expected, changes) in ROWS.items()
    for n, change in enumerate(changes)
]


@pytest.mark.parametrize("page", ["docs/automation.md", "docs/zh/automation.md"])
def test_the_rows_that_are_told_are_the_ones_that_are_tried(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    rows = re.findall(r"^\| (?:<!-- (.+?) -->) .+? \| (.*?) \|$", text, flags=re.MULTILINE)
    told = {row: set(re.findall(r"`(\w+)`", cell.split("（")[0].split("(")[0])) for row, cell in rows}
    assert told == {row: assets for row, (assets, _) in ROWS.items()}


@pytest.mark.parametrize(("row", "change"), CASES)
def test_a_change_runs_what_the_table_says_and_dagster_says_so_too(project: Project, row: str, change: Change) -> None:
    environ = change if isinstance(change, dict) else {}
    if callable(change):
        change(project)
    expected = ROWS[row][0]
    assert set(refreshed(project, **environ).ran) == expected
    assert refreshed(project, **environ).ran == ()
    settings = load_settings(project.root / "hcf.toml", environ=environ)
    graph = build_definitions(settings).resolve_asset_graph()
    with dagster_instance(settings) as instance:  # what the UI's pages are made of
        resolver = CachingStaleStatusResolver(instance, graph, LoadingContextForTest(instance))
        assert {key for key in graph.materializable_asset_keys if resolver.get_status(key).value != "FRESH"} == set()


def test_white_space_reruns_the_turn_table_for_one_file_and_nothing_after_it(project: Project) -> None:
    white_space(project)
    assert refreshed(project).ran == ("turn_table",)
    assert told(project, "turn_table", "transcripts_parsed") == 1
    assert "2024-" in str(told(project, "turn_table", "why")) and "changed" in str(told(project, "turn_table", "why"))
    assert refreshed(project).ran == ()


def test_a_changed_transcript_costs_its_own_share_of_each_step_and_training_can_wait(project: Project) -> None:
    before = store_of(load_settings(project.root / "hcf.toml", environ={})).current("release")
    words(project)
    done = refreshed(project, train=False)
    assert set(done.ran) == set(MADE) - {"base_model", "sft_dataset", "lora_adapter"}
    assert set(done.waiting) == {"base_model", "sft_dataset"}
    assert before and done.release != before.version
    for asset, note in (
        ("turn_table", "transcripts_parsed"),
        ("parsed_pairs", "transcripts_paired"),
        ("chunk_table", "transcripts_chunked"),
    ):
        assert told(project, asset, note) == 1
    assert 1 <= int(str(told(project, "chunk_embeddings", "texts_encoded"))) <= 3
    assert refreshed(project, train=False).ran == ()


def test_a_renamed_transcript_is_neither_parsed_nor_encoded_again(project: Project) -> None:
    rename(project)
    assert "chunk_embeddings" in refreshed(project, train=False).ran
    assert told(project, "turn_table", "transcripts_parsed") == 0
    assert told(project, "parsed_pairs", "transcripts_paired") == 0
    assert told(project, "chunk_embeddings", "texts_encoded") == 0
    why = str(told(project, "turn_table", "why"))
    assert "renamed" in why and "2024-03-01-2.md" in why


@pytest.mark.slow
def test_a_setting_set_back_publishes_what_was_kept_and_does_no_work(project: Project) -> None:
    before = versions(project)
    assert set(refreshed(project, train=False, HCF_CHUNKS__MAX_CHARS="300").ran) == {"chunk_table", *INDEXED}
    status = project.json("status", "--lang", "en")
    why = {asset["name"]: asset["why"] for asset in status["assets"]}["chunk_table"]
    assert why == ["setting [chunks] max_chars 300 → 500"]
    assert set(refreshed(project).ran) >= {"chunk_table", "faiss_index", "release"}
    assert versions(project) == before


@pytest.mark.slow
def test_a_rank_set_back_trains_nothing(project: Project) -> None:
    before = versions(project)
    assert set(refreshed(project, HCF_LORA__R="3").ran) == TRAINED
    done = project.hcf("refresh", "--json")
    assert "/2] loss" not in done.stderr and "lora_adapter 1/2" not in done.stderr
    assert versions(project) == before


@pytest.mark.slow
def test_a_deleted_transcript_is_cited_no_more(project: Project) -> None:
    (project.corpus / "2024年03月" / "2024-03-05.md").unlink()
    assert {"turn_table", "parsed_pairs", "chunk_table"} <= set(refreshed(project, train=False).ran)
    hits = project.json("retrieve", "周姐涨房租", "-k", "20")["hits"]
    assert "2024-03-05" not in {hit["date"] for hit in hits}


@pytest.mark.slow
def test_labels_run_what_follows_from_other_rows(project: Project) -> None:
    assert {"turn_table", "parsed_pairs", "chunk_table"} <= set(
        refreshed(project, train=False, HCF_CORPUS__NOISE="江照野：好").ran
    )


def told(project: Project, asset: str, note: str) -> object:
    """What the asset's last materialization says of itself."""
    with dagster_instance(load_settings(project.root / "hcf.toml", environ={})) as instance:
        event = instance.get_latest_materialization_event(dg.AssetKey(asset))
    assert event and event.asset_materialization
    return event.asset_materialization.metadata[note].value


def versions(project: Project) -> dict[str, str]:
    return {asset["name"]: asset["version"] for asset in project.json("status")["assets"]}


def test_a_release_that_would_find_much_less_is_not_let_in(project: Project) -> None:
    """The small project's encoder is barely trained: by its vectors alone next to nothing is found."""
    mine = {"HCF_RETRIEVAL__QUESTIONS": json.dumps([str(SAMPLE / "questions.jsonl")])}
    before = refreshed(project, **mine)
    assert before.ran == ("retrieval_scorecard", "release")
    worse = mine | {"HCF_RETRIEVAL__DENSE_WEIGHT": "1"}
    with pytest.raises(GateFailed, match=r"recall_holds.*\[release\] max_recall_fall"):
        refreshed(project, **worse)
    assert store_of(load_settings(project.root / "hcf.toml")).readable("release").version == before.release
    assert refreshed(project, **worse, HCF_RELEASE__MAX_RECALL_FALL="1").ran == ("release", "sample_answers")


def test_two_files_of_questions_of_one_name_are_two_sets(project: Project) -> None:
    for folder, question in (("one", "变速箱换了多少钱？"), ("two", "面馆涨价了没有？")):
        (project.root / folder).mkdir()
        row = json.dumps({"question": question, "date": "2024-01-03"})
        (project.root / folder / "q.jsonl").write_text(row, encoding="utf-8")
    refreshed(project, HCF_RETRIEVAL__QUESTIONS='["one/q.jsonl", "two/q.jsonl"]')
    card = store_of(load_settings(project.root / "hcf.toml")).readable("retrieval_scorecard")
    names = [of_set.name for of_set in Scorecard.load(card.file(CARD)).sets]
    assert names[-2:] == ["one/q.jsonl", "two/q.jsonl"]


def test_a_file_of_questions_with_a_bad_line_fails_the_scorecard_in_one_sentence(project: Project) -> None:
    (project.root / "bad.jsonl").write_text('{"question": "甲？"}\n{}\n', encoding="utf-8")
    with pytest.raises(SettingsError, match=r"bad\.jsonl:2 has to be"):
        refreshed(project, HCF_RETRIEVAL__QUESTIONS='["bad.jsonl"]')
