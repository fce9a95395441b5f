"""Gates compare with the best of the kept releases, on the questions that both were asked."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import pytest

from hcf_pipeline.asset_names import LORA_ADAPTER, RELEASE, RETRIEVAL_SCORECARD, TURN_TABLE
from hcf_pipeline.chat.release import ENCODER, INDEX, TURNS, Release, pin
from hcf_pipeline.corpus.plausible import Reading
from hcf_pipeline.corpus.tables import REPORT, TurnReport
from hcf_pipeline.errors import GateFailed
from hcf_pipeline.gates import (
    GATES,
    adapter_learnt,
    enough_transcripts,
    judge,
    recall_holds,
    refuse,
    text_has_speakers,
)
from hcf_pipeline.rag.evaluation.card import CARD, QuestionSet, Scorecard, Stage
from hcf_pipeline.settings import ReleaseSettings
from hcf_pipeline.settings.file import load_settings
from hcf_pipeline.store import Artifact, Built, Recipe, Store

SETTINGS = ReleaseSettings()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "home")


def card(store: Store, ranks: Mapping[str, int], name: str = "guests", recall: float | None = None) -> Artifact:
    """A scorecard of questions with their ranks; `recall` is what its last stage says (by default what the ranks give)."""
    shown = sum(0 < rank <= 10 for rank in ranks.values()) / max(len(ranks), 1) if recall is None else recall
    n = len(ranks) or 100
    stage = Stage("fused", dict.fromkeys(("1", "3", "5", "10"), shown), shown, shown, 1.0, 1.0)
    made = Scorecard((QuestionSet(name, n, 0, 0.0, 0.0, (stage,), (), dict(ranks)),))

    def build(folder: Path) -> Built:
        made.save(folder)
        return Built({}, made.content)

    return store.publish(RETRIEVAL_SCORECARD, build, Recipe(1, {"ranks": str(asdict(made))}))


def cards(store: Store, sets: Mapping[str, Mapping[str, int]]) -> Artifact:
    """A scorecard of several sets of questions."""
    single = [Scorecard.load(card(store, given, name).file(CARD)).sets[0] for name, given in sets.items()]
    made = Scorecard(tuple(single))

    def build(folder: Path) -> Built:
        made.save(folder)
        return Built({}, made.content)

    return store.publish(RETRIEVAL_SCORECARD, build, Recipe(1, {"sets": str(asdict(made))}))


def turns(store: Store, n_transcripts: int, reading: Reading | None = None) -> Artifact:
    def build(folder: Path) -> Built:
        TurnReport(n_transcripts, 1, 1, 1, 0, 0, {}, {"江": 1}, "", "", 0, reading=reading).save(folder / REPORT)
        return Built({})

    return store.publish(TURN_TABLE, build, Recipe(1, {"n": n_transcripts}))


def release(store: Store, scorecard: Artifact, n_transcripts: int = 10) -> Artifact:
    table = turns(store, n_transcripts)
    parts = {INDEX: pin(table), ENCODER: pin(table), TURNS: pin(table)}
    made = Release(parts, {INDEX: scorecard.version}, "江", ("江",), True, {})

    def build(folder: Path) -> Built:
        made.save(folder)
        return Built({}, made.id)

    return store.publish(RELEASE, build, Recipe(1, {}, {RETRIEVAL_SCORECARD: scorecard.version}))


def ranks(n_found: int, n: int = 100, first: int = 0) -> dict[str, int]:
    """Questions first … first + n, of which the first `n_found` are found."""
    return {f"q{i}": 1 if i - first < n_found else 0 for i in range(first, first + n)}


def test_a_little_less_at_every_release_is_stopped_by_the_best_that_is_kept(store: Store) -> None:
    """Before, each release was measured by the last one alone: 0.1 could be lost with each, for ever."""
    release(store, card(store, ranks(90)))
    worse = card(store, ranks(81))
    assert recall_holds(worse, store, SETTINGS).passed
    release(store, worse)
    verdict = recall_holds(card(store, ranks(72)), store, SETTINGS)
    assert not verdict.passed and "0.720" in verdict.text("en") and "0.900" in verdict.text("en")


def test_what_is_no_longer_kept_is_no_measure(store: Store) -> None:
    release(store, card(store, ranks(90)))
    release(store, card(store, ranks(72)))
    assert recall_holds(card(store, ranks(70)), store, ReleaseSettings(keep=1)).passed
    assert not recall_holds(card(store, ranks(70)), store, SETTINGS).passed


def test_only_questions_that_both_were_asked_are_compared(store: Store) -> None:
    """Harder questions of newer broadcasts are no fall; a fall on the shared ones is, whatever the others gain."""
    release(store, card(store, ranks(90)))
    harder = ranks(45, 50) | ranks(5, 50, first=100)
    assert recall_holds(card(store, harder), store, SETTINGS).passed
    easier = ranks(30, 50) | ranks(50, 50, first=100)
    verdict = recall_holds(card(store, easier), store, SETTINGS)
    assert not verdict.passed and "of 50 questions in common" in verdict.text("en")


def test_few_questions_in_common_say_nothing(store: Store) -> None:
    release(store, card(store, ranks(90)))
    assert recall_holds(card(store, ranks(0, 29)), store, SETTINGS).passed
    assert not recall_holds(card(store, ranks(0, 30)), store, SETTINGS).passed


def test_sets_are_told_apart_by_their_name(store: Store) -> None:
    release(store, card(store, ranks(90), "questions/a.jsonl"))
    assert recall_holds(card(store, ranks(0), "other/a.jsonl"), store, SETTINGS).passed


def test_a_set_that_only_one_was_asked_does_not_hide_the_fall_of_the_next(store: Store) -> None:
    release(store, cards(store, {"guests": ranks(90), "old": ranks(90)}))
    verdict = recall_holds(cards(store, {"new": ranks(90), "guests": ranks(70)}), store, SETTINGS)
    assert not verdict.passed and "(guests) 0.700" in verdict.text("en")


def test_of_several_falls_the_worst_is_told(store: Store) -> None:
    release(store, cards(store, {"a": ranks(90), "b": ranks(90), "c": ranks(90)}))
    verdict = recall_holds(cards(store, {"a": ranks(85), "b": ranks(60), "c": ranks(95)}), store, SETTINGS)
    assert not verdict.passed and "(b) 0.600" in verdict.text("en")


def test_the_tenth_broadcast_is_found_and_the_eleventh_is_not(store: Store) -> None:
    found = dict.fromkeys(ranks(90), 10)
    release(store, card(store, found))
    assert recall_holds(card(store, found), store, SETTINGS).passed
    verdict = recall_holds(card(store, dict.fromkeys(found, 11)), store, SETTINGS)
    assert not verdict.passed and "in common (guests) 0.000, the best of the kept releases 1.000" in verdict.text("en")


def test_a_fall_as_large_as_is_allowed_passes(store: Store) -> None:
    release(store, card(store, ranks(64, 64)))
    assert recall_holds(card(store, ranks(48, 64)), store, ReleaseSettings(max_recall_fall=0.25)).passed
    assert not recall_holds(card(store, ranks(47, 64)), store, ReleaseSettings(max_recall_fall=0.25)).passed


def test_figures_of_sets_with_few_questions_are_not_shown(store: Store) -> None:
    verdict = recall_holds(cards(store, {"many": ranks(15, 30), "few": ranks(29, 29)}), store, SETTINGS)
    assert verdict.figures == {"many recall@10": 0.5}
    assert "many 0.500" in verdict.text("en") and "few" not in verdict.text("en")
    assert "no questions" in recall_holds(cards(store, {"few": ranks(29, 29)}), store, SETTINGS).text("en")


def test_what_cannot_be_read_does_not_pass_and_is_judged_anew_once_it_can(store: Store, tmp_path: Path) -> None:
    (tmp_path / "hcf.toml").write_text("", encoding="utf-8")
    settings = load_settings(tmp_path / "hcf.toml", environ={})
    gate = next(gate for gate in GATES if gate.judge is recall_holds)
    made = card(store, ranks(90))
    file = made.path / CARD
    whole = file.read_bytes()
    file.write_text("?", encoding="utf-8")
    verdict = judge(gate, made, store, settings)
    assert not verdict.passed and verdict.text("en").startswith("cannot be read; ") and CARD in verdict.text("zh")
    with pytest.raises(GateFailed, match=r"recall_holds failed.*cannot be read"):
        refuse({gate: verdict})
    file.write_bytes(whole)
    verdict = judge(gate, made, store, settings)
    assert verdict.passed
    refuse({gate: verdict})


def test_a_damaged_kept_release_is_no_measure_and_the_others_are(store: Store) -> None:
    release(store, card(store, ranks(90)), 100)
    hurt = release(store, card(store, ranks(95)), 101)
    (hurt.path / "manifest.json").write_text("?", encoding="utf-8")
    torn = release(store, card(store, ranks(96)), 102)
    torn.file("release.json").write_text("?", encoding="utf-8")
    shutil.rmtree(store.open(RETRIEVAL_SCORECARD, torn.inputs[RETRIEVAL_SCORECARD]).path)
    verdict = recall_holds(card(store, ranks(70)), store, SETTINGS)
    assert not verdict.passed and "0.900" in verdict.text("en")
    assert "100 transcripts are released" in enough_transcripts(turns(store, 90), store, SETTINGS).text("en")


def test_all_transcripts_gone_is_an_accident_and_none_before_is_none(store: Store) -> None:
    release(store, card(store, ranks(90)), 0)
    assert enough_transcripts(turns(store, 0), store, SETTINGS).passed
    release(store, card(store, ranks(90)), 10)
    verdict = enough_transcripts(turns(store, 0), store, SETTINGS)
    assert not verdict.passed and verdict.figures["lost_share"] == 1
    assert enough_transcripts(turns(store, 11), store, SETTINGS).figures["lost_share"] == 0


def test_a_card_of_earlier_versions_is_compared_by_its_figure(store: Store) -> None:
    release(store, card(store, {}, recall=0.9))
    assert recall_holds(card(store, ranks(85)), store, SETTINGS).passed
    assert not recall_holds(card(store, ranks(70)), store, SETTINGS).passed


def test_a_first_release_has_nothing_to_be_measured_by(store: Store) -> None:
    assert recall_holds(card(store, ranks(0)), store, SETTINGS).passed
    assert enough_transcripts(turns(store, 1), store, SETTINGS).passed


def test_most_of_the_transcripts_gone_is_an_accident_also_in_steps(store: Store) -> None:
    release(store, card(store, ranks(90)), 100)
    assert enough_transcripts(turns(store, 50), store, SETTINGS).passed
    release(store, card(store, ranks(90)), 50)
    verdict = enough_transcripts(turns(store, 30), store, SETTINGS)
    assert not verdict.passed and "100 transcripts are released, 30 are there now" in verdict.text("en")
    assert enough_transcripts(turns(store, 30), store, ReleaseSettings(max_lost=0.7)).passed


@pytest.mark.parametrize(
    ("reading", "least", "passes"),
    [
        (Reading(n_spoken=30, n_nobodys=70), 0.3, True),
        (Reading(n_spoken=29, n_nobodys=71), 0.3, False),
        (Reading(n_spoken=1, n_nobodys=99), 0.0, True),
        (Reading(n_spoken=50, n_nobodys=50), 0.6, False),
        (None, 0.3, True),  # a table that is older than the count
    ],
)
def test_a_corpus_of_which_most_text_is_nobodys_is_not_let_in(
    store: Store, reading: Reading | None, least: float, passes: bool
) -> None:
    verdict = text_has_speakers(turns(store, 3, reading), store, ReleaseSettings(min_spoken=least))
    assert verdict.passed is passes and ("min_spoken" in verdict.text("en")) is not passes


@pytest.mark.parametrize(
    ("losses", "passes"),
    [
        ({"train_loss": 2.0, "held_out_loss_base": 2.0, "held_out_loss": 2.09}, True),
        ({"train_loss": 2.0, "held_out_loss_base": 2.0, "held_out_loss": 2.11}, False),
        ({"train_loss": float("nan")}, False),
        ({"train_loss": 2.0, "held_out_loss_base": float("nan"), "held_out_loss": 2.0}, False),
        ({"train_loss": float("inf"), "held_out_loss_base": 2.0, "held_out_loss": 1.0}, False),
        ({"train_loss": 2.0}, True),
        ({}, True),
    ],
)
def test_an_adapter_that_made_its_base_worse_is_not_let_in(
    store: Store, losses: dict[str, float], passes: bool
) -> None:
    def build(folder: Path) -> Built:
        (folder / "adapter").write_text("a", encoding="utf-8")
        return Built(losses)

    adapter = store.publish(LORA_ADAPTER, build, Recipe(1))
    assert adapter_learnt(adapter, store, SETTINGS).passed is passes


def test_a_rise_of_the_loss_as_large_as_is_allowed_passes(store: Store) -> None:
    losses = {"train_loss": 2.0, "held_out_loss_base": 2.0, "held_out_loss": 2.25}
    adapter = store.publish(LORA_ADAPTER, lambda _: Built(losses), Recipe(1))
    assert adapter_learnt(adapter, store, ReleaseSettings(max_loss_rise=0.25)).passed
    assert not adapter_learnt(adapter, store, ReleaseSettings(max_loss_rise=0.24)).passed
