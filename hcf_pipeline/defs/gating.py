"""The gates that hold something back now: only those are judged whose asset something stale would be made from."""

from __future__ import annotations

from collections.abc import Mapping

from hcf_pipeline.defs.publishing import store_of
from hcf_pipeline.defs.staleness import AssetState
from hcf_pipeline.gates import GATES, Gate, Verdict, judge
from hcf_pipeline.settings import Settings


def failed_gates(settings: Settings, states: Mapping[str, AssetState]) -> dict[Gate, Verdict]:
    """Gate -> verdict, of those that did not pass."""
    store = store_of(settings)
    read = {parent for state in states.values() if state.state != "fresh" for parent in state.parents}
    failed: dict[Gate, Verdict] = {}
    for gate in GATES:
        version = states[gate.asset].version
        if gate.asset in read and states[gate.asset].state == "fresh" and version in store.versions(gate.asset):
            verdict = judge(gate, store.open(gate.asset, version), store, settings)
            if not verdict.passed:
                failed[gate] = verdict
    return failed
