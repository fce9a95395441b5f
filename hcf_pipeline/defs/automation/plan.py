"""What to run now, what waits, and what a gate holds back: the one rule for `hcf refresh`, the automation and `hcf status`.

Staleness is not transitive: a child turns stale when its parent has rerun with another result. So assets run in
waves, the stale ones whose inputs are settled, and what an unchanged result cuts off never runs. An asset that waits
by policy counts as settled: it does not hold back the others.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from hcf_pipeline.asset_names import BASE_MODEL, LORA_ADAPTER, OPTIONAL_INPUTS, SFT_DATASET
from hcf_pipeline.defs.staleness import AssetState

TRAINING = (BASE_MODEL, SFT_DATASET, LORA_ADAPTER)


@dataclass(frozen=True)
class Plan:
    wave: tuple[str, ...]  # to run now, in topological order
    waiting: tuple[str, ...]  # stale, and left so by policy
    blocked: tuple[str, ...]  # after a gate that failed, or after what can't be built while something waits


def make_plan(
    states: Mapping[str, AssetState], deferred: Collection[str] = (), failed_gates: Collection[str] = ()
) -> Plan:
    """`states` in topological order; `deferred` names assets that policy leaves as they are, `failed_gates` those whose
    gate failed.

    What was never built has to run in any case, so it goes along in the wave of its last unsettled input; what is merely
    stale waits for its inputs, whose outputs may turn out the same. What can do without an input goes on without it, where
    that was never built and now won't be.
    """
    wave: list[str] = []
    waiting: list[str] = []
    blocked: list[str] = []
    unsettled: set[str] = set()
    closed = set(failed_gates)  # nothing stale is made from these
    for name, asset in states.items():
        pending = asset.parents & unsettled
        if asset.observed_only or (asset.state == "fresh" and not pending):
            continue
        optional = OPTIONAL_INPUTS.get(name, frozenset())
        spared = {parent for parent in asset.parents & optional if states[parent].state == "missing"}
        if (asset.parents - spared) & closed and asset.state != "fresh":
            blocked.append(name)
            closed.add(name)
        elif name in deferred:
            waiting.append(name)
            if asset.state == "missing" or not asset.is_whole:
                closed.add(name)
        else:
            unsettled.add(name)
            if (not pending and asset.state != "fresh") or (asset.state == "missing" and pending <= set(wave)):
                wave.append(name)
    return Plan(tuple(wave), tuple(waiting), tuple(blocked))
