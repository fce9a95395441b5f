"""What `hcf refresh` does: look at the corpus, run what is stale, look again, until nothing is; then tidy up."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import dagster as dg

from hcf_pipeline.asset_names import BASE_MODEL, ENCODER_MODEL, RELEASE, SFT_DATASET, TURN_TABLE
from hcf_pipeline.chat.releases import moved_pins, serving_damage
from hcf_pipeline.corpus.differences import differences
from hcf_pipeline.defs.asset_keys import key_of, name_of
from hcf_pipeline.defs.automation.liveness import BY, HCF_REFRESH, executing, reap_dead_runs, this_process
from hcf_pipeline.defs.automation.plan import TRAINING, Plan, make_plan
from hcf_pipeline.defs.automation.policy import deferral, pairs_waiting
from hcf_pipeline.defs.automation.standstill import standstill, switched_off, untrainable
from hcf_pipeline.defs.automation.tidying import tidy_up
from hcf_pipeline.defs.build import build_definitions
from hcf_pipeline.defs.corpus.look import look_again, peek_at_corpus, seen_corpus
from hcf_pipeline.defs.dagster_private import is_failed_check, job_of_all_assets, listen, nodes_defined
from hcf_pipeline.defs.gating import failed_gates
from hcf_pipeline.defs.home import dagster_instance
from hcf_pipeline.defs.publishing import REFIT, WHY_TAG, recipe_followed, store_of
from hcf_pipeline.defs.rollback import record_serving
from hcf_pipeline.defs.staleness import AssetState, asset_states
from hcf_pipeline.defs.why import Why, both_languages
from hcf_pipeline.errors import DataError, HcfError, HomeBusy, RunFailed, ServerError
from hcf_pipeline.gates import refuse
from hcf_pipeline.hub.models import POINTER, model_folder
from hcf_pipeline.settings import Settings
from hcf_pipeline.store import Store

REFITTED = frozenset({BASE_MODEL, ENCODER_MODEL})
SWITCHED_OFF = Why("[lora] enabled = false：不训练", "[lora] enabled = false: nothing is trained")


@dataclass(frozen=True)
class Refreshed:
    ran: tuple[str, ...]  # asset names in the order in which they ran
    waiting: tuple[str, ...]  # left stale, because training was not wanted
    release: str | None  # that serves now
    seconds: float
    nothing_to_learn: DataError | None = None  # why training stands still, where it does


class Watcher(Protocol):
    """Told what a refresh does, as it does it."""

    def wave(self, assets: Sequence[str]) -> None: ...
    def started(self, asset: str) -> None: ...
    def said(self, asset: str, message: str) -> None: ...
    def finished(self, asset: str) -> None: ...


def refresh(settings: Settings, watcher: Watcher, *, refit: bool = False, train: bool = True) -> Refreshed:
    """Materializes what is stale, and nothing else; without `train`, all but what belongs to training.

    Raises the HcfError of the step that failed, GateFailed when what was built must not be released, RunFailed when the
    failure was none of ours to explain, HomeBusy when somebody else is at it. What was released before stays released.
    Where training alone failed, all the rest is made and released before its error is raised.
    """
    began = time.monotonic()
    ran: list[str] = []
    failed: list[str] = []
    training_failed: HcfError | None = None
    store = store_of(settings)
    with store.lock(), dagster_instance(settings) as instance:
        reap_dead_runs(instance, home_is_ours=True)
        nobody_else(instance)
        look_again(settings, instance)
        defs = build_definitions(settings)
        nodes = nodes_defined(defs)
        found = asset_states(nodes, instance, store)
        damaged = _damaged(store, found)
        if _mend(store, instance, [state for state in found.values() if state.name not in damaged]):
            found = asset_states(nodes, instance, store)
        moved = _moved_behind_its_address(settings, store, found)
        forced: dict[str, Why | None] = {**damaged, **moved, **dict.fromkeys(REFITTED if refit else ())}
        while (plan := _plan(settings, _with(found, forced), failed, train=train)) and (
            wave := [name for name in plan.wave if name not in ran]
        ):
            watcher.wave(wave)
            states = _with(found, forced)
            why = {name: states[name].why for name in wave if states[name].why}
            try:
                _run(defs, instance, wave, watcher, ran, failed, why, refit=refit and not REFITTED.isdisjoint(wave))
            except HcfError as error:
                if not failed or not set(failed) <= set(TRAINING):
                    raise
                training_failed = training_failed or error
            forced = {name: reason for name, reason in forced.items() if name not in ran}
            found = asset_states(nodes, instance, store)
            forced |= _unpinned(store, found)
        if plan.blocked:
            refuse(failed_gates(settings, found))
        tidy_up(settings)
        idle = untrainable(found, store, settings)
        if training_failed and not idle:
            raise training_failed
        serving = store.readable(RELEASE)
        release, seconds = serving.version if serving else None, time.monotonic() - began
        off = switched_off(settings)
        waiting = tuple(name for name in plan.waiting if name not in off)
        return Refreshed(tuple(ran), waiting, release, seconds, idle)


def nobody_else(instance: dg.DagsterInstance) -> None:
    """Raises HomeBusy with the run that is under way on this home, in Dagster's UI or by its daemon."""
    at_work = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]  # what is queued meets the assets' locks
    for run in instance.get_runs(dg.RunsFilter(statuses=at_work), limit=1):
        assets = " ".join(sorted(name_of(key) for key in run.asset_selection or ())) or run.job_name
        raise HomeBusy(
            zh=f"Dagster 的运行 {run.run_id[:8]}（{assets}）还没有结束；请等它结束（hcf ui 里可以看到），再运行一次。",
            en=f"Dagster's run {run.run_id[:8]} ({assets}) has not ended; wait for it (hcf ui shows it), then again.",
        )


@dataclass(frozen=True)
class Status:
    states: dict[str, AssetState]
    release: str | None  # that serves
    blocked: tuple[str, ...]


def status(settings: Settings) -> Status:
    """Every asset's state against the corpus as it is now, and the release that serves.

    Looks only: what moved in the corpus is told, not recorded.
    """
    store = store_of(settings)
    with dagster_instance(settings) as instance:
        found = asset_states(nodes_defined(build_definitions(settings)), instance, store)
        reasons: dict[str, Why | None] = dict(_damaged(store, found))
        if moved := _corpus_change(settings):
            reasons[TURN_TABLE] = moved
        states = _with(found, reasons)
        waiting = pairs_waiting(instance, store) if states[SFT_DATASET].state == "stale" else None
        if waiting and waiting.came + waiting.went:
            samples, why = states[SFT_DATASET], deferral(waiting, settings.sections.refresh)
            states[SFT_DATASET] = replace(samples, why=(*samples.why, why))
        failed = failed_gates(settings, found)
        for gate, verdict in failed.items():
            for state in states.values():
                if state.state != "fresh" and gate.asset in state.parents:
                    why = Why(
                        f"检查 {gate.name} 没有通过：{verdict.text('zh')}",
                        f"the check {gate.name} failed: {verdict.text('en')}",
                    )
                    states[state.name] = replace(state, why=(*state.why, why))
        serving = store.readable(RELEASE)
        plan = make_plan(states, standstill(states, store, settings), {gate.asset for gate in failed})
        for name in switched_off(settings):
            states[name] = replace(states[name], state="off", why=(SWITCHED_OFF,))
        return Status(states, serving.version if serving else None, plan.blocked)


def _plan(settings: Settings, states: Mapping[str, AssetState], failed: Collection[str], *, train: bool) -> Plan:
    """`failed`: assets of training that could not be made in this refresh; they are not tried again in it."""
    waits = standstill(states, store_of(settings), settings) | set(failed) | set(() if train else TRAINING)
    return make_plan(states, waits, {gate.asset for gate in failed_gates(settings, states)})


def _damaged(store: Store, states: Mapping[str, AssetState]) -> dict[str, Why]:
    """Assets whose files are not what was published: every byte that serves is read, about a second a gigabyte."""
    found: dict[str, Why] = {}
    for state in states.values():
        try:
            if state.version and not state.observed_only:
                store.verify(artifact := store.open(state.name, state.version))
                if POINTER in artifact.files:
                    model_folder(artifact)  # what lies outside the store is pinned as well
        except HcfError as error:
            found[state.name] = Why(error.zh, error.en)
    return found or _unpinned(store, states)


def _moved_behind_its_address(
    settings: Settings, store: Store, states: Mapping[str, AssetState]
) -> dict[str, Why | None]:
    """The encoder, where another model answers at its address than was pinned: one request, if it is a server's at all.

    A server that does not answer is passed over here: what needs it says so, and the rest of a refresh does without.
    """
    encoder = states[ENCODER_MODEL]
    if not settings.sections.encoder.base_url or encoder.state != "fresh" or encoder.version is None:
        return {}
    from hcf_pipeline.rag.encode.encoder import load_encoder

    try:
        load_encoder(model_folder(store.open(ENCODER_MODEL, encoder.version)), "cpu", settings.sections.encoder)
    except ServerError:
        return {}
    except HcfError as error:
        return {ENCODER_MODEL: Why(error.zh, error.en)}
    return {}


def _unpinned(store: Store, states: Mapping[str, AssetState]) -> dict[str, Why]:
    """The release, where something that it pins was built again after damage: the same rows, in other bytes."""
    version = states[RELEASE].version
    try:
        moved = moved_pins(store, store.open(RELEASE, version)) if version else []
    except HcfError:  # gone or damaged itself, which is told elsewhere
        return {}
    if not moved:
        return {}
    names = " ".join(moved)
    return {RELEASE: Why(f"它钉住的 {names} 重新生成过", f"what it pins was built again: {names}")}


def _mend(store: Store, instance: dg.DagsterInstance, whole: Sequence[AssetState]) -> bool:
    """Writes again what was lost of the store's books (what is current, what a recipe gave); returns whether it did."""
    mended = False
    for state in whole:
        if state.version is None or state.observed_only:
            continue
        if state.made_by is None and recipe_followed(instance, state.name) == state.now.id:
            store.record(state.name, state.version, state.now)
            mended = True
        if store.readable(state.name) is None:
            store.promote(state.name, state.version)
            mended = True
        elif state.name == RELEASE and store.readable(RELEASE) != store.open(RELEASE, state.version):
            _leave_damaged_rollback(store, instance, state.version)
    return mended


def _leave_damaged_rollback(store: Store, instance: dg.DagsterInstance, latest: str) -> None:
    """What an earlier release pins cannot always be built again: where it was damaged, the latest serves once more."""
    if damage := serving_damage(store):
        store.promote(RELEASE, latest)
        record_serving(instance, latest, f"{damage.zh} | {damage.en}")


def _with(states: Mapping[str, AssetState], stale: Mapping[str, Why | None]) -> dict[str, AssetState]:
    """The states with some more assets stale, each for a reason of its own."""
    return {
        name: replace(state, state="stale", why=(why,) if (why := stale[name]) else state.why, is_whole=why is None)
        if name in stale and state.state != "missing"
        else state
        for name, state in states.items()
    }


def _corpus_change(settings: Settings) -> Why | None:
    """What changed in the corpus folder since it was last looked at."""
    seen = seen_corpus(settings)
    if seen is None:
        return None
    try:
        now = peek_at_corpus(settings)
    except HcfError as error:
        return Why(error.zh, error.en)
    if now.root == seen.root:
        return None
    found = differences(seen.hashes, now.hashes)
    return Why(f"文稿{found.text('zh') or '有变'}", f"transcripts: {found.text('en') or 'moved'}")


def _run(
    defs: dg.Definitions,
    instance: dg.DagsterInstance,
    wave: Sequence[str],
    watcher: Watcher,
    ran: list[str],
    failed: list[str],
    why: Mapping[str, tuple[Why, ...]],
    *,
    refit: bool,
) -> None:
    run_id = str(uuid.uuid4())
    listen(instance, run_id, _listener(watcher, ran, failed, frozenset(wave)))
    job = job_of_all_assets(defs)
    tags = {
        BY: HCF_REFRESH,
        WHY_TAG: "\n".join(f"{name}: {both_languages(words)}" for name, words in why.items())[:500],
    }
    tags |= this_process() | ({REFIT: "true"} if refit else {})
    try:
        with executing(instance, run_id):
            job.execute_in_process(
                instance=instance,
                run_id=run_id,
                asset_selection=[key_of(name) for name in wave],
                tags=tags,
                # the event log has all of it
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            )
    except Exception as error:
        if ours := _explained(error):
            raise ours from error
        if is_failed_check(error):
            return  # the plan knows: nothing is made from what did not pass
        raise RunFailed(
            zh=f"运行失败：{type(error).__name__}: {error}。完整日志：hcf ui，然后打开 Runs 里的 {run_id[:8]}。",
            en=f"The run failed: {type(error).__name__}: {error}. Its log: hcf ui, then {run_id[:8]} under Runs.",
        ) from error


def _listener(
    watcher: Watcher, ran: list[str], failed: list[str], assets: frozenset[str]
) -> Callable[[dg.EventLogEntry], None]:
    def listen(entry: dg.EventLogEntry) -> None:
        step = entry.step_key
        if step not in assets:  # a check, or the run itself
            return
        if not entry.is_dagster_event:
            watcher.said(step, entry.user_message)
        elif entry.dagster_event_type == dg.DagsterEventType.STEP_START:
            watcher.started(step)
        elif entry.dagster_event_type == dg.DagsterEventType.STEP_SUCCESS:
            ran.append(step)
            watcher.finished(step)
        elif entry.dagster_event_type == dg.DagsterEventType.STEP_FAILURE:
            failed.append(step)

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
