"""Which assets wait: training starts with enough new pairs, or by its own schedule, and not with every transcript."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from zoneinfo import ZoneInfo

import dagster as dg

from hcf_pipeline.asset_names import BASE_MODEL, HELD_OUT_SPLIT, PARSED_PAIRS, SFT_DATASET
from hcf_pipeline.corpus.fitted import Moved, pairs_between
from hcf_pipeline.corpus.tables import PAIRS
from hcf_pipeline.defs.asset_keys import key_of
from hcf_pipeline.defs.dagster_private import DATA_VERSION, last_tick, lineage_of
from hcf_pipeline.defs.publishing import latest_version
from hcf_pipeline.defs.staleness import AssetState
from hcf_pipeline.defs.why import Why
from hcf_pipeline.errors import HcfError
from hcf_pipeline.settings import RefreshSettings
from hcf_pipeline.store import Store

GATED = (SFT_DATASET, BASE_MODEL)  # what training begins with
FOLLOWS = frozenset({PARSED_PAIRS, HELD_OUT_SPLIT})  # what moves with new pairs


def deferred_assets(
    states: Mapping[str, AssetState], instance: dg.DagsterInstance, store: Store, refresh: RefreshSettings
) -> frozenset[str]:
    """The assets that new pairs alone made stale, as long as these are too few and no training is due by the clock."""
    only_pairs = [
        name
        for name in GATED
        if states[name].state == "stale"
        and states[name].same_code
        and PARSED_PAIRS in states[name].moved_inputs
        and states[name].moved_inputs <= FOLLOWS
    ]
    if not only_pairs or is_due(instance, store, refresh):
        return frozenset()
    return frozenset(only_pairs)


def is_due(instance: dg.DagsterInstance, store: Store, refresh: RefreshSettings) -> bool:
    """Whether enough pairs wait, or `train_cron` ticked since the first of them came. A missed tick counts when seen."""
    moved = pairs_waiting(instance, store)
    if moved is None or (refresh.train_pairs and moved.came + moved.went >= refresh.train_pairs):
        return True
    began = _waiting_since(instance, store)
    return bool(refresh.train_cron and began and _last_tick(refresh) > began and moved.came + moved.went)


def pairs_waiting(instance: dg.DagsterInstance, store: Store) -> Moved | None:
    """The pairs that came and went since the samples were made; None where that can't be told."""
    trained_on, now = _trained_on(instance, store), latest_version(instance, PARSED_PAIRS)
    if trained_on is None or now is None:
        return None
    try:
        return pairs_between(
            store.open(PARSED_PAIRS, trained_on).path / PAIRS, store.open(PARSED_PAIRS, now).path / PAIRS
        )
    except HcfError:
        return None


def deferral(moved: Moved, refresh: RefreshSettings) -> Why:
    """That training waits, for what, and how long."""
    zh = f"{moved.came} 个新问答、{moved.went} 个消失的问答等待训练"
    en = f"{moved.came} new and {moved.went} vanished pairs wait for training"
    starts_zh = [f"满 {refresh.train_pairs} 个"] * bool(refresh.train_pairs) + [f"按 {refresh.train_cron}"] * bool(
        refresh.train_cron
    )
    starts_en = [f"at {refresh.train_pairs}"] * bool(refresh.train_pairs) + [f"by {refresh.train_cron}"] * bool(
        refresh.train_cron
    )
    return Why(
        f"{zh}（自动训练：{'或'.join(starts_zh) or '从不'}）",
        f"{en} (trained by itself {' or '.join(starts_en) or 'never'})",
    )


def _trained_on(instance: dg.DagsterInstance, store: Store) -> str | None:
    made = lineage_of(instance, SFT_DATASET)
    return made.inputs.get(PARSED_PAIRS) if made else None


def _waiting_since(instance: dg.DagsterInstance, store: Store) -> float | None:
    """When the pair table first became another than the one that the samples were made from."""
    trained_on = _trained_on(instance, store)
    began: float | None = None
    for record in instance.fetch_materializations(key_of(PARSED_PAIRS), limit=100).records:
        made = record.asset_materialization
        if made is None or (made.tags or {}).get(DATA_VERSION) == trained_on:
            break
        began = record.timestamp
    return began


def now_in(zone: str) -> datetime.datetime:
    return datetime.datetime.now(ZoneInfo(zone))


clock = now_in


def _last_tick(refresh: RefreshSettings) -> float:
    return last_tick(refresh.train_cron, refresh.timezone, clock(refresh.timezone).timestamp())
