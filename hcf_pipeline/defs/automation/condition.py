"""The automation condition of every asset: run when stale, once its inputs are settled and no policy or gate says no.

Dagster's built-in conditions react to events, and lose an update that comes while an asset is being made (dagster
issues 33587, 33656, 34067, 24650). This one looks at the state: what is stale is asked for again until it isn't.
One request for each recipe; where a run was killed, again after a pause; where an input was found damaged, again when
that was built anew; where a step failed by its own fault, only when the recipe changed or the schedule has come round.
"""

import datetime
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from zoneinfo import ZoneInfo

import dagster as dg

from hcf_pipeline.asset_names import LORA_ADAPTER
from hcf_pipeline.defs.asset_keys import name_of
from hcf_pipeline.defs.automation.liveness import UNDER_WAY
from hcf_pipeline.defs.automation.plan import Plan, make_plan
from hcf_pipeline.defs.automation.policy import deferred_assets
from hcf_pipeline.defs.automation.standstill import standstill
from hcf_pipeline.defs.dagster_private import failed_steps, last_tick, nodes_of
from hcf_pipeline.defs.gating import failed_gates
from hcf_pipeline.defs.publishing import store_of
from hcf_pipeline.defs.staleness import AssetState, asset_states
from hcf_pipeline.errors import InputDamaged
from hcf_pipeline.settings import Settings

AGAIN_AFTER_S = (60, 300, 1800)  # where a run was killed, or never began


@dataclass(frozen=True)
class LastRequest:
    """What this condition asked for last."""

    recipe: str
    at: float  # seconds since 1970
    times: int

    @staticmethod
    def load(cursor: str | None) -> "LastRequest | None":
        return LastRequest(**json.loads(cursor)) if cursor else None


class _Evaluation:
    """The state of everything in one evaluation, found once for all assets."""

    def __init__(self, context: dg.AutomationContext[dg.AssetKey], settings: Settings) -> None:
        self._instance = context.asset_graph_view.instance
        self._settings = settings
        self.view = context.asset_graph_view  # one for each evaluation
        # before the states are looked at, and again after: what is being made moves between one look and the next
        self._was_being_made = self._under_way()
        self.states: Mapping[str, AssetState] = asset_states(
            nodes_of(context.asset_graph), self._instance, store_of(settings)
        )

    @cached_property
    def plan(self) -> Plan:
        store, refresh = store_of(self._settings), self._settings.sections.refresh
        failed = {gate.asset for gate in failed_gates(self._settings, self.states)}
        waiting = deferred_assets(self.states, self._instance, store, refresh) | standstill(
            self.states, store, self._settings
        )
        return make_plan(self.states, waiting, failed)

    @cached_property
    def being_made(self) -> frozenset[str]:
        """Assets of runs that were under way at some time in this evaluation; of a whole one, or `hcf refresh`, all."""
        return self._was_being_made | self._under_way()

    def _under_way(self) -> frozenset[str]:
        runs = self._instance.get_runs(dg.RunsFilter(statuses=list(UNDER_WAY)))
        if store_of(self._settings).owner() is not None or any(run.asset_selection is None for run in runs):
            return frozenset(name_of(key) for key in self.view.asset_graph.get_all_asset_keys())
        return frozenset(name_of(key) for run in runs for key in run.asset_selection or ())

    def wanted(self, name: str) -> bool:
        """Training takes hours: an asset doesn't wait for an input that is being trained, it takes the one that is there."""
        held_up_by = {name, *(self.states[name].parents - {LORA_ADAPTER})}
        return name in self.plan.wave and not held_up_by & self.being_made


class WhenStale(dg.AutomationCondition[dg.AssetKey]):
    """True for an asset that is stale or missing, and to be made now."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._evaluation: _Evaluation | None = None

    @property
    def name(self) -> str:
        return "when_stale"

    @property
    def description(self) -> str:
        refresh = self._settings.sections.refresh
        return (
            "stale or missing, its inputs settled, no gate against it; training waits for "
            f"{refresh.train_pairs or '∞'} new pairs or for {refresh.train_cron or 'nothing'}"
        )

    def evaluate(self, context: dg.AutomationContext[dg.AssetKey]) -> dg.AutomationResult[dg.AssetKey]:
        if self._evaluation is None or self._evaluation.view is not context.asset_graph_view:
            self._evaluation = _Evaluation(context, self._settings)
        evaluation, name = self._evaluation, name_of(context.key)
        last = LastRequest.load(context.cursor)
        recipe = evaluation.states[name].now.id
        if not evaluation.wanted(name) or (last and last.recipe == recipe and not self._again(context, last)):
            return dg.AutomationResult(context, context.get_empty_subset(), cursor=context.cursor)
        times = last.times + 1 if last and last.recipe == recipe else 1
        cursor = json.dumps(asdict(LastRequest(recipe, time.time(), times)))
        return dg.AutomationResult(context, context.candidate_subset, cursor=cursor)

    def _again(self, context: dg.AutomationContext[dg.AssetKey], last: LastRequest) -> bool:
        """Whether what was asked for in vain is to be asked for once more."""
        if _last_tick(self._settings) > last.at:
            return True
        if last.times > len(AGAIN_AFTER_S):
            return False
        failures = _failures(context.asset_graph_view.instance, context.key, last.at)
        if any(_is_by_damage(failure) for failure in failures):
            return True  # its inputs are settled again, else it would not be wanted
        return time.time() >= last.at + AGAIN_AFTER_S[last.times - 1] and not failures


def _failures(instance: dg.DagsterInstance, key: dg.AssetKey, since: float) -> list[dg.EventLogEntry]:
    """The steps that failed in the asset's runs since then: what was killed has none."""
    after = datetime.datetime.fromtimestamp(since - 60, tz=datetime.UTC)
    failed = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], created_after=after)
    return [
        entry
        for run in instance.get_runs(failed, limit=20)
        if run.asset_selection is None or key in run.asset_selection
        for entry in failed_steps(instance, run.run_id)
        if entry.timestamp >= since
    ]


def _is_by_damage(failure: dg.EventLogEntry) -> bool:
    event = failure.dagster_event
    error = event.step_failure_data.error if event else None
    while error is not None:
        if error.cls_name == InputDamaged.__name__:
            return True
        error = error.cause
    return False


def _last_tick(settings: Settings) -> float:
    refresh = settings.sections.refresh
    now = datetime.datetime.now(ZoneInfo(refresh.timezone)).timestamp()
    return last_tick(refresh.cron, refresh.timezone, now)
