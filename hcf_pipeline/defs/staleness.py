"""What is stale and why: the state of every asset, as the Dagster UI sees it too.

The resolver is Dagster's own and private; it is used in this one place (dagster is pinned below 1.14 for it).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import dagster as dg
from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetGraph
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleCause, StaleCauseCategory
from dagster._core.loader import LoadingContext
from dagster._utils.aiodataloader import BlockingDataLoader, DataLoader

from hcf_pipeline.defs.publishing import latest_version, made_by, recipe_now
from hcf_pipeline.defs.why import NEVER_BUILT, Why, why_stale
from hcf_pipeline.store import Recipe, Store

State = Literal["fresh", "stale", "missing"]


class _Loading(LoadingContext):
    """Loads events for the resolver, once each."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._instance = instance
        self._loaders: dict[type, tuple[DataLoader[Any, Any], BlockingDataLoader[Any, Any]]] = {}

    @property
    def instance(self) -> dg.DagsterInstance:
        return self._instance

    @property
    def loaders(self) -> dict[type, tuple[DataLoader[Any, Any], BlockingDataLoader[Any, Any]]]:
        return self._loaders


@dataclass(frozen=True)
class AssetState:
    name: str
    state: State
    why: tuple[Why, ...]
    version: str | None
    parents: frozenset[str]
    observed_only: bool  # a source: looked at, never run
    made_by: Recipe | None  # the recipe of its last materialization
    now: Recipe  # the recipe that it would be made by
    is_whole: bool = True  # false where its files were found damaged

    @property
    def moved_inputs(self) -> frozenset[str]:
        """The inputs whose version is no longer the one that it was made from."""
        before = self.made_by.inputs if self.made_by else {}
        return frozenset(
            name for name in before.keys() | self.now.inputs.keys() if before.get(name) != self.now.inputs.get(name)
        )

    @property
    def same_code(self) -> bool:
        return self.made_by is not None and self.made_by.code_version == self.now.code_version


def asset_states(graph: BaseAssetGraph[Any], instance: dg.DagsterInstance, store: Store) -> dict[str, AssetState]:
    """The state of every asset, in topological order."""
    resolver = CachingStaleStatusResolver(instance, graph, _Loading(instance))
    keys = list(graph.toposorted_asset_keys)
    versions = {key: latest_version(instance, key.to_user_string()) for key in keys}
    states: dict[str, AssetState] = {}
    for key in keys:
        name, node = key.to_user_string(), graph.get(key)
        parents = {parent.to_user_string(): versions[parent] for parent in node.parent_keys}
        now = recipe_now(node, {parent: version for parent, version in parents.items() if version is not None})
        before = made_by(store, instance, name) if node.is_materializable else None
        state: State = "missing" if versions[key] is None else "fresh"
        why: tuple[Why, ...] = ()
        if node.is_materializable:
            state = resolver.get_status(key).value.lower()  # type: ignore[assignment]
            if state == "missing":
                why = (NEVER_BUILT,)
            elif state == "stale":
                why = (why_stale(store, before, now) if before else ()) or _dagsters(resolver.get_stale_causes(key))
        version = versions[key]
        damage = store.known_damage(name, version) if node.is_materializable and version else None
        if damage:  # a step met it, or an answer did
            state, why = "stale", (Why(damage.zh, damage.en), *why)
        states[name] = AssetState(
            name, state, why, version, frozenset(parents), not node.is_materializable, before, now, is_whole=not damage
        )
    return states


def _dagsters(causes: Sequence[StaleCause]) -> tuple[Why, ...]:
    """Dagster's own reasons, where the store no longer knows how the asset was made."""
    found: list[Why] = []
    for cause in causes:
        if cause.category == StaleCauseCategory.CODE:
            found.append(Why("它的设置或代码变了", "its settings or code changed"))
        elif cause.dependency is not None:
            name = cause.dependency.asset_key.to_user_string()
            found.append(Why(f"{name} 有了新版本", f"{name} has a new version"))
        else:
            found.append(Why(cause.reason, cause.reason))
    return tuple(dict.fromkeys(found))
