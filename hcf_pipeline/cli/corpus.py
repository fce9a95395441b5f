"""`hcf corpus fetch`."""

from __future__ import annotations

import signal

from hcf_pipeline.cli.console import Invocation, err, out
from hcf_pipeline.errors import UserError


def run_fetch(call: Invocation, source: str | None) -> None:
    from hcf_pipeline.corpus.git import fetch_corpus

    settings = call.settings(file_optional=True)
    source = settings.sections.corpus.git_url if source is None else source
    if not source.strip():
        raise UserError(
            zh="要取哪个文稿库？请给出地址，或在 hcf.toml 里写 [corpus] git_url。",
            en="Fetch which corpus? Give its address, or set [corpus] git_url in hcf.toml.",
        )
    for wish in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
        if signal.getsignal(wish) == signal.SIG_DFL:  # as Ctrl-C: git ends too, and nothing half-fetched stays
            signal.signal(wish, signal.default_int_handler)
    with err.waiting(call.say("正在取文稿……", "Fetching …")):
        folder, commit = fetch_corpus(source, settings.root / "data")
    shown = folder.relative_to(settings.root).as_posix()
    out.print(f"{shown} @ {commit[:12]}")
    if settings.corpus_path != folder.resolve():
        out.print(
            call.say(
                f'要用它：在 hcf.toml 的 [corpus] 里写 path = "{shown}"，或运行 hcf init {shown}。',
                f'To use it: path = "{shown}" under [corpus] in hcf.toml, or run hcf init {shown}.',
            )
        )
