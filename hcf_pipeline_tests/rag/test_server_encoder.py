"""An encoder behind a server: what is sent, what goes wrong, and how another model behind the same address is noticed."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hcf_pipeline.errors import ArtifactError, HcfError, ServerBusy, ServerError, SettingsError
from hcf_pipeline.rag import server as client
from hcf_pipeline.rag.encode.embed import write_embeddings
from hcf_pipeline.rag.encode.encoder import Encoder, encoder_identity, load_encoder
from hcf_pipeline.rag.encode.server_encoder import PROBES, pin_server
from hcf_pipeline.rag.encode.vector_cache import VectorCache
from hcf_pipeline.rag.server import find_key
from hcf_pipeline.settings import EncoderSettings
from hcf_pipeline_tests.conftest import ROOT, clean_environment
from hcf_pipeline_tests.rag.conftest import write_chunks
from hcf_pipeline_tests.rag.model_server import ModelServer
from hcf_pipeline_tests.rag.test_embed import talk

SECRET = "sk-very-secret-0123456789"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    monkeypatch.setattr(client, "FIRST_WAIT_S", 0.01)
    with ModelServer() as running:
        yield running


def settings(server: ModelServer, **more: Any) -> EncoderSettings:
    return EncoderSettings.model_validate({"model": "tiny", "base_url": server.base_url} | more)


def pinned(folder: Path, given: EncoderSettings, *earlier: Path) -> Path:
    folder.mkdir(parents=True)
    pin_server(given, earlier).save(folder)
    return folder


def opened(folder: Path, given: EncoderSettings) -> Encoder:
    return load_encoder(pinned(folder, given), "cpu", given)


def test_vectors_are_unit_float32_in_the_order_given_however_the_server_orders_them(
    server: ModelServer, tmp_path: Path
) -> None:
    encoder = opened(tmp_path / "model", settings(server, batch_size=3))
    server.spoil = lambda rows: rows[::-1]
    texts = [f"第{n}段文字" for n in range(8)]
    vectors = encoder.encode_documents(texts)
    assert vectors.dtype == np.float32 and vectors.shape == (8, server.dim) == (8, encoder.dim)
    expected = np.array([server.vector(text) for text in texts])
    assert vectors == pytest.approx(expected / np.linalg.norm(expected, axis=1, keepdims=True), abs=1e-6)
    assert [len(body["input"]) for body in server.asked[-3:]] == [3, 3, 2]


def test_questions_and_chunks_are_told_apart_by_prompt_and_input_type_and_a_plain_server_gets_neither(
    server: ModelServer, tmp_path: Path
) -> None:
    plain = opened(tmp_path / "plain", settings(server))
    plain.encode_query("水管")
    assert server.asked[-1] == {"model": "tiny", "input": ["水管"]}
    given = settings(
        server,
        query_prompt="query: ",
        document_prompt="passage: ",
        query_input_type="query",
        document_input_type="document",
    )
    encoder = opened(tmp_path / "model", given)
    assert server.asked[-1]["input"] == [f"passage: {text}" for text in PROBES]
    encoder.encode_documents(["修车"])
    assert server.asked[-1] == {"model": "tiny", "input": ["passage: 修车"], "input_type": "document"}
    encoder.encode_query("水管")
    assert server.asked[-1] == {"model": "tiny", "input": ["query: 水管"], "input_type": "query"}
    assert encoder.identity != plain.identity


def test_the_same_model_at_another_address_and_with_other_last_digits_keeps_its_identity(
    server: ModelServer, tmp_path: Path
) -> None:
    folder = pinned(tmp_path / "model", settings(server))
    with ModelServer(noise=0.02) as moved:
        again = load_encoder(folder, "cpu", settings(moved))
        assert again.identity == encoder_identity(folder)
        anew = pinned(tmp_path / "anew", settings(moved), tmp_path / "not there", folder)
        assert encoder_identity(anew) == encoder_identity(folder)
        alone = pinned(tmp_path / "alone", settings(moved))
        assert encoder_identity(alone) != encoder_identity(folder)  # so it is the earlier pin that tells


@pytest.mark.parametrize("what", ["other weights", "another dimension"])
def test_another_model_behind_the_same_name_is_refused_in_one_sentence(
    server: ModelServer, tmp_path: Path, what: str
) -> None:
    folder = pinned(tmp_path / "model", settings(server))
    server.seed, server.dim = (1, server.dim) if what == "other weights" else (0, 24)
    with pytest.raises(ArtifactError, match=r"Another model answers as tiny at http.*hcf refresh") as refused:
        load_encoder(folder, "cpu", settings(server))
    assert "另一个模型" in refused.value.zh
    other = pinned(tmp_path / "other", settings(server), folder)
    assert encoder_identity(other) != encoder_identity(folder)
    server.seed, server.dim = 0, 32
    assert encoder_identity(pinned(tmp_path / "back", settings(server), other, folder)) == encoder_identity(folder)


def test_without_an_address_a_servers_encoder_says_what_is_missing(server: ModelServer, tmp_path: Path) -> None:
    folder = pinned(tmp_path / "model", settings(server))
    with pytest.raises(SettingsError, match=r"\[encoder\] base_url is not set"):
        load_encoder(folder, "cpu", EncoderSettings())
    with pytest.raises(SettingsError, match='still "embedded"'):
        pin_server(EncoderSettings(base_url=server.base_url), ())


@pytest.mark.parametrize("statuses", [[500, 503, 0, 429], [429, 429], [0, 0, 0]])
def test_what_the_network_or_the_server_spoils_now_and_then_is_tried_again(
    server: ModelServer, tmp_path: Path, statuses: list[int]
) -> None:
    encoder = opened(tmp_path / "model", settings(server))
    server.statuses = [*statuses]
    assert encoder.encode_documents(["修车"]).shape == (1, 32) and server.statuses == []


@pytest.mark.parametrize(("given", "waited"), [("7", 7), ("0", 0), ("3600", 60), ("soon", 0.01), ("", 0.01)])
def test_a_server_that_says_when_is_asked_again_then(
    server: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, waited: float
) -> None:
    encoder = opened(tmp_path / "model", settings(server))
    slept: list[float] = []
    monkeypatch.setattr(client, "time", SimpleNamespace(sleep=slept.append, time=time.time))
    server.statuses, server.retry_after = [429], given
    encoder.encode_documents(["修车"])
    assert slept == [waited]


def test_a_server_that_takes_fewer_texts_at_a_time_gets_fewer(server: ModelServer, tmp_path: Path) -> None:
    encoder = opened(tmp_path / "model", settings(server))
    server.max_batch = 5
    texts = [f"第{n}段" for n in range(40)]
    vectors = encoder.encode_documents(texts)
    assert vectors.shape == (40, 32) and vectors[39] == pytest.approx(encoder.encode_documents([texts[39]])[0])
    n_requests = len(server.asked)
    encoder.encode_documents(texts[:10])
    assert len(server.asked) - n_requests == 2  # it was remembered


def fails(server: ModelServer, tmp_path: Path, **more: Any) -> HcfError:
    with pytest.raises(HcfError) as failed:
        opened(tmp_path / "model", settings(server, **more))
    assert "\n" not in failed.value.en and "\n" not in failed.value.zh
    return failed.value


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (
            {"statuses": [404], "echo": "model 'tiny' \x1b[31mnot\nfound"},
            r"answered 404 \(model 'tiny' ␛\[31mnot found",
        ),
        ({"statuses": [401]}, "wants a key"),
        ({"statuses": [302]}, "answered 302"),
        ({"body": b"<html>please log in</html>"}, "no JSON .*please log in"),
        ({"body": b"[" * 50_000}, "no JSON"),
        ({"body": b'{"data": [{"index": 0, "embedding": "AAAA"}]}'}, "no vectors in it"),
        ({"body": b'{"data": 3}'}, "no vectors in it"),
        ({"body": b"[]"}, "no vectors in it"),
        ({"spoil": lambda rows: rows[:-1]}, f"{len(PROBES) - 1} vectors for {len(PROBES)} texts"),
        ({"spoil": lambda rows: [{**rows[0], "embedding": rows[0]["embedding"][:9]}, *rows[1:]]}, "no vectors in it"),
        ({"spoil": lambda rows: [{**row, "embedding": [float("nan")] * 4} for row in rows]}, "NaN"),
        ({"spoil": lambda rows: [{**row, "embedding": [None] * 4} for row in rows]}, "NaN|no vectors"),
        ({"spoil": lambda rows: [{**row, "embedding": [0.0] * 4} for row in rows]}, "all zeros"),
    ],
)
def test_what_is_no_encoder_is_refused_in_one_sentence(
    server: ModelServer, tmp_path: Path, wrong: dict[str, Any], says: str
) -> None:
    vars(server).update(wrong)
    failed = fails(server, tmp_path)
    assert isinstance(failed, ServerError) and not failed.transient
    assert re.search(says, failed.en)


def test_a_dimension_that_changes_under_way_is_refused(server: ModelServer, tmp_path: Path) -> None:
    encoder = opened(tmp_path / "model", settings(server))
    server.dim = 16
    with pytest.raises(ServerError, match="vectors of 16 dimensions where there were 32"):
        encoder.encode_documents(["修车"])


def test_a_server_out_of_reach_or_too_slow_or_broken_is_busy(server: ModelServer, tmp_path: Path) -> None:
    server.statuses = [503] * 5
    assert "answered 503 to each of 2 tries" in str(fails(server, tmp_path / "a"))
    server.delay_s = 0.5
    slow = fails(server, tmp_path / "b", timeout_s=0.05)
    assert isinstance(slow, ServerBusy) and "within 0.05 s" in slow.en
    gone = fails(server, tmp_path / "c", base_url="http://127.0.0.1:9/v1")
    assert isinstance(gone, ServerBusy) and "http://127.0.0.1:9/v1/embeddings cannot be reached" in gone.en


def test_the_key_is_sent_and_shows_nowhere_else(
    server: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("MY_KEY", SECRET)
    server.key = SECRET
    encoder = opened(tmp_path / "model", settings(server, api_key_env="MY_KEY"))
    encoder.encode_documents(["修车"])
    assert set(server.authorizations) == {f"Bearer {SECRET}"}
    server.key, server.echo = "another", f"Incorrect API key provided: {SECRET}"
    with pytest.raises(ServerError, match=r"refuses the key in MY_KEY \(401: Incorrect API key provided: \*\*\*\)"):
        encoder.encode_documents(["修车"])
    written = "".join(path.read_text(encoding="utf-8") for path in tmp_path.rglob("*") if path.is_file())
    assert SECRET not in written + caplog.text + repr(find_key("MY_KEY", "x", server.base_url))


def test_a_key_that_is_not_there_is_told_by_its_variable(server: ModelServer, tmp_path: Path) -> None:
    assert "The environment variable NOT_SET, which [encoder] api_key_env names" in str(
        fails(server, tmp_path, api_key_env="NOT_SET")
    )


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("https://api.example.com/v1", True),
        ("http://127.0.0.1:80/v1", True),
        ("http://[::1]/v1", True),
        ("http://192.168.1.7:8000/v1", True),
        ("http://tei:8080/v1", True),
        ("http://gpu.local/v1", True),
        ("http://api.example.com/v1", False),
        ("http://8.8.8.8/v1", False),
    ],
)
def test_a_key_crosses_the_open_network_encrypted_or_not_at_all(
    monkeypatch: pytest.MonkeyPatch, url: str, sent: bool
) -> None:
    monkeypatch.setenv("MY_KEY", SECRET)
    if sent:
        assert find_key("MY_KEY", "[encoder] api_key_env", url)
    else:
        with pytest.raises(SettingsError, match="plain http") as refused:
            find_key("MY_KEY", "[encoder] api_key_env", url)
        assert SECRET not in refused.value.zh + refused.value.en


KILLED = """
import sys
from pathlib import Path
from hcf_pipeline.rag.encode import embed
from hcf_pipeline.rag.encode.encoder import load_encoder
from hcf_pipeline.rag.encode.vector_cache import VectorCache
from hcf_pipeline.settings import EncoderSettings
folder, url = Path(sys.argv[1]), sys.argv[2]
embed.FIRST, embed.WRITE_S = 8, 0.02  # as if the server took half a minute for some texts
encoder = load_encoder(folder / "model", "cpu", EncoderSettings(model="tiny", base_url=url, query_prompt="问："))
(folder / "out").mkdir(exist_ok=True)
report = embed.write_embeddings(folder / "chunks", encoder, VectorCache(folder / "cache"), folder / "out")
print(report.version, report.n_texts)
"""


def test_a_run_that_was_killed_goes_on_with_the_texts_that_a_slow_server_had_not_done(
    server: ModelServer, tmp_path: Path
) -> None:
    """kill -9, with a slab only begun: before, everything since the last 2,048 texts was lost."""
    write_chunks({"a.md": talk(120)}, tmp_path / "chunks")
    pinned(tmp_path / "model", settings(server))
    server.delay_s, server.asked, server.hold_after = 0.03, [], 100
    command = [sys.executable, "-c", KILLED, str(tmp_path), server.base_url]
    process = subprocess.Popen(command, cwd=ROOT, env=clean_environment())
    deadline = time.monotonic() + 60
    while len(server.texts) < 80 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.wait()
    before = set(server.texts) - set(PROBES)
    server.asked, server.hold_after, server.delay_s = [], 10**9, 0.0
    done = subprocess.run(command, cwd=ROOT, env=clean_environment(), capture_output=True, text=True, check=True)
    after = [text for text in server.texts if text not in PROBES and not text.startswith("问：")]  # the scale's
    twice = set(after) & before
    assert len(before) >= 60 and len(twice) <= 8  # what was under way, and not the slab
    version, n_texts = done.stdout.split()
    assert len(set(after) | before) == int(n_texts) and len(after) == len(set(after))
    whole = tmp_path / "whole"
    whole.mkdir()
    encoder = load_encoder(tmp_path / "model", "cpu", settings(server).model_copy(update={"query_prompt": "问："}))
    report = write_embeddings(tmp_path / "chunks", encoder, VectorCache(tmp_path / "other"), whole)
    assert report.version == version
    assert len(list((tmp_path / "cache").glob("*/*.vectors"))) < 16  # of some hundred that were written


def test_the_library_of_the_network_is_not_loaded_where_no_server_is_asked() -> None:
    code = "import sys, hcf_pipeline.rag.encode.encoder, hcf_pipeline.chat.engine; print('httpx2' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
