"""What is stale and why: an asset is fresh while the recipe that it was made by is the one that it would be made by now.

The recipe's id stands in Dagster's record of the last materialization, so that the store's books may be lost. Dagster's
UI compares the same code versions and input versions, and a test keeps the two in step.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import dagster as dg

from hcf_pipeline.chat.hold import with_holds
from hcf_pipeline.defs.dagster_private import Lineage, Node, lineage_of
from hcf_pipeline.defs.publishing import latest_version, recipe_now, recipe_of
from hcf_pipeline.defs.why import NEVER_BUILT, Why, why_stale
from hcf_pipeline.store import Recipe, Store

State = Literal["fresh", "stale", "missing", "off"]  # off: not wanted by the settings, whatever it is


@dataclass(frozen=True)
class AssetState:
    name: str
    state: State
    why: tuple[Why, ...]
    version: str | None
    parents: frozenset[str]
    observed_only: bool  # a source: looked at, never run
    made_by: Recipe | None  # the recipe of its last materialization; None too where the store forgot it
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


def asset_states(nodes: Sequence[Node], instance: dg.DagsterInstance, store: Store) -> dict[str, AssetState]:
    """The state of every asset, in the topological order of `nodes`."""
    made = {node.name: lineage_of(instance, node.name) for node in nodes}
    versions = {node.name: _version(node, instance, made[node.name]) for node in nodes}
    return {node.name: _state(node, made[node.name], versions, store) for node in nodes}


def _version(node: Node, instance: dg.DagsterInstance, made: Lineage | None) -> str | None:
    if node.observed_only:
        return latest_version(instance, node.name)
    return made.version if made else None


def _state(node: Node, made: Lineage | None, versions: dict[str, str | None], store: Store) -> AssetState:
    version = versions[node.name]
    latest = {name: found for name in node.parents if (found := versions[name]) is not None}
    now = recipe_now(node, with_holds(store, node.name, latest))
    recipe = recipe_of(made) if made else None
    followed = store.follow(node.name, recipe) if recipe else None
    before = followed.recipe if followed else None
    state: State = "fresh"
    why: tuple[Why, ...] = ()
    if version is None:
        state, why = "missing", () if node.observed_only else (NEVER_BUILT,)
    elif made and not node.observed_only and recipe != now.id:
        state, why = "stale", why_stale(store, before, now) if before else tuple(_by_lineage(made, now))
    damage = store.known_damage(node.name, version) if version and not node.observed_only else None
    if damage:  # a step met it, or an answer did
        state, why = "stale", (Why(damage.zh, damage.en), *why)
    return AssetState(
        node.name, state, why, version, node.parents, node.observed_only, before, now, is_whole=not damage
    )


def _by_lineage(made: Lineage, now: Recipe) -> Iterator[Why]:
    """What Dagster's own record tells, where the store no longer knows the recipe."""
    if made.code_version != now.code_version:
        yield Why("它的设置或代码变了", "its settings or code changed")
    for name in sorted(made.inputs.keys() | now.inputs.keys()):
        if made.inputs.get(name) != now.inputs.get(name):
            yield Why(f"{name} 有了新版本", f"{name} has a new version")
