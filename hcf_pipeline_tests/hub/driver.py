"""Calls hcf_pipeline.hub in a process of its own: argv[1] is a JSON list of calls, stdout a JSON list of what came.

Everything that the process logs, down to debug, goes to stderr; every machine that it looked up or called is listed.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from pathlib import Path


def main() -> None:
    hosts: set[str] = set()

    def watch(event: str, args: tuple[object, ...]) -> None:
        if event == "socket.connect" and isinstance(args[1], tuple):
            hosts.add(str(args[1][0]))
        elif event == "socket.getaddrinfo":
            hosts.add(str(args[0]))

    sys.addaudithook(watch)
    logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
    from hcf_pipeline.errors import HcfError
    from hcf_pipeline.hub.login import login
    from hcf_pipeline.hub.snapshot import fetch_snapshot
    from hcf_pipeline.hub.token import find_token, token_source
    from hcf_pipeline.settings import HubSettings

    results: list[dict[str, object]] = []
    for call in json.loads(sys.argv[1]):
        hub = HubSettings(**call.get("hub", {}))
        try:
            if "login" in call:
                entered = call["login"]
                done = login(lambda entered=entered: entered, hub)
                results.append({"text": repr(done), "user": done.user, "overridden_by": done.overridden_by})
            elif "source" in call:
                results.append({"source": token_source(hub), "text": f"{find_token(hub)!r} {find_token(hub)}"})
            else:
                cache = Path(call["cache"]) if "cache" in call else None
                got = fetch_snapshot(call["model"], call["revision"], hub, call.get("kind", "language model"), cache)
                results.append(
                    {"path": str(got.path), "revision": got.revision, "source": got.source, "text": repr(got)}
                )
        except HcfError as error:
            shown = "".join(traceback.format_exception(error))
            results.append(
                {
                    "error": type(error).__name__,
                    "exit": error.exit_code,
                    "zh": error.zh,
                    "en": error.en,
                    "traceback": shown,
                }
            )
    json.dump({"results": results, "hosts": sorted(hosts)}, sys.stdout, ensure_ascii=False)


main()
