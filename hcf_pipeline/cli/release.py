"""`hcf release`: which releases there are, what one is made of, and the way back to an earlier one."""

from __future__ import annotations

import datetime
from dataclasses import asdict

from rich.table import Table

from hcf_pipeline.chat.release import Listed, current_release, find_release, releases, roll_back
from hcf_pipeline.cli.console import Invocation, only_json, out, print_json
from hcf_pipeline.store import Store


def run_list(call: Invocation, *, as_json: bool) -> None:
    found = releases(Store(call.settings().home))
    if as_json:
        print_json({"releases": [_summary(listed) for listed in found]})
        return
    table = Table(box=None, pad_edge=False)
    for heading in (("发布", "release"), ("生成时间", "made"), ("适配器", "adapter"), ("索引", "index"), ("", "")):
        table.add_column(call.say(*heading))
    for listed in found:
        serves = call.say("← 正在服务", "← serves") if listed.serves else ""
        release = listed.release
        table.add_row(listed.id, _time(listed), release.adapter.version[:8], release.index.version[:8], serves)
    out.print(table)


def run_show(call: Invocation, beginning: str | None, *, as_json: bool) -> None:
    store = Store(call.settings().home)
    listed = find_release(store, beginning or current_release(store).id)
    document = _summary(listed) | asdict(listed.release)
    if as_json:
        print_json(document)
        return
    for name, value in document.items():
        shown = f"{value['asset']} {value['version']}" if isinstance(value, dict) else str(value)
        out.print(f"{name:15} {shown}", markup=False)


def run_rollback(call: Invocation, beginning: str | None) -> None:
    from hcf_pipeline.defs.rollback import record_rollback

    settings = call.settings()
    store = Store(settings.home)
    with store.lock():
        before = current_release(store).id
        listed = roll_back(store, beginning)
        with only_json():
            record_rollback(settings, before, listed.id)
    out.print(
        call.say(
            f"现在由 {listed.id} 服务（此前是 {before}）；下一个新发布会接替它。",
            f"{listed.id} serves now (before: {before}); the next new release will take over.",
        )
    )


def _summary(listed: Listed) -> dict[str, object]:
    return {"release": listed.id, "made": _time(listed), "serves": listed.serves}


def _time(listed: Listed) -> str:
    return datetime.datetime.fromtimestamp(listed.made).strftime("%Y-%m-%d %H:%M:%S")
