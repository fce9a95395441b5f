"""Retrieval judged by questions: which are asked, what is counted, what a file of them may hold."""

from __future__ import annotations

import datetime
import json
import math
from pathlib import Path

import numpy as np
import pytest

from hcf_pipeline.corpus.parts import Table
from hcf_pipeline.errors import ArtifactError, SettingsError
from hcf_pipeline.rag.evaluation.card import CARD, Scorecard, question_key
from hcf_pipeline.rag.evaluation.measures import mrr, ndcg, percentile, recall
from hcf_pipeline.rag.evaluation.questions import Question, guest_questions, index_without, read_questions
from hcf_pipeline.rag.evaluation.scorecard import PLOT, draw, judge_retrieval
from hcf_pipeline.rag.search.retriever import Retriever
from hcf_pipeline.settings import RetrievalSettings
from hcf_pipeline_tests.rag.conftest import TOPICS, Built, texts_of

SETTINGS = RetrievalSettings()
ASKED = [Question(question, date=datetime.date.fromisoformat(date)) for date, (question, _) in TOPICS.items()]
NOWHERE = Question("木星周围究竟绕着几颗卫星？")


@pytest.fixture(scope="module")
def all_paths(built: Built) -> list[str]:
    return [entry.path for entry in Table(built.turns).entries]


def test_guests_are_asked_again_for_what_they_asked_and_not_for_their_greetings(
    built: Built, all_paths: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hcf_pipeline.rag.evaluation.questions.MIN_CHARS", 6)
    found = guest_questions(built.turns, all_paths)
    assert {q.text for q in found} == {question for question, _ in TOPICS.values()}
    assert all(q.transcript and q.turn == 3 for q in found)
    assert guest_questions(built.turns, all_paths, n=2) == found[:2]
    assert {q.text for q in guest_questions(built.turns, all_paths[:2])} < {q.text for q in found}


def test_an_index_without_the_questions_still_has_the_answers(built: Built, tmp_path: Path) -> None:
    asked = [
        Question("变速箱换了多少钱？", "2024-05-05.md", turn=3),
        Question("面馆涨价了没有？", "2024-04-02.md", turn=3),
    ]
    index = index_without(asked, built.chunks, built.encoder, built.cache, built.index, tmp_path)
    said = "\n".join(texts_of(tmp_path / "chunks")).split("\n")
    assert "变速箱换了多少钱？" not in said and "水管怎么爆了？" in said
    hit = Retriever.open(index, built.encoder, SETTINGS).search("变速箱换了多少钱？", 1)[0]
    assert str(hit.date) == "2024-05-05" and hit.turns == (4, 4)
    before = Retriever.open(built.index, built.encoder, SETTINGS).search("变速箱换了多少钱？", 1)[0]
    assert before.turns == (3, 4)


def test_every_stage_is_measured_and_what_was_missed_is_shown(built: Built) -> None:
    wrong = Question("变速箱换了多少钱？", date=datetime.date(2024, 1, 3))
    found = judge_retrieval(built.index, built.encoder, SETTINGS, "mine", [*ASKED, wrong, NOWHERE])
    assert [stage.name for stage in found.stages] == ["lexical", "dense", "fused"]
    assert (found.n_answerable, found.n_unanswerable) == (len(ASKED) + 1, 1)
    fused = found.stage("fused")
    assert fused.recall["1"] == pytest.approx(len(ASKED) / (len(ASKED) + 1), abs=1e-4)
    assert fused.recall["1"] <= fused.recall["3"] <= fused.recall["5"] <= fused.recall["10"]
    assert 0 < fused.p50_ms <= fused.p99_ms
    (miss,) = found.misses
    assert (miss.question, miss.right, miss.came_first) == (wrong.text, "2024-01-03", "2024-05-05.md")
    assert miss.rank != 1 and "变速箱" in miss.its_words


def test_the_threshold_is_judged_by_what_it_refuses(built: Built) -> None:
    def refused(min_score: float) -> tuple[float, float]:
        settings = RetrievalSettings(min_score=min_score)
        found = judge_retrieval(built.index, built.encoder, settings, "mine", [*ASKED, NOWHERE])
        return found.refused_answerable, found.refused_unanswerable

    assert refused(0) == (0, 0) and refused(0.3) == (0, 1)


class Knowing:
    """Puts the text with a word in it first."""

    def __init__(self, word: str) -> None:
        self._word = word

    def scores(self, question: str, texts: list[str]) -> np.ndarray:
        return np.array([self._word in text for text in texts], dtype=np.float32)


def test_a_reranker_is_a_stage_of_its_own(built: Built) -> None:
    asked = [Question("多少钱？", date=datetime.date(2024, 5, 5))]
    found = judge_retrieval(built.index, built.encoder, SETTINGS, "mine", asked, Knowing("变速箱花了两千三"))
    assert found.stages[-1].name == "reranked" and found.stages[-1].recall["1"] == 1


def test_without_a_dense_side_there_is_no_such_stage(built: Built) -> None:
    found = judge_retrieval(built.index, built.encoder, RetrievalSettings(dense_weight=0), "mine", ASKED)
    assert [stage.name for stage in found.stages] == ["lexical", "fused"]
    assert found.stage("lexical").recall == found.stage("fused").recall


def test_a_card_is_the_same_after_loading_and_its_content_knows_no_times(built: Built, tmp_path: Path) -> None:
    one, two = (Scorecard((judge_retrieval(built.index, built.encoder, SETTINGS, "mine", ASKED),)) for _ in "ab")
    one.save(tmp_path)
    draw(one, tmp_path)
    assert Scorecard.load(tmp_path / CARD) == one and (tmp_path / PLOT).read_bytes().startswith(b"\x89PNG")
    assert one.content == two.content
    (tmp_path / CARD).write_text("{}", encoding="utf-8")
    with pytest.raises(ArtifactError, match="damaged"):
        Scorecard.load(tmp_path / CARD)


def served_rank(retriever: Retriever, question: Question, top_k: int) -> int:
    """By hand: the place of the right broadcast among the distinct ones of the hits that are served, then of all."""
    query = retriever.query(question.text, question.asked)
    served = retriever.search(query, top_k)
    distinct: list[str] = []
    for hit in [*served, *retriever.search(query, 50)[len(served) :]]:
        distinct += [hit.transcript] if hit.transcript not in distinct else []
        if any(question.is_right(place.transcript, place.date) for place in (hit.place, *hit.also)):
            return len(distinct)
    return 0


@pytest.mark.parametrize(
    "changes",
    [{}, {"date_factor": 0.0}, {"date_factor": 1.0}, {"one_per_transcript": True}, {"dense_weight": 0.7}, {"top_k": 2}],
    ids=str,
)
def test_the_card_measures_what_is_served(built: Built, changes: dict[str, float]) -> None:
    settings = RetrievalSettings.model_validate(changes)
    retriever = Retriever.open(built.index, built.encoder, settings)
    texts = [*(q.text for q in ASKED), "多少钱", "晚上好"]
    asked = [
        Question(f"{time}{text}", date=question.date)
        for time in ("", "2024年4月", "5月5号那场，", "1月")
        for text in texts
        for question in ASKED[::2]
    ]
    found = judge_retrieval(built.index, built.encoder, settings, "mine", asked)
    expected = {question_key(q.text, str(q.date)): served_rank(retriever, q, settings.top_k) for q in asked}
    assert found.ranks == expected and len(set(expected.values())) > 2
    refused = [
        not retriever.bears_on(query, retriever.search(query, settings.top_k))
        for query in (retriever.query(q.text) for q in asked)
    ]
    assert found.refused_answerable == pytest.approx(sum(refused) / len(refused), abs=1e-4)


def test_a_broadcast_that_is_named_with_a_hit_of_the_same_words_is_found_there(built: Built) -> None:
    """It stood at the 2nd to 6th place, where whoever asks sees one hit that names them all."""
    asked = [Question("感谢老铁送的小灯牌，晚上好", date=datetime.date.fromisoformat(date)) for date in TOPICS]
    found = judge_retrieval(built.index, built.encoder, SETTINGS, "mine", asked)
    assert set(found.ranks.values()) == {1} and len(found.ranks) == len(TOPICS)


def test_words_for_a_time_are_meant_from_the_day_that_a_question_was_asked_on(built: Built) -> None:
    """上一场 of another day is another broadcast; without a day it is the newest, whatever the calendar says."""
    settings = RetrievalSettings(date_factor=0)
    days = [datetime.date.fromisoformat(date) for date in TOPICS]
    asked = [Question("上一场说的多少钱？", date=day, asked=day + datetime.timedelta(1)) for day in days]
    found = judge_retrieval(built.index, built.encoder, settings, "mine", asked)
    assert set(found.ranks.values()) == {1}
    unsaid = judge_retrieval(
        built.index, built.encoder, settings, "mine", [Question("上一场说的多少钱？", date=days[-1])]
    )
    assert set(unsaid.ranks.values()) == {1}
    earlier = RetrievalSettings(date_factor=0, today=days[2])
    set_day = judge_retrieval(
        built.index, built.encoder, earlier, "mine", [Question("上一场说的多少钱？", date=days[2])]
    )
    assert set(set_day.ranks.values()) == {1}


def test_a_guests_question_was_asked_on_the_day_of_its_broadcast(
    built: Built, all_paths: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hcf_pipeline.rag.evaluation.questions.MIN_CHARS", 6)
    asked = guest_questions(built.turns, all_paths)
    assert asked and all(f"{q.asked}.md" == q.transcript for q in asked)


def test_a_card_holds_the_rank_of_each_question_that_has_an_answer(built: Built) -> None:
    wrong = Question("变速箱换了多少钱？", date=datetime.date(1999, 1, 3))
    found = judge_retrieval(built.index, built.encoder, SETTINGS, "mine", [*ASKED, wrong, NOWHERE])
    assert len(found.ranks) == len(ASKED) + 1
    assert found.ranks[question_key(wrong.text, "1999-01-03")] == 0
    assert {found.ranks[question_key(q.text, str(q.date))] for q in ASKED} == {1}
    assert all(len(key) == 16 for key in found.ranks)


def test_a_card_of_before_there_were_ranks_is_still_read(built: Built, tmp_path: Path) -> None:
    card = Scorecard((judge_retrieval(built.index, built.encoder, SETTINGS, "mine", ASKED),))
    card.save(tmp_path)
    raw = json.loads((tmp_path / CARD).read_text(encoding="utf-8"))
    for of_set in raw["sets"]:
        del of_set["ranks"], of_set["n_left_out"]
    (tmp_path / CARD).write_text(json.dumps(raw), encoding="utf-8")
    (old,) = Scorecard.load(tmp_path / CARD).sets
    assert old.stages == card.sets[0].stages and old.ranks == {} and old.n_left_out == 0


def test_a_file_of_questions_is_read_with_dates_and_without(tmp_path: Path) -> None:
    file = tmp_path / "q.jsonl"
    lines = [
        {"question": "甲？", "date": "2024-01-03", "asked": "2024-02-01"},
        {"question": "乙？", "date": None, "answer": ""},
        {"question": "丙？"},
    ]
    file.write_text("\n\n".join(json.dumps(line) for line in lines), encoding="utf-8")
    found = read_questions(file)
    assert [q.is_answerable for q in found] == [True, False, False]
    assert [q.asked for q in found] == [datetime.date(2024, 2, 1), None, None]
    assert found[0].is_right("x.md", datetime.date(2024, 1, 3)) and not found[0].is_right("x.md", None)


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        "3",
        '{"question": ""}',
        '{"question": "甲", "date": "gestern"}',
        '{"question": "甲", "asked": 3}',
        '{"date": null}',
    ],
)
def test_a_bad_line_of_questions_is_named(tmp_path: Path, line: str) -> None:
    file = tmp_path / "q.jsonl"
    file.write_text(f'{{"question": "甲？"}}\n{line}\n', encoding="utf-8")
    with pytest.raises(SettingsError, match=r"q\.jsonl:2 has to be"):
        read_questions(file)


def test_a_question_keeps_the_line_separators_in_it(tmp_path: Path) -> None:
    file = tmp_path / "q.jsonl"
    file.write_text(
        '{"question": "甲\u2028乙\x85丙？", "date": "2024-01-03"}\n{"question": "丁？"}\n', encoding="utf-8"
    )
    assert [q.text for q in read_questions(file)] == ["甲\u2028乙\x85丙？", "丁？"]


def test_any_of_several_days_may_be_right(tmp_path: Path) -> None:
    file = tmp_path / "several.jsonl"
    file.write_text('{"question": "A380？", "date": ["2024-01-03", "2024-05-05"]}\n', encoding="utf-8")
    (question,) = read_questions(file)
    days = [datetime.date(2024, 1, 3), datetime.date(2024, 5, 5), datetime.date(2024, 2, 19)]
    assert question.is_answerable and [question.is_right("a.md", day) for day in days] == [True, True, False]
    assert not question.is_right("a.md", None)
    file.write_text('{"question": "A380？", "date": ["2024-01-03", 7]}\n', encoding="utf-8")
    with pytest.raises(SettingsError, match="a list of them"):
        read_questions(file)


def test_a_file_of_questions_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"gone\.jsonl"):
        read_questions(tmp_path / "gone.jsonl")


def test_the_measures_are_the_usual_ones() -> None:
    ranks = [1, 2, 0, 10]
    assert recall(ranks, 1) == 0.25 and recall(ranks, 10) == 0.75
    assert mrr(ranks) == pytest.approx((1 + 0.5 + 0.1) / 4)
    assert ndcg(ranks) == pytest.approx((1 + 1 / math.log2(3) + 1 / math.log2(11)) / 4)
    assert [percentile([3, 1, 2, 4], share) for share in (0.25, 0.5, 0.99)] == [1, 2, 4]
