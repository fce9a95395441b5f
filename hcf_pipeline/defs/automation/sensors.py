"""Jobs, and what starts them. All is off until [refresh] automation, or a switch in the UI.

new_transcripts   sensor     looks at the corpus folder, and tells Dagster what has come to rest there
nightly_refresh   schedule   pulls the corpus where it is kept in Git, and looks at it
keep_up_to_date   sensor     evaluates the assets' conditions: what is stale is made, wave by wave
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

from hcf_pipeline.asset_names import HELD_OUT_SPLIT, PARSED_PAIRS, RAW_TRANSCRIPTS, TURN_TABLE
from hcf_pipeline.defs.automation.liveness import BY, UNDER_WAY, reap_dead_runs
from hcf_pipeline.defs.automation.tidying import tidy_up
from hcf_pipeline.defs.corpus.look import look_at_corpus
from hcf_pipeline.defs.dagster_private import is_cron
from hcf_pipeline.defs.publishing import store_of
from hcf_pipeline.errors import HcfError, HomeBusy, SettingsError
from hcf_pipeline.settings import Settings
from hcf_pipeline.settings.file import load_settings

if TYPE_CHECKING:
    from hcf_pipeline.defs.dagster_private import AssetJob

LOOK_JOB = "look_at_the_corpus_now"


def jobs() -> list[AssetJob]:
    return [
        dg.define_asset_job(
            LOOK_JOB,
            selection=dg.AssetSelection.assets(RAW_TRANSCRIPTS),
            description="Pulls the corpus where it is kept in Git, and looks at it.\n\n拉取并查看文稿。",
        ),
        dg.define_asset_job(
            "rebuild_everything",
            selection=dg.AssetSelection.all(include_sources=True),
            description="Looks at the corpus and runs every asset; what the same recipe gave before is taken from the store."
            "\n\n从头到尾运行一遍。",
        ),
        dg.define_asset_job(
            "update_the_index",
            selection=dg.AssetSelection.assets(RAW_TRANSCRIPTS, TURN_TABLE)
            | dg.AssetSelection.groups("retrieval")
            | dg.AssetSelection.assets(PARSED_PAIRS, HELD_OUT_SPLIT),
            description="Looks at the corpus and brings the index up to date, without training.\n\n只更新检索索引。",
        ),
    ]


def automation(settings: Settings) -> tuple[dg.ScheduleDefinition, list[dg.SensorDefinition]]:
    refresh = settings.sections.refresh
    _refuse_bad_cron(settings)

    nightly_refresh = dg.ScheduleDefinition(
        name="nightly_refresh",
        job_name=LOOK_JOB,
        cron_schedule=refresh.cron,
        execution_timezone=refresh.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING if refresh.automation else dg.DefaultScheduleStatus.STOPPED,
        description="Pulls and looks at the corpus at a fixed hour; keep_up_to_date then makes what is stale.\n\n定时查看文稿。",
    )

    @dg.sensor(
        name="new_transcripts",
        target=dg.AssetSelection.assets(RAW_TRANSCRIPTS),
        minimum_interval_seconds=refresh.watch_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING if refresh.automation else dg.DefaultSensorStatus.STOPPED,
        description="Tells Dagster of new, changed and deleted transcripts, once they hold still between two looks. Fails "
        "dead runs, and clears away what nobody needs.\n\n发现新文稿。",
    )
    def new_transcripts(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        reap_dead_runs(context.instance)
        _tidy_up_in_passing(context.instance, settings)
        try:
            seen = look_at_corpus(settings, context.instance, only_settled=True)
        except HcfError as error:
            return dg.SkipReason(f"{error.zh} {error.en}")
        if seen.is_news:
            return dg.SensorResult(asset_events=[seen.observation])
        return dg.SkipReason(_drift(settings) or "no transcript changed")

    keep_up_to_date = dg.AutomationConditionSensorDefinition(
        "keep_up_to_date",
        target=dg.AssetSelection.all(),
        use_user_code_server=True,  # the condition is ours
        minimum_interval_seconds=refresh.watch_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING if refresh.automation else dg.DefaultSensorStatus.STOPPED,
        run_tags={BY: "keep_up_to_date"},
        description="Starts what is stale, wave by wave; training waits for its schedule or for enough new pairs.\n\n自动更新。",
    )
    return nightly_refresh, [new_transcripts, keep_up_to_date]


def _tidy_up_in_passing(instance: dg.DagsterInstance, settings: Settings) -> None:
    """What old releases leave goes while nothing is being made."""
    if not tidy_up(settings, dry_run=True).gone:
        return
    try:
        with store_of(settings).lock():
            if not instance.get_run_ids(dg.RunsFilter(statuses=list(UNDER_WAY)), limit=1):
                tidy_up(settings)
    except HomeBusy:
        return


def _drift(settings: Settings) -> str | None:
    """Settings that changed since these definitions were loaded: run workers read the new ones, Dagster shows the old."""
    try:
        now = load_settings(settings.config, profile=settings.sections.profile, home=settings.home)
    except HcfError as error:
        return f"{error.zh} {error.en}"
    if now.sections == settings.sections:
        return None
    return "hcf.toml 变了，请在界面里点 Reload definitions。hcf.toml changed: press Reload definitions."


def _refuse_bad_cron(settings: Settings) -> None:
    refresh = settings.sections.refresh
    for key, cron in (("cron", refresh.cron), ("train_cron", refresh.train_cron)):
        if cron and not is_cron(cron):
            raise SettingsError(
                zh=f'[refresh] {key} = {cron!r} 不是有效的 cron 表达式；例如 "0 4 * * *"。',
                en=f'[refresh] {key} = {cron!r} is no valid cron expression; such as "0 4 * * *".',
            )
