"""Our stale set, from recipes alone, is the one that Dagster's UI shows: checked on real runs of a small graph."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver
from dagster._core.loader import LoadingContextForTest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hcf_pipeline.defs.dagster_private import lineage_of, nodes_defined
from hcf_pipeline.defs.staleness import asset_states
from hcf_pipeline_tests.defs.small_graph import PARENTS, Small, small_graph

Change = Callable[[Small], object]


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Small]:
    with small_graph(tmp_path) as small:
        yield small


def dagsters(small: Small) -> dict[str, str]:
    """What the UI says of each asset."""
    graph = small.defs().resolve_asset_graph()
    resolver = CachingStaleStatusResolver(small.instance, graph, LoadingContextForTest(small.instance))
    return {name: resolver.get_status(dg.AssetKey(name)).value.lower() for name in PARENTS}


def ours(small: Small) -> dict[str, str]:
    return {name: state.state for name, state in small.states().items() if name in PARENTS}


def stale(small: Small) -> set[str]:
    """Those that are not fresh, on which the two agree."""
    assert ours(small) == dagsters(small)
    return {name for name, state in ours(small).items() if state != "fresh"}


def set_to(name: str, value: int) -> Change:
    return lambda small: small.settings.update({name: value})


def bump(name: str) -> Change:
    return lambda small: small.revisions.update({name: small.revisions[name] + 1})


def see(version: str) -> Change:
    return lambda small: small.see(version)


def run(*names: str) -> Change:
    return lambda small: small.run(*names)


def failing(*names: str) -> Change:
    def change(small: Small) -> None:
        small.failing = set(names)

    return change


def cut(name: str, parent: str) -> Change:
    """The asset reads one input less, or again."""

    def change(small: Small) -> None:
        deps = small.parents[name]
        small.parents[name] = [one for one in deps if one != parent] if parent in deps else [*deps, parent]

    return change


def lose_recipes(small: Small) -> None:
    for recipes in small.store.home.glob("*/recipes"):
        shutil.rmtree(recipes)


def damage_books(small: Small) -> None:
    for file in [*small.store.home.glob("*/recipes/*.json"), *small.store.home.glob("*/current")]:
        file.write_bytes(b"\x00")


def lose_versions(small: Small) -> None:
    for manifest in list(small.store.home.glob("*/*/manifest.json")):
        if manifest.parent.parent.name != "raw":
            shutil.rmtree(manifest.parent)


MADE = [see("v1"), run(*PARENTS)]
CASES: dict[str, tuple[list[Change], set[str]]] = {
    "nothing was ever made": ([], set(PARENTS)),
    "seen, not made": ([see("v1")], set(PARENTS)),
    "all is made": (MADE, set()),
    "one was made, the others never": ([see("v1"), run("left")], {"right", "both", "last"}),
    "another corpus": ([*MADE, see("v2")], {"left", "right"}),
    "another corpus and back": ([*MADE, see("v2"), see("v1")], set()),
    "seen again, the same": ([*MADE, see("v1")], set()),
    "another corpus, one of two made": ([*MADE, see("v2"), run("left")], {"right", "both"}),
    "another setting": ([*MADE, set_to("left", 7)], {"left"}),
    "another setting and back": ([*MADE, set_to("left", 7), set_to("left", 1)], set()),
    "a setting that came to something": ([*MADE, set_to("left", 7), run("left")], {"both"}),
    "a setting that came to nothing": ([*MADE, set_to("left", 0), run("left")], set()),
    "a setting made and set back": ([*MADE, set_to("left", 7), run("left"), set_to("left", 1)], {"left", "both"}),
    "set back and made again": ([*MADE, set_to("left", 7), run("left"), set_to("left", 1), run("left")], set()),
    "the code has another revision": ([*MADE, bump("both")], {"both"}),
    "a step failed": ([*MADE, bump("left"), failing("left"), run("left")], {"left"}),
    "a step failed and then did not": (
        [*MADE, bump("left"), failing("left"), run("left"), failing(), run("left")],
        {"both"},
    ),
    "a first run failed in the middle": ([see("v1"), failing("both"), run(*PARENTS)], {"both", "last"}),
    "an input less": ([*MADE, cut("both", "right")], {"both"}),
    "an input less and again": ([*MADE, cut("both", "right"), cut("both", "right")], set()),
    "an input more": ([*MADE, cut("last", "left")], {"last"}),
    "the store lost its recipes": ([*MADE, lose_recipes], set()),
    "lost recipes and another setting": ([*MADE, lose_recipes, set_to("right", 9)], {"right"}),
    "damaged books": ([*MADE, damage_books], set()),
    "damaged books and another corpus": ([*MADE, damage_books, see("v2")], {"left", "right"}),
}


def test_what_the_store_lost_is_stale_though_dagster_cannot_know(small: Small) -> None:
    for change in [*MADE, lose_versions]:
        change(small)
    states = asset_states(nodes_defined(small.defs()), small.instance, small.store)
    lost = [state for state in states.values() if not state.observed_only]
    assert lost and all(state.state == "stale" and not state.is_whole for state in lost)


@pytest.mark.parametrize("case", CASES)
def test_what_is_stale_is_what_dagster_says(small: Small, case: str) -> None:
    changes, expected = CASES[case]
    for change in changes:
        change(small)
        stale(small)
    assert stale(small) == expected


ANYTHING = st.one_of(
    st.builds(set_to, st.sampled_from(list(PARENTS)), st.integers(0, 3)),
    st.builds(bump, st.sampled_from(list(PARENTS))),
    st.builds(see, st.sampled_from(["v1", "v2"])),
    st.builds(lambda names: run(*sorted(names)), st.sets(st.sampled_from(list(PARENTS)), min_size=1)),
    st.builds(failing, st.sampled_from(list(PARENTS))),
    st.builds(failing),
    st.builds(cut, st.sampled_from(["both", "last"]), st.just("left")),
    st.sampled_from([lose_recipes, damage_books]),
)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ANYTHING, max_size=5))
def test_whatever_happens_the_two_agree(changes: list[Change]) -> None:
    with tempfile.TemporaryDirectory() as folder, small_graph(Path(folder)) as small:
        for change in [*MADE, *changes]:
            change(small)
        assert ours(small) == dagsters(small)


def test_what_a_person_reported_by_hand_is_made_by_us_all_the_same(small: Small) -> None:
    """Such a record carries no version, and names no file of ours."""
    small.see("v1")
    small.instance.report_runless_asset_event(dg.AssetMaterialization("left"))
    assert ours(small)["left"] == "missing"


def test_the_reasons_are_told_though_the_store_lost_its_recipes(small: Small) -> None:
    for change in [*MADE, lose_recipes, set_to("left", 9), see("v2"), run("right"), cut("last", "left")]:
        change(small)
    why = {name: [one.en for one in state.why] for name, state in small.states().items() if state.state == "stale"}
    assert why == {
        "left": ["its settings or code changed", "raw has a new version"],
        "both": ["right has a new version"],
        "last": ["left has a new version"],
    }


def test_the_versions_that_a_step_opens_are_those_of_its_lineage(small: Small) -> None:
    """What moves while a step waits for its turn is not taken for what it was made from."""
    small.see("v1")
    real = small.store.making

    def and_the_corpus_moves(*given: object) -> object:
        small.see("v2")
        return real(*given)

    small.store.making = and_the_corpus_moves  # type: ignore[method-assign, assignment]
    small.run("left")
    made = lineage_of(small.instance, "left")
    left = small.store.current("left")
    assert made and left and made.inputs == dict(left.inputs) == {"raw": "v1"}
    assert "left" in stale(small)
