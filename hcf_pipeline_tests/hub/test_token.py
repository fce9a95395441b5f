"""Where the token comes from, how it is stored, and that it shows nowhere."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from hcf_pipeline_tests.hub.conftest import Calls, fetch
from hcf_pipeline_tests.hub.server import FakeHub, tiny_model

TOKEN = "hf_" + "Zq7secretsecret"
OTHER = "hf_" + "Yp8othersecret"
SOURCE: dict[str, object] = {"source": True}


def sent(hub: FakeHub) -> set[str | None]:
    return {a.authorization for a in hub.asked if a.path != "/api/agent-harnesses"}


def test_the_first_variable_that_is_set_gives_the_token(hub: FakeHub, call: Calls) -> None:
    hub.tokens = {TOKEN: "one", OTHER: "two"}
    hub.add("owner/tiny", tiny_model())
    done = call(SOURCE, fetch(), HF_TOKEN=f" {TOKEN}\n", FUCHENFENG_TOKEN=OTHER)
    assert done.results[0]["source"] == "HF_TOKEN"
    assert sent(hub) == {f"Bearer {TOKEN}"}
    hub.asked.clear()
    done = call(SOURCE, fetch(), HF_TOKEN="", FUCHENFENG_TOKEN=OTHER)
    assert done.results[0]["source"] == "FUCHENFENG_TOKEN"
    assert sent(hub) == {f"Bearer {OTHER}"}


def test_the_variable_is_a_setting(hub: FakeHub, call: Calls) -> None:
    mine = {"token_env": ["MY_TOKEN"]}
    assert call({**SOURCE, "hub": mine}, MY_TOKEN=TOKEN, FUCHENFENG_TOKEN=OTHER).last["source"] == "MY_TOKEN"


def test_without_a_token_none_is_sent(hub: FakeHub, call: Calls) -> None:
    hub.add("owner/tiny", tiny_model())
    assert call(SOURCE, fetch()).results[0]["source"] is None
    assert sent(hub) == {None}


def test_login_checks_the_token_and_stores_it_in_the_home_for_its_owner_alone(
    hub: FakeHub, call: Calls, tmp_path: Path
) -> None:
    hub.tokens = {TOKEN: "jiang"}
    hub.add("owner/tiny", tiny_model(), private=True)
    done = call({"login": f"  {TOKEN}\n"})
    assert done.last["user"] == "jiang" and done.last["overridden_by"] is None
    stored = tmp_path / "hf" / "token"
    assert stored.read_text(encoding="utf-8") == TOKEN
    assert stat.S_IMODE(stored.stat().st_mode) == 0o600
    hub.asked.clear()
    later = call(SOURCE, fetch())
    assert later.results[0]["source"] == "login"
    assert "path" in later.last and sent(hub) == {f"Bearer {TOKEN}"}
    assert TOKEN not in done.output + later.output


def test_login_says_which_variable_goes_before_it(hub: FakeHub, call: Calls) -> None:
    hub.tokens = {TOKEN: "jiang", OTHER: "two"}
    done = call({"login": TOKEN}, FUCHENFENG_TOKEN=OTHER)
    assert done.last["overridden_by"] == "FUCHENFENG_TOKEN"


@pytest.mark.parametrize(
    ("entered", "says"),
    [
        ("  ", "No token was entered"),
        (OTHER, "refuses the token from hcf login (401)"),
        (f"{TOKEN} {TOKEN}", "spaces, line breaks or non-ASCII"),
        (f"{TOKEN}。", "spaces, line breaks or non-ASCII"),
    ],
)
def test_login_refuses_and_stores_nothing(hub: FakeHub, call: Calls, tmp_path: Path, entered: str, says: str) -> None:
    hub.tokens = {TOKEN: "jiang"}
    done = call({"login": entered})
    assert (done.last["error"], done.last["exit"]) == ("HubError", 3)
    assert says in done.last["en"]
    assert not (tmp_path / "hf" / "token").exists()
    assert TOKEN not in done.output and OTHER not in done.output


def test_login_offline_says_why_it_cannot_check(call: Calls) -> None:
    done = call({"login": TOKEN}, HF_HUB_OFFLINE="1", hosts=set())
    assert "HF_HUB_OFFLINE is set" in done.last["en"]
    assert TOKEN not in done.output


@pytest.mark.parametrize("problem", ["none", "refused", "gated", "missing", "broken", "malformed", "echoed"])
def test_the_token_shows_in_no_log_error_traceback_or_repr(hub: FakeHub, call: Calls, problem: str) -> None:
    """With every logger at debug and huggingface_hub's own debugging on."""
    hub.tokens = {} if problem in ("refused", "echoed") else {TOKEN: "jiang"}
    hub.add("owner/tiny", tiny_model(), gated=problem == "gated")
    hub.status = 500 if problem == "broken" else None
    value = f"{TOKEN}\u3000{TOKEN}" if problem == "malformed" else TOKEN
    model = "owner/missing" if problem == "missing" else "owner/tiny"
    calls = [{"login": TOKEN}] if problem == "echoed" else [SOURCE, fetch(model)]
    done = call(*calls, HF_DEBUG="1", **({} if problem == "echoed" else {"HF_TOKEN": value}))
    assert ("error" in done.last) == (problem != "none")
    assert TOKEN not in done.output
    assert TOKEN[3:] not in done.output


def test_the_token_does_not_follow_a_redirect_to_another_machine(hub: FakeHub, call: Calls) -> None:
    hub.tokens = {TOKEN: "jiang"}
    hub.storage_host = "localhost"  # to the client another name than 127.0.0.1
    hub.add("owner/tiny", tiny_model())
    assert "path" in call(fetch(), HF_TOKEN=TOKEN).last
    stored = [a for a in hub.asked if a.path.startswith("/storage/")]
    assert stored and all(a.host == "localhost" and a.authorization is None for a in stored)
