"""`hcf release`: which releases there are, what one is made of, the way back to an earlier one, and what is held."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

from hcf_pipeline.chat.hold import HeldPart, Hold, hold_on, lift
from hcf_pipeline.chat.release import ADAPTER, INDEX, current_release
from hcf_pipeline.chat.releases import ReleaseEntry, find_release, releases, roll_back
from hcf_pipeline.cli.console import Invocation, only_json, out, print_json
from hcf_pipeline.store import Store
from hcf_pipeline.text import one_line


def run_list(call: Invocation, *, as_json: bool) -> None:
    store = Store(call.settings(file_optional=call.home_named).home)
    found, held = releases(store), hold_on(store)
    if as_json:
        print_json({"releases": [_summary(listed) for listed in found], "hold": hold_as_json(held)})
        return
    headings = (("发布", "release"), ("生成时间", "made"), ("适配器", "adapter"), ("索引", "index"), ("", ""))
    rows: list[list[str]] = []
    for listed in found:
        versions = [
            listed.release.parts[part].version[:8] if part in listed.release.parts else "-" for part in (ADAPTER, INDEX)
        ]
        rows.append([listed.id, _time(listed.made), *versions, _note(call, listed)])
    out.table([call.say(*heading) for heading in headings], rows)
    if held:
        out.print(hold_words(call, held))


def _note(call: Invocation, listed: ReleaseEntry) -> str:
    if listed.lost:
        names = " ".join(listed.lost)
        return call.say(f"不能再服务：{names} 已损坏或不在", f"cannot serve again: {names} damaged or gone")
    return call.say("← 正在服务", "← serves") if listed.serves else ""


def run_show(call: Invocation, beginning: str | None, *, as_json: bool) -> None:
    store = Store(call.settings(file_optional=call.home_named).home)
    listed = find_release(store, beginning or current_release(store).id)
    document = _summary(listed) | listed.release.as_json()
    if as_json:
        print_json(document)
        return
    for name, value in document.items():
        for key, shown in _lines(name, value):
            out.print(f"{one_line(key):28} {one_line(shown)}")


def _lines(name: str, value: object) -> Iterator[tuple[str, str]]:
    """A part as its asset and version, a setting by its name, anything else as it is."""
    if name == "parts" and isinstance(value, dict):
        yield from ((part, f"{pinned['asset']} {pinned['version']}") for part, pinned in value.items())
    elif name == "fusion" and isinstance(value, dict):
        yield from ((f"{name} {key}", f"{choice['value']:g} ({choice['by']})") for key, choice in value.items())
    elif name in ("serving", "corpora") and isinstance(value, dict):
        yield from ((key if name == "serving" else f"{name} {key}", str(one)) for key, one in value.items())
    else:
        yield name, str(value)


def run_rollback(call: Invocation, beginning: str | None, what: HeldPart | None) -> None:
    from hcf_pipeline.defs.rollback import record_rollback

    settings = call.settings(file_optional=call.home_named)
    store = Store(settings.home)
    with store.lock():
        before = current_release(store).id
        listed = roll_back(store, beginning, what)
        held = hold_on(store)
        with only_json():
            record_rollback(settings, before, listed.id, held)
    out.print(call.say(f"现在由 {listed.id} 服务（此前是 {before}）。", f"{listed.id} serves now (before: {before})."))
    if held:
        out.print(hold_words(call, held))
    else:
        out.print(call.say("下一个新发布会接替它。", "The next new release takes over."))


def run_lift(call: Invocation) -> None:
    from hcf_pipeline.defs.rollback import record_lift

    settings = call.settings(file_optional=call.home_named)
    store = Store(settings.home)
    with store.lock():
        held = lift(store)
        with only_json():
            record_lift(settings)
    if held is None:
        out.print(call.say("没有什么被扣住。", "Nothing was held."))
        return
    out.print(
        call.say(
            f"不再扣住 {held.names}；下一次 hcf refresh（或自动更新）会发布最新的。",
            f"{held.names} is no longer held; the next hcf refresh (or the automation) releases what is newest.",
        )
    )


def hold_words(call: Invocation, held: Hold) -> str:
    """What is held, since when, and how it ends."""
    if not held.since:
        return call.say(
            "扣住的记录读不出来，所以不发布任何新的；确认后运行 hcf release lift。",
            "The record of what is held cannot be read, so nothing new is released; look, then run hcf release lift.",
        )
    what = (
        call.say("不发布任何新的", "nothing new is released")
        if held.everything
        else call.say(f"新的发布仍用 {_versions(held)}", f"new releases keep {_versions(held)}")
    )
    since = _time(held.since)
    return call.say(
        f"扣住：{since} 起{what}（退下的是 {held.rejected[:8]}）；hcf release lift 解除。",
        f"Held since {since}: {what} (rolled back: {held.rejected[:8]}); hcf release lift ends it.",
    )


def _versions(held: Hold) -> str:
    return " ".join(f"{asset} {version[:8] or '-'}" for asset, version in sorted(held.versions.items()))


def hold_as_json(held: Hold | None) -> dict[str, object] | None:
    return {"versions": dict(held.versions), "rejected": held.rejected, "since": _time(held.since)} if held else None


def _summary(listed: ReleaseEntry) -> dict[str, object]:
    return {"release": listed.id, "made": _time(listed.made), "serves": listed.serves, "lost": list(listed.lost)}


def _time(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M:%S")
