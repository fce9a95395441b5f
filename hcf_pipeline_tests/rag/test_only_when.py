"""A question that is only about a time is asked with the words of that time."""

from __future__ import annotations

import datetime
from pathlib import Path

import numpy as np
import pytest

from hcf_pipeline.corpus.transcript import Turn
from hcf_pipeline.rag.encode.embed import write_embeddings
from hcf_pipeline.rag.index.writer import write_index
from hcf_pipeline.rag.search.dates import mentions_in
from hcf_pipeline.rag.search.only_when import asks_only_when
from hcf_pipeline.rag.search.periods import EVER, Period, Span
from hcf_pipeline.rag.search.quotes import best_quotes
from hcf_pipeline.rag.search.retriever import Retriever
from hcf_pipeline.settings import RetrievalSettings
from hcf_pipeline_tests.rag.conftest import Built, write_chunks

TODAY = datetime.date(2024, 6, 30)
CAT = datetime.date(2024, 2, 19)


@pytest.fixture(scope="module")
def retriever(built: Built) -> Retriever:
    return Retriever.open(built.index, built.encoder, RetrievalSettings())


@pytest.mark.parametrize(
    "question",
    ["2024年2月19日聊了什么？", "2月19号那天他都说了些什么内容呢", "江照野2024年2月19日讲了啥", "2024-02-19 直播里主要谈了哪些话题？",
     "What did he talk about on 2024-02-19?", "2024年2月19日說了什麼"],
)  # fmt: skip
def test_a_day_is_answered_by_what_it_was_about_and_by_no_other(retriever: Retriever, question: str) -> None:
    query = retriever.query(question, TODAY, names=["江照野"])
    hits = retriever.search(query, 3)
    assert query.asks_only_when and hits and {hit.date for hit in hits} == {CAT} and retriever.bears_on(query, hits)
    quotes = best_quotes(query.terms, hits, ["江照野"])
    assert any("猫" in quote.text or "螺丝" in quote.text for quote in quotes)


@pytest.mark.parametrize("span", [(CAT, CAT), (CAT, datetime.date(2024, 3, 1))])
def test_the_span_of_a_search_may_be_all_that_names_a_time(retriever: Retriever, span: Span) -> None:
    query = retriever.query("聊了什么？", TODAY, span)
    hits = retriever.search(query, 3, *span)
    assert {hit.date for hit in hits} == {CAT} and retriever.bears_on(query, hits)


def test_without_a_time_it_is_a_question_like_others(retriever: Retriever) -> None:
    query = retriever.query("聊了什么？", TODAY, EVER)
    assert not query.asks_only_when and query.periods == ()


def test_a_day_without_a_broadcast_has_no_hits_and_its_nearest_are_known(retriever: Retriever) -> None:
    query = retriever.query("2024年2月20日聊了什么？", TODAY)
    assert query.asks_only_when and retriever.search(query, 3) == []
    assert query.periods == (Period(datetime.date(2024, 2, 20), datetime.date(2024, 2, 20)),)
    assert [str(day) for day in retriever.days.nearest(query.periods[0])] == ["2024-02-19", "2024-03-11"]


def _wordings(name: str) -> list[str]:
    rows = Path(__file__).with_name("only_when.tsv").read_text(encoding="utf-8").splitlines()
    return [question for kind, question in (row.split("\t") for row in rows) if kind == name]


@pytest.mark.parametrize("question", _wordings("time"))
def test_many_wordings_ask_for_nothing_but_what_a_time_was_about(question: str) -> None:
    assert asks_only_when(question, mentions_in(question, TODAY), ["户晨风", "Erik St. Martin"])


@pytest.mark.parametrize("question", _wordings("more"))
def test_what_asks_for_more_keeps_its_own_words(retriever: Retriever, question: str) -> None:
    mentions = mentions_in(question, TODAY)
    assert not asks_only_when(question, mentions, ["户晨风", "Erik St. Martin"])
    before = retriever.query(question, TODAY).terms.terms
    assert np.isin(before, retriever.lexical.ask(question).terms).all()


def test_the_best_chunk_of_each_broadcast_is_found_behind_many_of_one(built: Built, tmp_path: Path) -> None:
    def talk(n: int, day: int) -> tuple[datetime.date, list[Turn]]:
        turns = [
            Turn(no, "host", "江照野", f"灯塔的门票涨价了，第{day}天第{no}次说。" + f"{day}号{no}楼有人问。" * 4, "")
            for no in range(1, n + 1)
        ]
        return datetime.date(2024, 1, day), turns

    talks = {"a.md": talk(300, 1)} | {f"{day}.md": talk(1, day) for day in range(2, 6)}
    chunks = write_chunks(talks, tmp_path / "chunks")
    for name in ("vectors", "index"):
        (tmp_path / name).mkdir()
    write_embeddings(chunks, built.encoder, built.cache, tmp_path / "vectors")
    write_index(chunks, tmp_path / "vectors", tmp_path / "index")
    found = Retriever.open(tmp_path / "index", built.encoder, RetrievalSettings())
    hits = found.search("灯塔的门票", 5, one_per_transcript=True)
    assert sorted(
        {hit.transcript for hit in hits} | {place.transcript for hit in hits for place in hit.also}
    ) == sorted(talks)
    assert len({hit.transcript for hit in hits}) == len(hits)
    best = {hit.transcript: hit for hit in reversed(found.search("灯塔的门票", 400))}
    assert next(hit for hit in hits if hit.transcript == "a.md").chunk_id == best["a.md"].chunk_id
