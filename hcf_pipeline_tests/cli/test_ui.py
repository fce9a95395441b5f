"""Where `hcf ui` listens, and what it says about it."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from dagster._daemon.types import DaemonHeartbeat

from hcf_pipeline.cli.console import Invocation
from hcf_pipeline.cli.ui import address, is_loopback, note_other_daemon, require_free
from hcf_pipeline.defs.home import dagster_instance
from hcf_pipeline.errors import UserError
from hcf_pipeline.settings.file import load_settings
from hcf_pipeline_tests.conftest import clean_environment

HCF = str(Path(sys.executable).with_name("hcf"))


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("127.0.0.1", "http://127.0.0.1:3000"),
        ("0.0.0.0", "http://127.0.0.1:3000"),
        ("::", "http://[::1]:3000"),
        ("::1", "http://[::1]:3000"),
        ("localhost", "http://localhost:3000"),
        ("fe80::1", "http://[fe80::1]:3000"),
    ],
)
def test_the_address_is_one_that_a_browser_opens(host: str, shown: str) -> None:
    assert address(host, 3000) == shown


@pytest.mark.parametrize(
    ("host", "alone"), [("127.0.0.1", True), ("127.9.9.9", True), ("localhost", True), ("0.0.0.0", False)]
)
def test_only_a_loopback_address_is_out_of_reach_for_others(host: str, alone: bool) -> None:
    assert is_loopback(host) is alone


@needs_ipv6
def test_addresses_of_ipv6_are_looked_at_as_such() -> None:
    assert is_loopback("::1") and not is_loopback("::")
    require_free("::1", free_port())
    with socket.socket(socket.AF_INET6) as taken:
        taken.bind(("::1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"Port {port} of ::1 is not free"):
            require_free("::1", port)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "203.0.113.7", "a" * 300, "\x1b[2J"])
def test_a_host_that_is_not_of_this_machine_is_named_and_no_other_port_advised(host: str) -> None:
    with pytest.raises(UserError, match="no address of this machine") as refused:
        require_free(host, 3000)
    assert "--host" in str(refused.value) and "--port" not in str(refused.value) and "\x1b" not in str(refused.value)


def test_a_taken_port_is_refused_with_the_option_for_another(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UserError, match="--port"):
            require_free("127.0.0.1", taken.getsockname()[1])
        with pytest.raises(UserError, match="--port"):
            require_free("localhost", taken.getsockname()[1])


def test_host_and_port_go_before_the_settings_and_a_host_for_all_is_warned_of(tmp_path: Path) -> None:
    """The real servers, up to the page that they answer with."""
    (tmp_path / "hcf.toml").write_text(
        '[corpus]\npath = "corpus"\n[serve]\nhost = "192.0.2.1"\nport = 1\n', encoding="utf-8"
    )
    port = free_port()
    with subprocess.Popen(
        [HCF, "--lang", "en", "ui", "--host", "0.0.0.0", "--port", str(port)],
        cwd=tmp_path,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=(tmp_path / "stderr").open("wb"),
        start_new_session=True,
    ) as ui:
        try:
            assert ui.stdout
            shown = ui.stdout.readline().decode().strip()
            assert shown == f"http://127.0.0.1:{port}"
            said = (tmp_path / "stderr").read_text(encoding="utf-8")
            assert said.count("has no password") == 1
            assert answers(shown)
        finally:
            ui.send_signal(signal.SIGINT)
            ui.wait(60)
            if ui.poll() is None:
                os.killpg(ui.pid, signal.SIGKILL)


def answers(url: str) -> bool:
    for _ in range(240):
        try:
            with urllib.request.urlopen(f"{url}/server_info", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            time.sleep(0.25)
    return False


@pytest.mark.parametrize("port", ["0", "65536", "x"])
def test_an_impossible_port_is_wrong_usage(tmp_path: Path, port: str) -> None:
    done = subprocess.run(
        [HCF, "ui", "--port", port], cwd=tmp_path, env=clean_environment(), capture_output=True, check=False
    )
    assert done.returncode == 2


@pytest.mark.parametrize(("ago", "said"), [(5, True), (3600, False), (None, False)])
def test_a_daemon_that_is_at_work_on_the_home_is_told_of(tmp_path: Path, ago: int | None, said: bool) -> None:
    toml = tmp_path / "hcf.toml"
    toml.write_text('[corpus]\nhost_labels = ["小禾"]\nguest_labels = ["观众"]\n', encoding="utf-8")
    with dagster_instance(load_settings(toml)) as instance:
        if ago is not None:
            instance.add_daemon_heartbeat(DaemonHeartbeat(time.time() - ago, "SENSOR", "other", []))
        shown = io.StringIO()
        with contextlib.redirect_stderr(shown):
            note_other_daemon(Invocation("en", None, None, None), instance)
    assert ("a Dagster daemon was at work on this home 5 s ago" in shown.getvalue()) is said
