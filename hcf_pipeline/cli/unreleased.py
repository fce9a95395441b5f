"""That settings changed since the release: an answer goes by the release, and a person who changed one wonders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

from hcf_pipeline.cli.console import Invocation, err
from hcf_pipeline.errors import HcfError
from hcf_pipeline.few import shortened
from hcf_pipeline.settings import Settings
from hcf_pipeline.store import Store

VALUE_CHARS = 60


def settings_to_answer_by(call: Invocation, tried: Sequence[str]) -> tuple[Settings, Mapping[str, object]]:
    """(the settings, the values that are tried in place of the release's), with a note of what waits for a release."""
    settings, values = call.settings(file_optional=call.home_named), call.tried(tried)
    _note_unreleased(call, settings, values)
    return settings, values


def _note_unreleased(call: Invocation, settings: Settings, tried: Mapping[str, object]) -> None:
    """One line on stderr where settings that would change the answer wait for a release, those that are tried apart."""
    from hcf_pipeline.chat.release import current_release
    from hcf_pipeline.chat.serving import unreleased

    with suppress(HcfError):
        waiting = [
            f"{name} {shortened(repr(released), VALUE_CHARS)} → {shortened(repr(now), VALUE_CHARS)}"
            for name, released, now in unreleased(settings, current_release(Store(settings.home)).serving)
            if name not in tried
        ]
        if waiting:
            changed = "; ".join(waiting)
            err.print(
                call.say(
                    f"这些设置变了但还没有发布：{changed}。hcf refresh 会发布，-s 可以先试。",
                    f"Settings that changed since the release: {changed}. hcf refresh releases them, -s tries one.",
                )
            )
