"""Which assets run now: a small graph, drawn as `child <- parents`."""

from __future__ import annotations

from dataclasses import replace

from hcf_pipeline.defs.automation.plan import Plan, make_plan
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


def with_an_optional_adapter(**given: State) -> dict[str, AssetState]:
    """The release can do without this one, see asset_names."""
    named = {name.replace("adapter", "lora_adapter"): state for name, state in states(**given).items()}
    return {
        name: replace(state, name=name, parents=frozenset(p.replace("adapter", "lora_adapter") for p in state.parents))
        for name, state in named.items()
    }


def test_a_release_does_without_an_adapter_that_was_never_built_and_will_not_be_now() -> None:
    """Before, whoever wanted search alone (--no-train) got an index and no release."""
    never = with_an_optional_adapter(samples="missing", adapter="missing", release="missing", index="stale")
    assert make_plan(never, {"samples", "lora_adapter"}).wave == ("index", "release")


def test_a_release_waits_for_an_adapter_that_is_being_built_for_the_first_time() -> None:
    building = with_an_optional_adapter(samples="stale", adapter="missing", release="missing")
    assert make_plan(building).wave == ("samples", "lora_adapter", "release")
    assert make_plan(with_an_optional_adapter(adapter="missing", release="missing")).wave == ("lora_adapter", "release")


def test_a_release_is_not_made_with_an_adapter_that_is_damaged_and_waits() -> None:
    waiting = with_an_optional_adapter(adapter="stale", release="stale")
    waiting["lora_adapter"] = replace(waiting["lora_adapter"], is_whole=False)
    assert make_plan(waiting, {"lora_adapter"}).wave == ()
