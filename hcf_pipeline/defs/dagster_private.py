"""All that this package uses of Dagster beyond what its documentation promises: every import from `dagster._*`, every
undocumented method, and the tags by which Dagster keeps what an asset was made from.

dagster is pinned below its next minor version for this. `hcf_pipeline_tests/defs/test_dagster_private.py` holds each of
these to what is expected of it: after an upgrade it says what to look at.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import dagster as dg
from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetGraph
from dagster._utils.schedules import is_valid_cron_schedule, reverse_cron_string_iterator

from hcf_pipeline.defs.asset_keys import key_of, name_of

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

    AssetJob: TypeAlias = UnresolvedAssetJobDefinition

DATA_VERSION = "dagster/data_version"  # tags of materializations; the first one of observations too
CODE_VERSION = "dagster/code_version"
INPUT_VERSION = "dagster/input_data_version/"  # and the key of the input
NEVER_SEEN = "INITIAL"  # the input version that is recorded of a source that was never observed


@contextmanager
def beta_is_meant() -> Iterator[None]:
    """What is beta or in preview is used knowingly here; Dagster's warnings of anybody else's use stay."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        warnings.simplefilter("ignore", dg.PreviewWarning)
        yield


@dataclass(frozen=True)
class Node:
    """An asset as it is defined, in its place in the graph."""

    name: str
    parents: frozenset[str]
    code_version: str | None
    metadata: Mapping[str, Any]
    observed_only: bool  # a source: looked at, never run


def nodes_of(graph: BaseAssetGraph[Any]) -> tuple[Node, ...]:
    """The assets in topological order."""
    found: list[Node] = []
    for key in graph.toposorted_asset_keys:
        node = graph.get(key)
        parents = frozenset(map(name_of, node.parent_keys))
        found.append(Node(name_of(key), parents, node.code_version, node.metadata, not node.is_materializable))
    return tuple(found)


def nodes_defined(defs: dg.Definitions) -> tuple[Node, ...]:
    return nodes_of(defs.resolve_asset_graph())


def job_of_all_assets(defs: dg.Definitions) -> dg.JobDefinition:
    """The job that the UI's "Materialize" runs; it takes any selection of assets."""
    return defs.resolve_implicit_global_asset_job_def()


@dataclass(frozen=True)
class Lineage:
    """What Dagster recorded of an asset's last materialization; its staleness in the UI is this against now."""

    version: str | None
    code_version: str | None
    inputs: Mapping[str, str]  # asset -> version
    metadata: Mapping[str, dg.MetadataValue]


def lineage_of(instance: dg.DagsterInstance, asset: str) -> Lineage | None:
    """None where the asset was never materialized."""
    event = instance.get_latest_materialization_event(key_of(asset))
    made = event.asset_materialization if event else None
    if made is None:
        return None
    tags = made.tags or {}
    inputs = {
        name_of(dg.AssetKey.from_user_string(tag.removeprefix(INPUT_VERSION))): version
        for tag, version in tags.items()
        if tag.startswith(INPUT_VERSION)
    }
    return Lineage(tags.get(DATA_VERSION), tags.get(CODE_VERSION), inputs, made.metadata)


def recorded_inputs(context: dg.AssetExecutionContext) -> dict[str, str | None]:
    """The versions of a step's inputs that its lineage will record: those of the moment in which it began."""
    found = context.get_step_execution_context().input_asset_records or {}
    return {
        name_of(key): str(info.data_version.value) if info and info.data_version else None
        for key, info in found.items()
    }


def look_up_inputs_again(context: dg.AssetExecutionContext) -> None:
    """Makes the step's lineage record its inputs as they are now; for a step that itself has something observed."""
    context.get_step_execution_context().fetch_external_input_asset_version_info()


def runs_in_this_process(context: dg.AssetExecutionContext) -> bool:
    """Whether the whole run is executed by this process; other executors give each step one of its own."""
    return "in_process" in context.job_def.executor_def.name


def tag_run(instance: dg.DagsterInstance, run_id: str, tags: Mapping[str, str]) -> None:
    instance.add_run_tags(run_id, dict(tags))


def fail_run(instance: dg.DagsterInstance, run: dg.DagsterRun, words: str) -> None:
    """Ends a run that nobody executes any more."""
    instance.report_run_failed(run, words)


def free_pool_slots(instance: dg.DagsterInstance, run_id: str) -> None:
    """A killed run keeps its slots in the pools until somebody frees them."""
    instance.event_log_storage.free_concurrency_slots_for_run(run_id)


def listen(instance: dg.DagsterInstance, run_id: str, listener: Callable[[dg.EventLogEntry], None]) -> None:
    """Hears each event of a run of this process as it is written."""
    instance.add_event_listener(run_id, listener)


def failed_steps(instance: dg.DagsterInstance, run_id: str) -> Sequence[dg.EventLogEntry]:
    """The failures of a run's steps; what was killed has none."""
    return instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_FAILURE)


def last_check_failed(instance: dg.DagsterInstance, key: dg.AssetCheckKey) -> bool:
    """Whether an asset check that was ever executed failed the last time."""
    last = instance.event_log_storage.get_latest_asset_check_execution_by_key([key]).get(key)
    return last is not None and last.status.name == "FAILED"


def is_failed_check(error: BaseException) -> bool:
    """Whether a run ended because a blocking check did not pass: the class is not exported."""
    return type(error).__name__ == "DagsterAssetCheckFailedError"


def is_cron(text: str) -> bool:
    return bool(is_valid_cron_schedule(text))


def last_tick(cron: str, zone: str, before: float) -> float:
    """When a schedule in that time zone ticked last, in seconds since 1970."""
    return next(reverse_cron_string_iterator(before, cron, zone)).timestamp()
