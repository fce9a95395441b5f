"""`hcf ui`: Dagster's webserver and daemon on the storage that `hcf refresh` writes."""

from __future__ import annotations

import errno
import ipaddress
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from hcf_pipeline.cli.console import Invocation, err, out
from hcf_pipeline.cli.refresh import prepare_dagster_dev
from hcf_pipeline.errors import CorpusError, UserError

if TYPE_CHECKING:
    from dagster import DagsterInstance

HEARTBEAT_S = 45  # a daemon writes one every 30
ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # listens everywhere -> where this machine's browser finds it


def run_ui(call: Invocation, host: str | None = None, port: int | None = None) -> None:
    """`host` and `port` go before those of [serve]."""
    from hcf_pipeline.defs.automation.liveness import reap_dead_runs
    from hcf_pipeline.defs.corpus.look import look_again
    from hcf_pipeline.defs.dagster_dev import ENV, env_values
    from hcf_pipeline.defs.home import dagster_instance

    settings = call.settings()
    serve = settings.sections.serve
    host, port = host or serve.host, port or serve.port
    require_free(host, port)
    prepare_dagster_dev(settings, call.lang)
    with dagster_instance(settings) as instance, suppress(CorpusError):  # the graph shows without a corpus too
        reap_dead_runs(instance)
        note_other_daemon(call, instance)
        look_again(settings, instance)
    # What a .env in the project's folder says holds here as for `dagster dev`, but not on the home: so it is read here, and
    # Dagster, which would put all of it over these, is started where there is none.
    environment = os.environ | env_values(settings.root / ENV)
    environment |= {"DAGSTER_HOME": str(settings.home), "HCF_HOME": str(settings.home)}
    environment["HCF_CONFIG"] = str(settings.config)
    environment["HCF_PROFILE"] = settings.sections.profile
    if not is_loopback(host):
        err.print(
            call.say(
                f"注意：别的机器能连到 {host}，而 Dagster 的界面没有密码：能连上的人都能运行和删除。",
                f"Note: other machines can reach {host}, and Dagster's UI has no password: whoever reaches it can run "
                "and delete.",
            )
        )
    out.print(address(host, port))
    command = [sys.executable, "-m", "dagster", "dev", "-m", "hcf_pipeline.definitions"]
    command += [f"--host={host}", f"--port={port}"]
    sys.exit(_until_it_ends(command, environment, settings.home))


def note_other_daemon(call: Invocation, instance: DagsterInstance) -> None:
    """Two daemons on one home both start what is stale, and each fails the other's sensors; one that ended a moment ago
    looks the same, so this is no reason to refuse."""
    seen = max((beat.timestamp for beat in instance.get_daemon_heartbeats().values()), default=0.0)
    if (ago := time.time() - seen) < HEARTBEAT_S:
        err.print(
            call.say(
                f"注意：{ago:.0f} 秒前还有一个 Dagster 守护进程在用这个目录；要是它还开着（dagster dev 或另一个 hcf ui），请先停掉其中一个。",
                f"Note: a Dagster daemon was at work on this home {ago:.0f} s ago; if it still runs (dagster dev, or another hcf "
                "ui), end one of the two.",
            )
        )


def _until_it_ends(command: list[str], environment: dict[str, str], folder: Path) -> int:
    """Runs Dagster; any wish to end becomes the one that makes it stop its servers too."""
    running: list[subprocess.Popen[bytes]] = []

    def stop(*_: object) -> None:
        for dagster in running:
            dagster.send_signal(signal.SIGINT)

    for wish in (signal.SIGINT, signal.SIGTERM):  # before it starts: what is ignored here it would ignore as well
        signal.signal(wish, stop)
    with subprocess.Popen(command, env=environment, cwd=folder) as dagster:
        running.append(dagster)
        return dagster.wait()


def address(host: str, port: int) -> str:
    """What a browser on this machine opens."""
    host = ANY.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether nothing but this machine reaches what listens there."""
    try:
        return all(ipaddress.ip_address(where[0].partition("%")[0]).is_loopback for _, where in _addresses(host, 0))
    except UserError:
        return False


def require_free(host: str, port: int) -> None:
    """Raises UserError where the host is none of this machine's, or the port is taken at one of its addresses."""
    refusals: list[OSError] = []
    found = _addresses(host, port)
    for family, where in found:
        try:
            with socket.socket(family) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # as the webserver does
                probe.bind(where)
        except OSError as error:
            refusals.append(error)
    taken = [error for error in refusals if error.errno in (errno.EADDRINUSE, errno.EACCES)]
    if taken:
        raise UserError(
            zh=f"{host} 的端口 {port} 不能用（{taken[0].strerror}）；请换一个端口：--port、[serve] port 或 HCF_SERVE__PORT。",
            en=f"Port {port} of {host} is not free ({taken[0].strerror}); choose another port with --port, [serve] port or "
            "HCF_SERVE__PORT.",
        )
    if len(refusals) == len(found):
        raise _not_ours(host, refusals[0])


def _addresses(host: str, port: int) -> list[tuple[socket.AddressFamily, tuple[str, int] | tuple[str, int, int, int]]]:
    """Every address that a host's name stands for. Raises UserError for a name that stands for none."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise _not_ours(host, error) from error
    return [(family, where) for family, _, _, _, where in found]  # type: ignore[misc]


def _not_ours(host: str, error: Exception) -> UserError:
    why = getattr(error, "strerror", None) or str(error)
    return UserError(
        zh=f"{host} 不是本机的地址（{why}）；请改 --host、[serve] host 或 HCF_SERVE__HOST，例如 127.0.0.1。",
        en=f"{host} is no address of this machine ({why}); give another one with --host, [serve] host or HCF_SERVE__HOST, "
        "such as 127.0.0.1.",
    )
