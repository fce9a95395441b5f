"""A rollback shows in Dagster too: as an observation of `release`, which makes nothing stale."""

from __future__ import annotations

import dagster as dg

from hcf_pipeline.asset_names import RELEASE
from hcf_pipeline.defs.home import dagster_instance
from hcf_pipeline.settings import Settings


def record_rollback(settings: Settings, before: str, after: str) -> None:
    with dagster_instance(settings) as instance:
        words = f"回退：由 {after} 接替 {before} 服务 | rolled back: {after} serves in place of {before}"
        record_serving(instance, after, words)


def record_serving(instance: dg.DagsterInstance, release: str, why: str) -> None:
    """Notes that another release serves than the one published last."""
    instance.report_runless_asset_event(dg.AssetObservation(RELEASE, metadata={"why": why, "serves": release}))
