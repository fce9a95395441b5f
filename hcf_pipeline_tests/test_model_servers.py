"""A whole project whose encoder and reranker stand behind a server: what is made anew for what, and what a user is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hcf_pipeline_tests.conftest import Project
from hcf_pipeline_tests.rag.model_server import ModelServer
from hcf_pipeline_tests.rag.test_server_encoder import SECRET
from hcf_pipeline_tests.test_untrained import untrained_project

QUESTION = "灯塔的门票多少钱？"


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer() as running:
        yield running


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return untrained_project(tmp_path)


def behind(server: ModelServer, **more: str) -> dict[str, str]:
    return {"HCF_ENCODER__BASE_URL": server.base_url, "HCF_ENCODER__MODEL": "tiny"} | more


def version(project: Project, asset: str) -> str:
    return (project.home / asset / "current").read_text(encoding="utf-8")


def refresh(project: Project, *arguments: str, **environ: str) -> Any:
    return project.json("refresh", *arguments, **environ)["ran"]


@pytest.mark.slow  # four refreshes; the same of the library alone is in rag/test_server_encoder.py
def test_a_server_encodes_once_wherever_it_stands_and_another_model_behind_it_is_noticed(
    project: Project, server: ModelServer
) -> None:
    """Before, there was no encoder but one that runs here."""
    environ = behind(server, HCF_ENCODER__API_KEY_ENV="MY_KEY", MY_KEY=SECRET)
    server.key = SECRET
    ran = refresh(project, **environ)
    assert {"encoder_model", "chunk_embeddings", "faiss_index", "retrieval_scorecard", "release"} <= set(ran)
    pinned = json.loads(
        (project.home / "encoder_model" / version(project, "encoder_model") / "model.json").read_bytes()
    )
    assert (pinned["source"], pinned["model"]) == ("server", "tiny")
    release, index = version(project, "release"), version(project, "faiss_index")
    assert project.json("ask", QUESTION, **environ)["citations"]

    n_asked = len(server.asked)
    assert {asset["state"] for asset in project.json("status", **environ)["assets"]} == {"fresh", "off"}
    assert len(server.asked) == n_asked  # a status needs no network
    assert refresh(project, **environ) == []
    assert refresh(project, "--refit", **environ) == ["encoder_model"]

    with ModelServer(noise=0.02, key=SECRET) as moved:
        elsewhere = environ | behind(moved)
        assert refresh(project, **elsewhere) == [] and version(project, "release") == release
        assert project.json("ask", QUESTION, **elsewhere)["citations"]
        assert max(len(body["input"]) for body in moved.asked) <= 6  # probes and questions; no chunk was encoded again

    server.seed = 1
    refused = project.hcf("--lang", "en", "ask", QUESTION, **environ)
    assert refused.returncode == 1 and "Another model answers as tiny" in refused.stderr
    assert {"encoder_model", "chunk_embeddings", "faiss_index", "release"} <= set(refresh(project, **environ))
    assert project.json("ask", QUESTION, **environ)["citations"]

    server.seed, server.asked = 0, []  # and back: its vectors are still in the cache
    refresh(project, **environ)
    assert version(project, "faiss_index") == index
    assert max(len(body["input"]) for body in server.asked) <= 6

    files = [path for path in project.root.rglob("*") if path.is_file()]
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]


def test_a_server_out_of_reach_is_one_sentence_and_what_needs_none_goes_on(
    project: Project, server: ModelServer
) -> None:
    environ = behind(server)
    refresh(project, **environ)
    gone = environ | {"HCF_ENCODER__BASE_URL": "http://127.0.0.1:9/v1"}
    assert refresh(project, **gone) == []
    failed = project.hcf("--lang", "en", "ask", QUESTION, **gone)
    assert (failed.returncode, failed.stdout) == (3, "")
    assert "http://127.0.0.1:9/v1/embeddings cannot be reached; start that server" in failed.stderr
    unset = project.hcf("--lang", "en", "ask", QUESTION)
    assert unset.returncode == 1 and "[encoder] base_url is not set" in unset.stderr


@pytest.mark.parametrize("tei", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_servers_reranker_is_pinned_by_the_release_and_a_question_can_go_without_it(
    project: Project, server: ModelServer, tei: bool
) -> None:
    server.tei = tei
    environ = {"HCF_RETRIEVAL__RERANKER_URL": server.rerank_url, "HCF_RETRIEVAL__RERANKER": "tiny"}
    refresh(project, **environ)
    release = json.loads((project.home / "release" / version(project, "release") / "release.json").read_bytes())
    assert release["reranker"] == {"source": "server", "model": "tiny", "revision": "", "path": "", "files": {}}
    assert release["serving"]["retrieval.reranker_url"] == server.rerank_url
    server.asked = []
    assert project.json("ask", QUESTION)["citations"]  # whatever hcf.toml says
    assert any(body.get("query") == QUESTION for body in server.asked)
    server.statuses = [503] * 9
    failed = project.hcf("--lang", "en", "ask", QUESTION)
    assert failed.returncode == 3 and "answered 503" in failed.stderr and "Traceback" not in failed.stderr
    assert project.json("ask", QUESTION, "-s", "retrieval.reranker=")["citations"]


def test_a_check_asks_the_servers_that_the_settings_name(project: Project, server: ModelServer) -> None:
    reranker = {"HCF_RETRIEVAL__RERANKER_URL": server.rerank_url, "HCF_RETRIEVAL__RERANKER": "tiny"}
    found = {one["name"]: one for one in project.json("check", **behind(server), **reranker)["findings"]}
    assert found["encoder"]["verdict"] == found["reranker"]["verdict"] == "ok" and "32" in found["encoder"]["text"]
    server.key = "another"
    refused = project.hcf("--lang", "en", "check", **behind(server), **reranker)
    assert refused.returncode == 1
    assert "encoder: " in refused.stdout and "reranker: " in refused.stdout and refused.stdout.count("wants a key") == 2
