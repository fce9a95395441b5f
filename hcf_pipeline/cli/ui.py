"""`hcf ui`: Dagster's webserver and daemon on the storage that `hcf refresh` writes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from hcf_pipeline.cli.console import Invocation, out
from hcf_pipeline.errors import CorpusError, UserError


def run_ui(call: Invocation) -> None:
    from hcf_pipeline.defs.corpus.look import look_again
    from hcf_pipeline.defs.home import dagster_instance
    from hcf_pipeline.defs.liveness import reap_dead_runs

    settings = call.settings()
    serve = settings.sections.serve
    _free(serve.host, serve.port)
    with dagster_instance(settings) as instance, suppress(CorpusError):  # the graph shows without a corpus too
        reap_dead_runs(instance)
        look_again(settings, instance)
    environment = os.environ | {"DAGSTER_HOME": str(settings.home), "HCF_HOME": str(settings.home)}
    environment["HCF_CONFIG"] = str(settings.config)
    environment["HCF_PROFILE"] = settings.sections.profile
    out.print(f"http://{serve.host}:{serve.port}")
    command = [str(Path(sys.executable).with_name("dagster")), "dev", "-m", "hcf_pipeline.definitions"]
    command += ["-h", serve.host, "-p", str(serve.port)]
    sys.exit(_until_it_ends(command, environment, settings.root))


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


def _free(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise UserError(
                zh=f"{host}:{port} 不能用（{error.strerror}）；请换一个端口：[serve] port 或 HCF_SERVE__PORT。",
                en=f"{host}:{port} is not free ({error.strerror}); choose another port: [serve] port or HCF_SERVE__PORT.",
            ) from error
