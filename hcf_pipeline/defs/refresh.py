"""What `hcf refresh` does: look at the corpus, run what is stale, look again, until nothing is.

Staleness is not transitive: a child turns stale when its parent has rerun with another result. So assets run in
waves, and what an unchanged result cuts off never runs.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import dagster as dg

from hcf_pipeline.corpus.manifest import Manifest, scan
from hcf_pipeline.defs.build import build_definitions
from hcf_pipeline.defs.corpus.assets import RAW, observation, observe_corpus, seen_corpus
from hcf_pipeline.defs.home import dagster_instance
from hcf_pipeline.defs.publishing import REFIT, latest_version, store_of
from hcf_pipeline.defs.staleness import AssetState, Why, asset_states, next_wave
from hcf_pipeline.errors import HcfError, RunFailed
from hcf_pipeline.settings import Settings
from hcf_pipeline.store import Store

BY = "hcf/by"  # run tag
HCF_REFRESH = "hcf refresh"
REFITTED = frozenset({"base_model", "encoder_model"})


@dataclass(frozen=True)
class Refreshed:
    ran: tuple[str, ...]  # asset names in the order in which they ran
    release: str | None
    seconds: float


class Watcher(Protocol):
    """Told what a refresh does, as it does it."""

    def wave(self, assets: Sequence[str]) -> None: ...
    def started(self, asset: str) -> None: ...
    def said(self, asset: str, message: str) -> None: ...
    def finished(self, asset: str) -> None: ...


def refresh(settings: Settings, watcher: Watcher, *, refit: bool = False) -> Refreshed:
    """Materializes what is stale, and nothing else.

    Raises the HcfError of the step that failed, RunFailed when the failure was none of ours to explain, HomeBusy when
    another process is at it. What was released before stays released.
    """
    began = time.monotonic()
    ran: list[str] = []
    with store_of(settings).lock(), dagster_instance(settings) as instance:
        reap_dead_runs(instance)
        store_of(settings).clear_leftovers()
        look_at_corpus(settings, instance)
        defs = build_definitions(settings)
        found = asset_states(defs, instance)
        forced = _damaged(store_of(settings), found).keys() | (REFITTED if refit else ())
        while wave := [name for name in next_wave(_with(found, dict.fromkeys(forced))) if name not in ran]:
            watcher.wave(wave)
            _run(defs, instance, wave, watcher, ran, refit=refit and not REFITTED.isdisjoint(wave))
            forced -= set(wave)
            found = asset_states(defs, instance)
        return Refreshed(tuple(ran), latest_version(instance, "release"), time.monotonic() - began)


def look_at_corpus(settings: Settings, instance: dg.DagsterInstance) -> None:
    """Tells Dagster of the corpus as it is now, if that is news."""
    root, metadata = observe_corpus(store_of(settings), settings)
    if latest_version(instance, RAW) != root:
        instance.report_runless_asset_event(observation(root, metadata))


def reap_dead_runs(instance: dg.DagsterInstance) -> None:
    """Fails the runs of a refresh that was killed, and frees their pool slots: else the next run waits for ever.

    The caller holds the home's lock, so no refresh but its own is alive.
    """
    alive = [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]
    for run in instance.get_runs(dg.RunsFilter(statuses=alive, tags={BY: HCF_REFRESH})):
        instance.report_run_failed(run, "The process that ran this was killed.")
    ended = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
    for run in instance.get_runs(dg.RunsFilter(statuses=ended, tags={BY: HCF_REFRESH}), limit=20):
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)


def states(settings: Settings) -> tuple[dict[str, AssetState], str | None]:
    """Every asset's state against the corpus as it is now, and the release that serves.

    Looks only: what moved in the corpus is told, not recorded.
    """
    with dagster_instance(settings) as instance:
        store = store_of(settings)
        found = asset_states(build_definitions(settings), instance)
        reasons: dict[str, Why | None] = dict(_damaged(store, found))
        seen = seen_corpus(store)
        if seen is not None and (moved := _moved(settings, seen)):
            reasons["turn_table"] = moved
        return _with(found, reasons), latest_version(instance, "release")


def _damaged(store: Store, states: Mapping[str, AssetState]) -> dict[str, Why]:
    """Assets whose files are not what was published: every byte that serves is read, about a second a gigabyte."""
    found: dict[str, Why] = {}
    for state in states.values():
        try:
            if state.version and not state.observed_only:
                store.open(state.name, state.version).verify()
        except HcfError as error:
            found[state.name] = Why(error.zh, error.en)
    return found


def _with(states: Mapping[str, AssetState], stale: Mapping[str, Why | None]) -> dict[str, AssetState]:
    """The states with some more assets stale, each for a reason of its own."""
    return {
        name: replace(state, state="stale", why=(why,) if (why := stale[name]) else state.why)
        if name in stale and state.state != "missing"
        else state
        for name, state in states.items()
    }


def _moved(settings: Settings, seen: Manifest) -> Why | None:
    """What changed in the corpus folder since it was last looked at."""
    try:
        now = scan(settings.corpus_path, settings.sections.corpus, seen)
    except HcfError as error:
        return Why(error.zh, error.en)
    if now.root == seen.root:
        return None
    before, after = ({file.path: file.sha256 for file in manifest.files} for manifest in (seen, now))
    came, went = sorted(after.keys() - before.keys()), sorted(before.keys() - after.keys())
    changed = sorted(path for path in after.keys() & before.keys() if after[path] != before[path])
    zh = [f"{word} {_few(paths)}" for word, paths in (("新增", came), ("改动", changed), ("删除", went)) if paths]
    en = [f"{word} {_few(paths)}" for word, paths in (("new", came), ("changed", changed), ("deleted", went)) if paths]
    return Why(
        "文稿" + "，".join(zh) if zh else "文稿有变", "transcripts: " + ", ".join(en) if en else "transcripts moved"
    )


def _few(paths: Sequence[str]) -> str:
    return " ".join(paths[:3]) + (f" … ({len(paths)})" if len(paths) > 3 else "")


def _run(
    defs: dg.Definitions,
    instance: dg.DagsterInstance,
    wave: Sequence[str],
    watcher: Watcher,
    ran: list[str],
    *,
    refit: bool,
) -> None:
    run_id = str(uuid.uuid4())
    instance.add_event_listener(run_id, _listener(watcher, ran))
    job = defs.resolve_implicit_global_asset_job_def()
    tags = {BY: HCF_REFRESH} | ({REFIT: "true"} if refit else {})
    try:
        job.execute_in_process(
            instance=instance,
            run_id=run_id,
            asset_selection=[dg.AssetKey(name) for name in wave],
            tags=tags,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},  # the event log has all of it
        )
    except Exception as error:
        if ours := _explained(error):
            raise ours from error
        raise RunFailed(
            zh=f"运行失败：{type(error).__name__}: {error}。完整日志：hcf ui，然后打开 Runs 里的 {run_id[:8]}。",
            en=f"The run failed: {type(error).__name__}: {error}. Its log: hcf ui, then {run_id[:8]} under Runs.",
        ) from error


def _listener(watcher: Watcher, ran: list[str]) -> Callable[[dg.EventLogEntry], None]:
    def listen(entry: dg.EventLogEntry) -> None:
        step = entry.step_key
        if step is None:
            return
        if not entry.is_dagster_event:
            watcher.said(step, entry.user_message)
        elif entry.dagster_event_type == dg.DagsterEventType.STEP_START:
            watcher.started(step)
        elif entry.dagster_event_type == dg.DagsterEventType.STEP_SUCCESS:
            ran.append(step)
            watcher.finished(step)

    return listen


def _explained(error: BaseException) -> HcfError | None:
    """Our own error among the causes of Dagster's."""
    looked_at: set[int] = set()  # Dagster's causes can form a circle
    waiting: list[BaseException | None] = [error]
    while waiting:
        cause = waiting.pop()
        if isinstance(cause, HcfError):
            return cause
        if cause is not None and id(cause) not in looked_at:
            looked_at.add(id(cause))
            waiting += [cause.__context__, cause.__cause__]
    return None
