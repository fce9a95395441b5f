"""Which assets run now: a small graph, drawn as `child <- parents`."""

from __future__ import annotations

from dataclasses import replace

from hcf_pipeline.defs.plan import Plan, make_plan
from hcf_pipeline.defs.staleness import AssetState, State
from hcf_pipeline.store import Recipe

GRAPH = {
    "raw": [],
    "turns": ["raw"],
    "pairs": ["turns"],
    "chunks": ["turns"],
    "samples": ["pairs"],
    "adapter": ["samples"],
    "index": ["chunks"],
    "release": ["adapter", "index"],
}


def states(**given: State) -> dict[str, AssetState]:
    return {
        name: AssetState(name, given.get(name, "fresh"), (), "v", frozenset(parents), name == "raw", None, Recipe(1))
        for name, parents in GRAPH.items()
    }


def test_nothing_stale_runs_nothing() -> None:
    assert make_plan(states()) == Plan((), (), ())


def test_what_is_stale_runs_before_what_is_made_from_it() -> None:
    assert make_plan(states(turns="stale", index="stale", release="stale")).wave == ("turns",)
    assert make_plan(states(pairs="stale", chunks="stale")).wave == ("pairs", "chunks")


def test_what_was_never_built_goes_along_with_its_inputs() -> None:
    assert make_plan(states(**dict.fromkeys(list(GRAPH)[1:], "missing"))).wave == tuple(list(GRAPH)[1:])


def test_what_waits_does_not_hold_back_the_others() -> None:
    plan = make_plan(states(samples="stale", release="stale"), {"samples", "adapter"})
    assert (plan.wave, plan.waiting) == (("release",), ("samples",))
    assert make_plan(states(samples="stale", release="stale")).wave == ("samples",)


def test_what_waits_and_was_never_built_holds_back_what_needs_it() -> None:
    plan = make_plan(states(samples="missing", adapter="missing", release="missing"), {"samples", "adapter"})
    assert plan == Plan((), ("samples",), ("adapter", "release"))


def test_what_waits_and_is_damaged_holds_back_what_needs_it() -> None:
    found = states(adapter="stale", release="stale")
    found["adapter"] = replace(found["adapter"], is_whole=False)
    assert make_plan(found, {"samples", "adapter"}) == Plan((), ("adapter",), ("release",))
    assert make_plan(found).wave == ("adapter",)


def test_nothing_stale_is_made_after_a_gate_that_failed() -> None:
    plan = make_plan(states(pairs="stale", chunks="stale", samples="stale"), failed_gates={"turns"})
    assert plan == Plan((), (), ("pairs", "chunks", "samples"))
    assert make_plan(states(release="stale"), failed_gates={"turns"}).wave == ("release",)
    assert make_plan(states(release="stale"), failed_gates={"adapter"}).blocked == ("release",)
