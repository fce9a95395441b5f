"""What the questions choose: a weight and a threshold, and only where they tell."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hcf_pipeline.rag.encode.cosines import NO_SCALE, SPAN, CosineScale, cosine_scale
from hcf_pipeline.rag.evaluation.calibration import (
    ENOUGH,
    Calibration,
    Evidence,
    Ranked,
    choose_threshold,
    choose_weight,
    interval,
)
from hcf_pipeline.rag.evaluation.card import CARD, Scorecard
from hcf_pipeline.rag.evaluation.scorecard import ask_all, scorecard_of
from hcf_pipeline.rag.evaluation.told import threshold_told, weight_told
from hcf_pipeline.rag.search.fusion import LEARNT_HERE, MIN_SCORE, PRETRAINED, Choice, Fusion
from hcf_pipeline.rag.search.retriever import Retriever
from hcf_pipeline.settings import RetrievalSettings
from hcf_pipeline_tests.rag.conftest import Built
from hcf_pipeline_tests.rag.test_scorecard import ASKED, NOWHERE

DEFAULT = Choice(0.1, "default")


def ranked(n: int, gap: float) -> list[Ranked]:
    """Questions whose right broadcast is `gap` behind another one by words, and 1 before it by vectors."""
    lexical, dense = np.array([0.4, 0.4 - gap]), np.array([0.0, 1.0])

    def score(weight: float) -> np.ndarray:
        return (1 - weight) * lexical + weight * dense

    return [Ranked(np.array([0, 1]), np.array([False, True]), score) for _ in range(n)]


def test_questions_that_tell_choose_the_weight() -> None:
    chosen, reason, gain = choose_weight(ranked(ENOUGH, gap=0.39), DEFAULT)
    assert chosen == Choice(0.3, "questions") and reason.why == "better"  # (1 - w) 0.39 < w from 0.28 on
    assert gain is not None and gain.low > 0


def test_of_weights_that_rank_alike_the_one_that_stands_stays() -> None:
    chosen, reason, _ = choose_weight(ranked(ENOUGH, gap=0.05), DEFAULT)
    assert chosen == DEFAULT and reason.why == "stands"


def test_too_few_questions_choose_nothing() -> None:
    chosen, reason, _ = choose_weight(ranked(ENOUGH - 1, gap=0.39), DEFAULT)
    assert chosen == DEFAULT and reason.why == "few" and reason.n_questions == ENOUGH - 1
    assert choose_threshold([Evidence([0.0] * (ENOUGH - 1), [], [], by_users=True)], DEFAULT)[1].why == "few"
    assert choose_weight([], DEFAULT)[0] == DEFAULT and choose_threshold([], DEFAULT)[0] == DEFAULT


def test_a_gain_that_chance_may_have_brought_changes_nothing() -> None:
    one_way = ranked(1, gap=0.39)
    flipped = [Ranked(q.transcripts, ~q.is_right, q.score) for q in one_way]
    mixed = one_way * (ENOUGH // 2 + 1) + flipped * (ENOUGH // 2)
    assert choose_weight(mixed, DEFAULT)[0] == DEFAULT


def test_what_is_set_stays_whatever_the_questions_say() -> None:
    set_by_hand = Choice(0.02, "setting")
    chosen, reason, gain = choose_weight(ranked(ENOUGH, gap=0.39), set_by_hand)
    assert chosen == set_by_hand and reason.why == "set" and gain is not None and gain.mean == 0
    assert choose_threshold([Evidence([0.0] * 100, [], [], by_users=True)], set_by_hand)[0] == set_by_hand


def test_a_threshold_that_refuses_too_many_is_lowered_by_any_questions() -> None:
    scores = [0.05 + 0.004 * n for n in range(100)]  # a quarter lies below 0.15
    for by_users in (False, True):
        chosen, reason = choose_threshold([Evidence(scores, scores, [], by_users=by_users)], Choice(0.15, "default"))
        assert reason.why == "fewer refused" and chosen.by == "questions"
        assert np.mean(np.array(scores) < chosen.value) <= 0.03


def test_a_threshold_is_raised_by_users_questions_alone_and_only_where_it_tells() -> None:
    answerable, chance = [0.3 + 0.001 * n for n in range(200)], [0.0 + 0.001 * n for n in range(200)]
    stands = Choice(0.15, "default")
    chosen, reason = choose_threshold([Evidence(answerable, [], chance, by_users=True)], stands)
    assert reason.why == "more refused" and 0.3 <= chosen.value <= 0.31
    assert choose_threshold([Evidence(answerable, [], chance, by_users=False)], stands)[0] == stands
    assert choose_threshold([Evidence(answerable, answerable, [], by_users=True)], stands)[0] == stands


def test_the_interval_is_about_that_of_the_normal_approximation() -> None:
    values = np.random.default_rng(1).normal(0.1, 1.0, 400)
    found, half = interval(values), 1.96 * values.std() / 20
    assert found.low == pytest.approx(values.mean() - half, abs=0.03)
    assert found.high == pytest.approx(values.mean() + half, abs=0.03)


def test_cosines_of_an_encoder_that_crowds_them_are_spread_as_those_of_another() -> None:
    cosines = np.array([0.84, 0.86, 0.9], dtype=np.float32)
    scores = CosineScale(0.86, 0.01).scores(cosines)
    assert scores.tolist() == pytest.approx([0.0, 0.0, 4 / SPAN], abs=1e-4)
    assert NO_SCALE.scores(cosines).tolist() == pytest.approx(cosines.tolist())


def test_the_scale_is_that_of_texts_that_have_nothing_to_do_with_each_other(built: Built) -> None:
    from hcf_pipeline.corpus.parts import Table
    from hcf_pipeline.rag.encode.embed import Embeddings

    embeddings = Embeddings.load(built.embeddings)
    crowded = 0.9  # as if every vector had this much in common with every other

    def shifted(texts: list[str]) -> np.ndarray:
        vectors = built.encoder.encode_queries(texts)
        return np.hstack([vectors * np.sqrt(1 - crowded), np.full((len(texts), 1), np.sqrt(crowded))]).astype(
            np.float32
        )

    def of_chunks(hashes: np.ndarray) -> np.ndarray:
        vectors = embeddings.take(embeddings.places(hashes))
        return np.hstack([vectors * np.sqrt(1 - crowded), np.full((len(vectors), 1), np.sqrt(crowded))]).astype(
            np.float32
        )

    plain, scale = embeddings.scale, cosine_scale(Table(built.chunks), shifted, of_chunks)
    assert scale.mean == pytest.approx(crowded + (1 - crowded) * plain.mean, abs=0.01)
    assert scale.sd == pytest.approx((1 - crowded) * plain.sd, rel=0.05)


def test_a_card_holds_what_was_chosen_and_why_and_is_read_again(built: Built, tmp_path: Path) -> None:
    settings = RetrievalSettings()
    card = scorecard_of(
        [ask_all("mine", built.index, built.encoder, settings, [*ASKED, NOWHERE])], settings, pretrained=False
    )
    assert card.calibration is not None
    assert card.calibration.fusion == Fusion(Choice(LEARNT_HERE, "default"), Choice(MIN_SCORE, "default"))
    assert card.calibration.dense_weight.why == "few"
    card.save(tmp_path)
    assert Scorecard.load(tmp_path / CARD) == card
    for lang, few in (("zh", "看不出好坏"), ("en", "too few to tell")):
        assert few in weight_told(card.calibration, lang) and few in threshold_told(card.calibration, lang)


def test_a_card_of_before_there_was_a_calibration_is_still_read(built: Built, tmp_path: Path) -> None:
    settings = RetrievalSettings()
    card = scorecard_of([ask_all("mine", built.index, built.encoder, settings, ASKED)], settings, pretrained=False)
    card.save(tmp_path)
    raw = json.loads((tmp_path / CARD).read_text(encoding="utf-8"))
    del raw["calibration"]
    for of_set in raw["sets"]:
        del of_set["dense_gain"], of_set["refused_left_out"]
    (tmp_path / CARD).write_text(json.dumps(raw), encoding="utf-8")
    old = Scorecard.load(tmp_path / CARD)
    assert old.calibration is None and old.sets[0].stages == card.sets[0].stages


def test_a_set_is_measured_by_what_it_chose(built: Built) -> None:
    """The card of "auto" is that of the numbers that it chose, set by hand."""
    auto = RetrievalSettings()
    asked = [*ASKED * 20, NOWHERE]
    card = scorecard_of(
        [ask_all("mine", built.index, built.encoder, auto, asked, by_users=True)], auto, pretrained=True
    )
    assert card.calibration is not None and card.calibration.dense_weight.n_questions >= ENOUGH
    fusion = card.calibration.fusion
    by_hand = auto.model_copy(update={"dense_weight": fusion.dense_weight.value, "min_score": fusion.min_score.value})
    same = scorecard_of(
        [ask_all("mine", built.index, built.encoder, by_hand, asked, by_users=True)], by_hand, pretrained=True
    )
    assert same.calibration is not None and same.calibration.dense_weight.why == "set"
    assert replace(same, calibration=None).content == replace(card, calibration=None).content


def test_what_is_auto_is_served_as_it_was_chosen_and_what_is_set_as_it_is_set(built: Built) -> None:
    chosen = Fusion(Choice(0.4, "questions"), Choice(0.2, "questions"))
    question = ASKED[0].text
    auto = Retriever.open(built.index, built.encoder, RetrievalSettings(), fusion=chosen)
    by_hand = Retriever.open(built.index, built.encoder, RetrievalSettings(dense_weight=0.4, min_score=0.2))
    assert auto.search(question, 5) == by_hand.search(question, 5)
    both = Retriever.open(built.index, built.encoder, RetrievalSettings(dense_weight=0.3), fusion=chosen)
    assert both.fusion == Fusion(Choice(0.3, "setting"), Choice(0.2, "questions"))
    assert Fusion.of(RetrievalSettings(), pretrained=True).dense_weight == Choice(PRETRAINED, "default")


def test_a_calibration_that_is_damaged_is_no_calibration() -> None:
    good = Calibration(
        Fusion(DEFAULT, DEFAULT), *(choose_weight([], DEFAULT)[1], choose_threshold([], DEFAULT)[1]), None
    ).as_json()
    assert Calibration.from_json(good).fusion == Fusion(DEFAULT, DEFAULT)
    for broken in ({**good, "fusion": {}}, {**good, "dense_weight": 3}, {**good, "dense_gain": [1]}):
        with pytest.raises((KeyError, TypeError, ValueError)):
            Calibration.from_json(broken)
