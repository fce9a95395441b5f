"""What is stale and why: the state of every asset, as the Dagster UI sees it too.

The resolver is Dagster's own and private; it is used in this one place (dagster is pinned below 1.14 for it).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import dagster as dg
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleCause, StaleCauseCategory
from dagster._core.loader import LoadingContext
from dagster._utils.aiodataloader import BlockingDataLoader, DataLoader

from hcf_pipeline.defs.publishing import latest_version
from hcf_pipeline.errors import Lang

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
class Why:
    """One reason, in words."""

    zh: str
    en: str

    def text(self, lang: Lang) -> str:
        return self.zh if lang == "zh" else self.en


@dataclass(frozen=True)
class AssetState:
    name: str
    state: State
    why: tuple[Why, ...]
    version: str | None
    parents: frozenset[str]
    observed_only: bool  # a source: looked at, never run


def asset_states(defs: dg.Definitions, instance: dg.DagsterInstance) -> dict[str, AssetState]:
    """The state of every asset, in topological order."""
    graph = defs.resolve_asset_graph()
    resolver = CachingStaleStatusResolver(instance, graph, _Loading(instance))
    states: dict[str, AssetState] = {}
    for key in graph.toposorted_asset_keys:
        name = key.to_user_string()
        node = graph.get(key)
        version = latest_version(instance, name)
        if node.is_materializable:
            state: State = resolver.get_status(key).value.lower()  # type: ignore[assignment]
            causes = resolver.get_stale_causes(key)
        else:
            state, causes = ("missing" if version is None else "fresh"), []
        parents = frozenset(parent.to_user_string() for parent in node.parent_keys)
        states[name] = AssetState(name, state, _why(state, causes), version, parents, not node.is_materializable)
    return states


def next_wave(states: Mapping[str, AssetState]) -> list[str]:
    """The assets to run now, in topological order: stale ones whose inputs are settled.

    What was never built has to run in any case, so it goes along as soon as all of its unsettled inputs do; what is
    merely stale waits for its inputs, whose outputs may turn out the same.
    """
    wave: list[str] = []
    unsettled: set[str] = set()
    for name, asset in states.items():
        waiting = asset.parents & unsettled
        if asset.observed_only or (asset.state == "fresh" and not waiting):
            continue
        unsettled.add(name)
        if (not waiting and asset.state != "fresh") or (asset.state == "missing" and waiting <= set(wave)):
            wave.append(name)
    return wave


def _why(state: State, causes: Sequence[StaleCause]) -> tuple[Why, ...]:
    if state == "missing":
        return (Why("还没有生成过", "never built"),)
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
