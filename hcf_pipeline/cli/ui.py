"""`hcf ui`: Dagster's webserver and daemon on the storage that `hcf refresh` writes."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from hcf_pipeline.cli.console import Invocation, out
from hcf_pipeline.errors import UserError


def run_ui(call: Invocation) -> None:
    from hcf_pipeline.defs.home import prepare_home

    settings = call.settings()
    home = prepare_home(settings)
    serve = settings.sections.serve
    _free(serve.host, serve.port)
    environment = os.environ | {"DAGSTER_HOME": str(home), "HCF_HOME": str(home)}
    environment["HCF_CONFIG"] = str(settings.config)
    environment["HCF_PROFILE"] = settings.sections.profile
    out.print(f"http://{serve.host}:{serve.port}")
    command = [str(Path(sys.executable).with_name("dagster")), "dev", "-m", "hcf_pipeline.definitions"]
    command += ["-h", serve.host, "-p", str(serve.port)]
    sys.exit(subprocess.call(command, env=environment, cwd=settings.root))


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
