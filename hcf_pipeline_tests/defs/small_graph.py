"""A pipeline of four small assets over one source, made as the real ones are: each run takes a tenth of a second.

raw ── left ──┐
  └─── right ─┴── both ── last
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg

from hcf_pipeline.defs.asset_keys import key_of
from hcf_pipeline.defs.dagster_private import DATA_VERSION, job_of_all_assets, nodes_defined
from hcf_pipeline.defs.publishing import SETTINGS, Step
from hcf_pipeline.defs.staleness import AssetState, asset_states
from hcf_pipeline.store import Artifact, Built, Recipe, Store

PARENTS = {"left": ["raw"], "right": ["raw"], "both": ["left", "right"], "last": ["both"]}


@dataclass
class Small:
    """The pipeline with its knobs: what is in the corpus, what is set, what the code does."""

    instance: dg.DagsterInstance
    store: Store
    settings: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PARENTS, 1))
    revisions: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PARENTS, 1))
    parents: dict[str, list[str]] = field(default_factory=lambda: {k: list(v) for k, v in PARENTS.items()})
    failing: set[str] = field(default_factory=set)

    def recipe(self, name: str) -> Recipe:
        return Recipe(self.revisions[name], {f"{name}.setting": self.settings[name]})

    def defs(self) -> dg.Definitions:
        return dg.Definitions(assets=[_raw(), *map(self._asset, PARENTS)], executor=dg.in_process_executor)

    def _asset(self, name: str) -> dg.AssetsDefinition:
        recipe = self.recipe(name)

        @dg.asset(
            name=name,
            deps=self.parents[name],
            code_version=recipe.code_version,
            metadata={SETTINGS: dict(recipe.settings)},
        )
        def made(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
            def build(inputs: Mapping[str, Artifact], folder: Path) -> Built:
                if name in self.failing:
                    raise ValueError("as it was told to")
                # what the settings come to by halves, so that a change may come to nothing
                text = f"{[one.version for one in inputs.values()]} {self.settings[name] // 2} {self.revisions[name]}"
                (folder / "text").write_text(text, encoding="utf-8")
                return Built({})

            return Step(context, self.store).publish(build)

        return made

    def see(self, version: str) -> None:
        """The source, looked at."""

        def build(folder: Path) -> Built:
            (folder / "text").write_text(version, encoding="utf-8")
            return Built({}, version)

        self.store.publish("raw", build, Recipe(1, {"v": version}))
        self.instance.report_runless_asset_event(dg.AssetObservation("raw", tags={DATA_VERSION: version}))

    def run(self, *names: str) -> bool:
        keys = [key_of(name) for name in names]
        job = job_of_all_assets(self.defs())
        return job.execute_in_process(instance=self.instance, asset_selection=keys, raise_on_error=False).success

    def states(self) -> dict[str, AssetState]:
        return asset_states(nodes_defined(self.defs()), self.instance, self.store)


def _raw() -> dg.AssetsDefinition:
    @dg.multi_observable_source_asset(name="look", specs=[dg.AssetSpec("raw", code_version=Recipe(1).code_version)])
    def raw() -> Iterator[dg.ObserveResult]:
        yield dg.ObserveResult(asset_key="raw", data_version=dg.DataVersion("unused"))

    made: dg.AssetsDefinition = raw
    return made


@contextmanager
def small_graph(folder: Path) -> Iterator[Small]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Small(instance, Store(folder))
