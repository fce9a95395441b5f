"""A reranker behind a server, in the two forms that there are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from hcf_pipeline.errors import ServerBusy, ServerError
from hcf_pipeline.rag import server as client
from hcf_pipeline.rag.search.retriever import Retriever
from hcf_pipeline.rag.search.server_reranker import ServerReranker
from hcf_pipeline.settings import EncoderSettings, RetrievalSettings, Sections
from hcf_pipeline_tests.rag.conftest import Built
from hcf_pipeline_tests.rag.model_server import ModelServer

QUESTION = "变速箱多少钱"
TEXTS = ["今天吃面", "二手变速箱花了两千三百块钱", "多少钱一斤"]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    monkeypatch.setattr(client, "FIRST_WAIT_S", 0.01)
    with ModelServer() as running:
        yield running


def reranker(server: ModelServer, **more: Any) -> ServerReranker:
    retrieval = RetrievalSettings.model_validate({"reranker": "tiny", "reranker_url": server.rerank_url} | more)
    return ServerReranker("tiny", Sections(retrieval=retrieval, encoder=EncoderSettings(timeout_s=5)))


@pytest.mark.parametrize("tei", [False, True])
def test_scores_come_by_the_order_of_the_texts_in_either_form(server: ModelServer, tei: bool) -> None:
    server.tei = tei
    asked = reranker(server)
    first = asked.scores(QUESTION, TEXTS)
    assert first.argsort().tolist() == [0, 2, 1] and first.dtype == "float32"
    usual = {"model": "tiny", "query": QUESTION, "documents": TEXTS}
    assert server.asked[0] == usual and len(server.asked) == (2 if tei else 1)
    asked.scores(QUESTION, TEXTS)  # the form is remembered
    assert server.asked[-1] == ({"query": QUESTION, "texts": TEXTS, "truncate": True} if tei else usual)
    assert len(server.asked) == (3 if tei else 2)


def test_hits_come_in_the_order_of_the_server_and_keep_their_scores(built: Built, server: ModelServer) -> None:
    settings = RetrievalSettings(rerank_top=8)
    hits = Retriever.open(built.index, built.encoder, settings, reranker(server)).search(QUESTION, 8)
    wanted = reranker(server).scores(QUESTION, [hit.text for hit in hits]).tolist()
    assert wanted == sorted(wanted, reverse=True)
    plain = Retriever.open(built.index, built.encoder, settings).search(QUESTION, 8)
    assert {(hit.chunk_id, hit.score) for hit in hits} == {(hit.chunk_id, hit.score) for hit in plain}


def test_a_server_that_takes_fewer_texts_at_a_time_gets_fewer(server: ModelServer) -> None:
    whole = reranker(server).scores(QUESTION, TEXTS * 5)
    server.max_batch = 4
    assert reranker(server).scores(QUESTION, TEXTS * 5).tolist() == whole.tolist()


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"statuses": [404], "echo": "no such page"}, r"answered 404 \(no such page\)"),
        ({"body": b"<html>"}, "no JSON"),
        ({"spoil": lambda rows: rows[1:]}, "a score for each of 3 texts is not in it"),
        ({"spoil": lambda rows: [{**row, "relevance_score": float("nan")} for row in rows]}, "a score for each"),
        ({"spoil": lambda rows: [{"index": row["index"]} for row in rows]}, "a score for each"),
        ({"body": b'{"results": 3}'}, "a score for each"),
        ({"statuses": [422, 422], "echo": "missing field"}, r"answered 422 \(missing field\)"),
    ],
)
def test_what_is_no_reranker_is_refused_in_one_sentence_that_says_how_to_go_without(
    server: ModelServer, wrong: dict[str, Any], says: str
) -> None:
    vars(server).update(wrong)
    with pytest.raises(ServerError, match=f"{says}.*-s retrieval.reranker= a question goes without it") as refused:
        reranker(server, rerank_top=1).scores(QUESTION, TEXTS[:1]) if "422" in says else reranker(server).scores(
            QUESTION, TEXTS
        )
    assert "\n" not in refused.value.zh


def test_a_reranker_out_of_reach_is_busy(server: ModelServer) -> None:
    with pytest.raises(ServerBusy, match="cannot be reached"):
        reranker(server, reranker_url="http://127.0.0.1:9/rerank").scores(QUESTION, TEXTS)
