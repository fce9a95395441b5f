"""`hcf gc`: what nobody needs any more is removed; with --dry-run it is only told."""

from __future__ import annotations

from hcf_pipeline.cli.console import Invocation, human_size, only_json, out, print_json
from hcf_pipeline.text import one_line


def run_gc(call: Invocation, *, dry_run: bool, as_json: bool) -> None:
    from hcf_pipeline.defs.automation.liveness import reap_dead_runs
    from hcf_pipeline.defs.automation.tidying import tidy_up
    from hcf_pipeline.defs.home import dagster_instance
    from hcf_pipeline.defs.publishing import store_of
    from hcf_pipeline.defs.refresh import nobody_else

    settings = call.settings()
    store = store_of(settings)
    with only_json(), store.lock(), dagster_instance(settings) as instance:
        reap_dead_runs(instance, home_is_ours=True)
        nobody_else(instance)
        swept = tidy_up(settings, dry_run=dry_run)
    found = swept.gone
    in_use = [path.relative_to(store.home).as_posix() for path in swept.in_use]
    n_bytes = sum(one.n_bytes for one in found)
    if as_json:
        removed = [{"path": one.path.relative_to(store.home).as_posix(), "bytes": one.n_bytes} for one in found]
        print_json({"removed": removed, "in_use": in_use, "bytes": n_bytes, "dry_run": dry_run})
        return
    for one in found:
        out.print(f"{one_line(str(one.path.relative_to(store.home)))}  {human_size(one.n_bytes)}")
    for used in in_use:
        zh, en = f"{used}  还在使用，下次再清理", f"{used}  in use, stays until the next time"
        out.print(call.say(zh, en))
    zh, en = ("会腾出", "Would free") if dry_run else ("腾出", "Freed")
    out.print(
        call.say(
            f"{zh} {human_size(n_bytes)}（{len(found)} 项）。", f"{en} {human_size(n_bytes)} ({len(found)} items)."
        )
    )
