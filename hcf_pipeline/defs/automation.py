"""Jobs, and what starts them: a schedule and a sensor. Both are off until [refresh] automation, or a switch in the UI."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

from hcf_pipeline.defs.corpus.assets import RAW, observation, observe_corpus
from hcf_pipeline.defs.publishing import store_of
from hcf_pipeline.errors import HcfError
from hcf_pipeline.settings import Settings

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

ACTIVE = (dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED)
EVERYTHING = dg.AssetSelection.all(include_sources=True)
REFRESH = "refresh_what_is_stale"


def jobs() -> list[UnresolvedAssetJobDefinition]:
    return [
        dg.define_asset_job(
            REFRESH,
            selection=dg.AssetSelection.all(),
            description="The assets that a sensor or the schedule found stale.\n\n更新过期的产物。",
        ),
        dg.define_asset_job(
            "rebuild_everything",
            selection=EVERYTHING,
            description="Looks at the corpus and runs every asset; what the same recipe gave before is taken from the store."
            "\n\n从头到尾运行一遍。",
        ),
        dg.define_asset_job(
            "update_the_index",
            selection=dg.AssetSelection.assets(RAW, "turn_table")
            | dg.AssetSelection.groups("retrieval")
            | dg.AssetSelection.assets("parsed_pairs"),
            description="Looks at the corpus and brings the index up to date, without training.\n\n只更新检索索引。",
        ),
    ]


def automation(settings: Settings) -> tuple[dg.ScheduleDefinition, dg.SensorDefinition]:
    store = store_of(settings)
    refresh = settings.sections.refresh

    @dg.schedule(
        name="nightly_refresh",
        job_name=REFRESH,
        cron_schedule=refresh.cron,
        execution_timezone=refresh.timezone,
        default_status=(dg.DefaultScheduleStatus.RUNNING if refresh.automation else dg.DefaultScheduleStatus.STOPPED),
        description="Looks at the corpus at a fixed hour and starts what is stale.\n\n定时更新。",
    )
    def nightly_refresh(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        if _busy(context.instance):
            return dg.SkipReason("a refresh is in progress")
        context.instance.report_runless_asset_event(observation(*observe_corpus(store, settings)))
        return dg.RunRequest(stale_assets_only=True)

    @dg.sensor(
        name="new_transcripts",
        job_name=REFRESH,
        minimum_interval_seconds=refresh.watch_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING if refresh.automation else dg.DefaultSensorStatus.STOPPED,
        description="Looks for new, changed and deleted transcripts, tells Dagster of them, and starts what is stale, wave "
        "by wave.\n\n发现新文稿。",
    )
    def new_transcripts(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        try:
            root, metadata = observe_corpus(store, settings)
        except HcfError as error:
            return dg.SkipReason(f"{error.zh} {error.en}")
        events = [observation(root, metadata)] if root != context.cursor else []
        if _busy(context.instance):
            return dg.SensorResult(asset_events=events, cursor=root, skip_reason="a refresh is in progress")
        if events:  # what it makes stale shows at the next look
            return dg.SensorResult(asset_events=events, cursor=root, skip_reason="the corpus changed")
        if failed := _failed_on_this_corpus(context.instance):
            return dg.SensorResult(cursor=root, skip_reason=f"run {failed} failed; mend it, then hcf refresh")
        return dg.SensorResult(run_requests=[dg.RunRequest(stale_assets_only=True)], cursor=root)

    return nightly_refresh, new_transcripts


def _busy(instance: dg.DagsterInstance) -> bool:
    """Whether a run is on its way: `stale_assets_only` has no guard of its own."""
    return bool(instance.get_run_ids(dg.RunsFilter(statuses=list(ACTIVE)), limit=1))


def _failed_on_this_corpus(instance: dg.DagsterInstance) -> str | None:
    """The last run, if it failed and the corpus has not moved since: the same inputs would fail the same way."""
    runs = instance.get_run_records(limit=1)
    seen = instance.fetch_observations(dg.AssetKey(RAW), limit=1).records
    if not runs or runs[0].dagster_run.status != dg.DagsterRunStatus.FAILURE:
        return None
    moved_since = seen and seen[0].timestamp > runs[0].create_timestamp.timestamp()
    return None if moved_since else str(runs[0].dagster_run.run_id[:8])
