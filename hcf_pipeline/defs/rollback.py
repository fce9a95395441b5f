"""Rollbacks and holds show in Dagster too: as an observation of `release`, which makes nothing stale, and as its check
`nothing_is_held`."""

from __future__ import annotations

import dagster as dg

from hcf_pipeline.asset_names import RELEASE
from hcf_pipeline.chat.hold import Hold, hold_on
from hcf_pipeline.defs.home import dagster_instance
from hcf_pipeline.defs.publishing import store_of
from hcf_pipeline.settings import Settings

NOTHING_HELD = "nothing_is_held"  # asset check


def record_rollback(settings: Settings, before: str, after: str, held: Hold | None) -> None:
    with dagster_instance(settings) as instance:
        words = f"回退：由 {after} 接替 {before} 服务 | rolled back: {after} serves in place of {before}"
        record_serving(instance, after, words)
        _tell(instance, held)


def record_lift(settings: Settings) -> None:
    with dagster_instance(settings) as instance:
        _tell(instance, None)


def record_serving(instance: dg.DagsterInstance, release: str, why: str) -> None:
    """Notes that another release serves than the one published last."""
    instance.report_runless_asset_event(dg.AssetObservation(RELEASE, metadata={"why": why, "serves": release}))


def nothing_is_held(settings: Settings) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=RELEASE,
        name=NOTHING_HELD,
        description="No rollback keeps the newest adapter, index or release back.\n\n没有因回退而扣住的产物。",
    )
    def check() -> dg.AssetCheckResult:
        held = hold_on(store_of(settings))
        return dg.AssetCheckResult(passed=held is None, severity=dg.AssetCheckSeverity.WARN, metadata=_figures(held))

    return check


def _tell(instance: dg.DagsterInstance, held: Hold | None) -> None:
    instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(
            asset_key=dg.AssetKey(RELEASE),
            check_name=NOTHING_HELD,
            passed=held is None,
            severity=dg.AssetCheckSeverity.WARN,
            metadata=_figures(held),
        )
    )


def _figures(held: Hold | None) -> dict[str, str]:
    return dict(held.versions) | {"rejected": held.rejected} if held else {}
