"""Each way in which the Hub fails has its sentence, in both languages, with the next step and exit code 3."""

from __future__ import annotations

import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from hcf_pipeline_tests.hub.conftest import LOOPBACK, Answers, Calls, fetch
from hcf_pipeline_tests.hub.server import FakeHub, tiny_model

TOKEN = "hf_" + "secretsecretsecret"


def said(answers: Answers, error: str = "HubError") -> tuple[str, str]:
    """The sentences; HubBusy is what a refresh tries again by itself."""
    got = answers.last
    assert (got["error"], got["exit"]) == (error, 3), got
    return got["zh"], got["en"]


def test_a_gated_model_asks_for_its_licence_and_for_a_token(hub: FakeHub, call: Calls) -> None:
    hub.add("owner/tiny", tiny_model(), gated=True)
    hub.tokens[TOKEN] = "somebody"
    zh, en = said(call(fetch()))
    assert f"accept its licence at {hub.url}/owner/tiny, then run hcf login" in en
    assert "同意许可" in zh and f"{hub.url}/owner/tiny" in zh
    _, en = said(call(fetch(), HF_TOKEN=TOKEN))
    assert "the token from HF_TOKEN has no access" in en and f"{hub.url}/owner/tiny" in en


def test_a_refused_token_is_named_by_its_variable(hub: FakeHub, call: Calls) -> None:
    hub.add("owner/tiny", tiny_model())
    zh, en = said(call(fetch(), FUCHENFENG_TOKEN=TOKEN))
    assert "refuses the token from FUCHENFENG_TOKEN (401)" in en and "hcf login" in en
    assert "FUCHENFENG_TOKEN" in zh


def test_a_typo_and_a_private_model_are_told_with_the_token_in_mind(hub: FakeHub, call: Calls) -> None:
    hub.add("owner/hidden", tiny_model(), private=True)
    hub.tokens[TOKEN] = "somebody"
    _, en = said(call(fetch("owner/hidden")))
    assert "no public model owner/hidden" in en and "if it is private run hcf login" in en
    with_token = call(fetch("owner/tini"), fetch("owner/hidden"), HF_TOKEN=TOKEN)
    assert "path" in with_token.last
    assert "the token from HF_TOKEN cannot see it" in with_token.results[0]["en"]


@pytest.mark.parametrize("revision", ["v9", "0" * 40])
def test_a_revision_that_is_not_there_is_named(hub: FakeHub, call: Calls, revision: str) -> None:
    hub.add("owner/tiny", tiny_model())
    zh, en = said(call(fetch(revision=revision)))
    assert f"has no revision {revision}" in en and f"{hub.url}/owner/tiny/commits" in en
    assert revision in zh


def test_a_refused_connection_hints_at_a_mirror(call: Calls) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        zh, en = said(call(fetch(), HF_ENDPOINT=url))
    assert f"{url} refused the connection" in en
    assert "HF_ENDPOINT=https://hf-mirror.com" in en and "HF_ENDPOINT=https://hf-mirror.com" in zh
    assert "拒绝连接" in zh


def test_a_name_that_does_not_resolve_is_told_as_dns(call: Calls) -> None:
    host = "hub.invalid"  # reserved: never resolves (RFC 6761)
    zh, en = said(call(fetch(), HF_ENDPOINT=f"https://{host}", hosts=LOOPBACK | {host}))
    assert "(DNS)" in en and host in en and "DNS" in zh and "hf-mirror.com" in zh


def test_a_hub_that_does_not_answer_is_a_timeout(hub: FakeHub, call: Calls) -> None:
    hub.delay_s = 3
    zh, en = said(call(fetch(), HF_HUB_ETAG_TIMEOUT="1", HF_HUB_DISABLE_TELEMETRY="1"), "HubBusy")
    assert "did not answer in time" in en and "超时" in zh


def test_a_connection_that_keeps_breaking_keeps_the_files_that_were_complete(hub: FakeHub, call: Calls) -> None:
    hub.add("owner/tiny", tiny_model())
    hub.cuts["model.safetensors"] = [10] * 6
    zh, en = said(call(fetch()), "HubBusy")
    assert "broke off" in en and "not fetched twice" in en and "断开" in zh


def test_a_hub_with_a_failure_of_its_own(hub: FakeHub, call: Calls) -> None:
    hub.status = 502
    zh, en = said(call(fetch()), "HubBusy")
    assert "failure of its own (502)" in en and "502" in zh and "hf-mirror.com" in zh


def test_too_many_requests(hub: FakeHub, call: Calls) -> None:
    hub.status = 429
    assert "too many requests" in said(call(fetch()), "HubBusy")[1]


def test_a_log_in_page_is_no_hub(hub: FakeHub, call: Calls) -> None:
    hub.web_page = True
    zh, en = said(call(fetch()))
    assert "is not a Hub's" in en and "HF_ENDPOINT" in zh


@pytest.mark.parametrize("address", ["hf-mirror.com", ""])
def test_an_endpoint_without_https_is_no_web_address(call: Calls, address: str) -> None:
    zh, en = said(call(fetch(), HF_ENDPOINT=address, hosts=set()))
    assert f'HF_ENDPOINT "{address}" is no web address' in en and "https://" in zh


def test_a_password_in_the_address_is_not_repeated(hub: FakeHub, call: Calls) -> None:
    hub.status = 502
    done = call(fetch(), HF_ENDPOINT=hub.url.replace("//", "//me:pass-word@"))
    assert hub.url in said(done, "HubBusy")[1]
    assert "pass-word" not in str(done.results)


def test_too_small_a_disk_is_told_before_the_first_byte(hub: FakeHub, call: Calls) -> None:
    hub.add("owner/tiny", tiny_model())
    hub.sizes["model.safetensors"] = 10**18
    zh, en = said(call(fetch()))
    assert "1000000000.00 GB more are needed" in en and "are free" in en and "HF_HOME" in en
    assert "还需 1000000000.00 GB" in zh
    assert not any("/resolve/" in a.path for a in hub.asked)


def test_a_disk_that_fills_up_in_mid_download_is_told(hub: FakeHub, call: Calls, tmp_path: Path) -> None:
    """A real file system of 1 MB, mounted in a namespace of the process."""
    small = tmp_path / "small"
    small.mkdir()
    mount = ("unshare", "-Urm", "sh", "-c", f'mount -t tmpfs -o size=1m none "{small}" && exec "$@"', "sh")
    if not shutil.which("unshare") or subprocess.run([*mount, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no user namespaces here")
    hub.add("owner/tiny", tiny_model(500_000))  # 2 MB
    hub.sizes["model.safetensors"] = 1000  # and a listing that says less
    zh, en = said(call(fetch(cache=str(small)), prefix=mount))
    assert f"The disk (or quota) of {small} is full" in en and "free some space" in en
    assert "磁盘空间" in zh


def test_a_file_that_outgrows_its_quota_is_a_full_disk(hub: FakeHub, call: Calls) -> None:
    hub.add("owner/tiny", tiny_model(500_000))
    limit = ("sh", "-c", 'ulimit -f 1000 && exec "$@"', "sh")  # 512 or 1024 bytes each
    assert "is full" in said(call(fetch(), prefix=limit))[1]


def test_a_cache_that_is_no_folder_is_named(hub: FakeHub, call: Calls, tmp_path: Path) -> None:
    hub.add("owner/tiny", tiny_model())
    (tmp_path / "file").touch()
    zh, en = said(call(fetch(cache=str(tmp_path / "file" / "cache"))))
    assert f"The cache folder {tmp_path}/file/cache cannot be written" in en and "HF_HOME" in zh
