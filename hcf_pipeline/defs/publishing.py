"""How every asset is made: open the inputs by the versions that Dagster recorded, reuse what the same recipe gave
before, else build aside and publish; report the content's hash as the data version, and why it was made.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import dagster as dg
import pyarrow as pa

from hcf_pipeline.asset_names import OPTIONAL_INPUTS
from hcf_pipeline.chat.hold import with_holds
from hcf_pipeline.defs.asset_keys import key_of, name_of
from hcf_pipeline.defs.automation.liveness import is_under_way, mark
from hcf_pipeline.defs.dagster_private import DATA_VERSION, Lineage, lineage_of, recorded_inputs, tag_run
from hcf_pipeline.defs.why import both_languages, why_stale
from hcf_pipeline.errors import ArtifactError, HcfError, InputDamaged, NotReady, RunFailed
from hcf_pipeline.settings import Settings
from hcf_pipeline.store import ONCE, Artifact, Built, Lease, Markdown, Metadata, Recipe, Store
from hcf_pipeline.store.disk import raise_disk_errors

RECIPE = "recipe"  # metadata of a materialization: the id under which the store keeps it
SETTINGS = "settings"  # metadata of a definition: the settings that the asset reads
WHY = "why"  # metadata of a materialization
REFIT = "hcf/refit"  # run tag: build embedded models anew, whatever their policy says
WHY_TAG = "hcf/why"  # run tag
ROWS = "rows"  # metadata key that becomes Dagster's row count
PROGRESS_S = 2.0
RETRY_AFTER_S = (5, 30)  # where the network or the Hub failed
OWNERS = ["team:hcf-pipeline"]


class Progress:
    def __init__(self, context: dg.AssetExecutionContext, what: str) -> None:
        self._context = context
        self._what = what
        self._last = time.monotonic()

    def __call__(self, done: int, total: int, note: str = "") -> None:
        if time.monotonic() - self._last >= PROGRESS_S:
            self._last = time.monotonic()
            self._context.log.info(f"[{done}/{total}] {' '.join(filter(None, (self._what, note)))}")


@dataclass(frozen=True)
class Step:
    """One asset being made in a run."""

    context: dg.AssetExecutionContext
    store: Store
    notes: dict[str, int | str] = field(default_factory=dict)  # of this making, into the metadata of this run's event
    leases: list[Lease] = field(default_factory=list)  # on what this step reads, until it was made

    @property
    def name(self) -> str:
        return name_of(self.context.asset_key)

    @property
    def refit(self) -> bool:
        return self.context.run.tags.get(REFIT) == "true"

    def input(self, asset: str) -> Artifact:
        """An input in the version that this run's lineage records, or that a hold keeps to.

        It stays where it is while the step works, and was read and found whole. Raises InputDamaged where it is not.
        """
        versions = self._input_versions()
        if asset not in versions:
            raise _never_built(asset)
        return self._opened(asset, versions[asset])

    def made_from(self, artifact: Artifact, path: Sequence[str]) -> Artifact:
        """What an input was made from, following `path` asset by asset; as whole, and as safe, as an input."""
        for asset in path:
            artifact = self._opened(asset, artifact.inputs[asset])
        return artifact

    def _input_versions(self) -> dict[str, str]:
        recorded = recorded_inputs(self.context)
        taken = with_holds(self.store, self.name, {name: version for name, version in recorded.items() if version})
        for name in sorted(recorded):
            if name not in taken and name not in OPTIONAL_INPUTS.get(self.name, ()):
                raise _never_built(name)
        return dict(sorted(taken.items()))

    def _opened(self, asset: str, version: str) -> Artifact:
        try:
            lease = self.store.lease(asset, version)
            self.leases.append(lease)
            self.store.verify(lease.artifact, max_age_s=ONCE)
        except (ArtifactError, NotReady) as error:
            raise InputDamaged(zh=error.zh, en=error.en) from error
        return lease.artifact

    def progress(self, what: str) -> Progress:
        """Writes `[done/total] what` into the run's log now and then."""
        return Progress(self.context, what)

    def recipe(self) -> Recipe:
        """What this run makes the asset by; the same after a crash, and when settings are set back."""
        return recipe_now(self.context.assets_def.get_asset_spec(self.context.asset_key), self._input_versions())

    def publish(
        self,
        build: Callable[[Mapping[str, Artifact], Path], Built],
        *,
        reuse: bool = True,
        admit: Callable[[Mapping[str, Artifact]], None] = lambda inputs: None,
    ) -> dg.MaterializeResult[None]:
        """`admit` is asked of the inputs before anything is published, also what was made before; it raises to refuse."""
        with self._making():
            recipe = self.recipe()
            inputs = {name: self._opened(name, version) for name, version in recipe.inputs.items()}
            admit(inputs)
            kept = self.store.find(self.name, recipe) if reuse else None
            if kept:
                self.context.log.info(f"{self.name}: the same recipe gave {kept.version} before; published again")
                self._may_publish()
                return self._result(self.store.promote(self.name, kept.version, recipe), recipe)
            made = self.store.publish(
                self.name,
                lambda folder: build(inputs, folder),
                recipe,
                like=self.previous(),
                may_publish=self._may_publish,
            )
            return self._result(made, recipe)

    def keep(self, artifact: Artifact, reason: str) -> dg.MaterializeResult[None]:
        """Publishes a version again under this run's recipe: its policy says that it still serves."""
        with self._making():
            recipe = self.recipe()
            self.notes["kept"] = reason
            return self._result(self.store.promote(self.name, artifact.version, recipe), recipe)

    def previous(self) -> Artifact | None:
        """The intact version that the same code and settings gave last, from whatever inputs."""
        code_version = recipe_now(self.context.assets_def.get_asset_spec(self.context.asset_key), {}).code_version
        for followed in self.store.followed(self.name):
            if followed.recipe.code_version == code_version:
                try:
                    return self._opened(self.name, followed.version)
                except InputDamaged:
                    continue
        return None

    @contextmanager
    def _making(self) -> Iterator[None]:
        """One process makes an asset at a time; what the network spoilt is tried again, a full disk is told in words."""
        instance, run = self.context.instance, self.context.run
        mark(self.context)
        making = self.store.making(self.name, run.run_id, lambda owner: not is_under_way(instance, owner))
        try:
            with raise_disk_errors(self.store.home), making, self.store.writing(self.name):
                yield
        except HcfError as error:
            if error.transient and self.context.retry_number < len(RETRY_AFTER_S):
                self.context.log.warning(f"{error.en} Trying again.")
                raise dg.RetryRequested(len(RETRY_AFTER_S), RETRY_AFTER_S[self.context.retry_number]) from error
            raise
        finally:
            for lease in self.leases:
                lease.release()

    def _may_publish(self) -> None:
        """Raises RunFailed where the run was ended meanwhile: its step has become an orphan."""
        if not is_under_way(self.context.instance, self.context.run.run_id):
            raise RunFailed(
                zh=f"运行 {self.context.run.run_id[:8]} 已被终止，它做出的 {self.name} 不再发布；请运行 hcf refresh。",
                en=f"Run {self.context.run.run_id[:8]} was ended meanwhile, so its {self.name} is not published; run hcf refresh.",
            )

    def _result(self, artifact: Artifact, recipe: Recipe) -> dg.MaterializeResult[None]:
        before = made_by(self.store, self.context.instance, self.name)
        why = both_languages(why_stale(self.store, before, recipe)) if before != recipe else "nothing changed"
        if WHY_TAG not in self.context.run.tags:
            tag_run(self.context.instance, self.context.run.run_id, {WHY_TAG: f"{self.name}: {why}"[:500]})
        metadata = {**dagster_metadata(artifact.metadata), **self.notes, WHY: why, RECIPE: recipe.id}
        metadata |= {"version": artifact.version, "size_mb": round(artifact.size / 1e6, 3)}
        return dg.MaterializeResult(metadata=metadata, data_version=dg.DataVersion(artifact.version))


def _never_built(asset: str) -> NotReady:
    return NotReady(
        zh=f"{asset} 还没有生成；请先生成它，或运行 hcf refresh。",
        en=f"{asset} was never built; build it first, or run hcf refresh.",
    )


class Defined(Protocol):
    """An asset as the definitions or the graph know it."""

    @property
    def code_version(self) -> str | None: ...
    @property
    def metadata(self) -> Mapping[str, Any]: ...


def recipe_now(asset: Defined, inputs: Mapping[str, str]) -> Recipe:
    """The recipe of an asset as it is defined, from these versions of its inputs."""
    revision = int(str(asset.code_version).partition("+")[0])
    settings = asset.metadata.get(SETTINGS, {})
    return Recipe(revision, getattr(settings, "value", settings), inputs)


def made_by(store: Store, instance: dg.DagsterInstance, asset: str) -> Recipe | None:
    """The recipe of an asset's last materialization; None where there is none, or where the store forgot it."""
    recipe = recipe_followed(instance, asset)
    followed = store.follow(asset, recipe) if recipe else None
    return followed.recipe if followed else None


def recipe_followed(instance: dg.DagsterInstance, asset: str) -> str | None:
    """The id of the recipe of an asset's last materialization, or None."""
    made = lineage_of(instance, asset)
    return recipe_of(made) if made else None


def recipe_of(made: Lineage) -> str | None:
    """The id of the recipe that a materialization followed; None where it was reported by hand."""
    recipe = made.metadata.get(RECIPE)
    return str(recipe.value) if recipe else None


def latest_version(instance: dg.DagsterInstance, asset: str) -> str | None:
    """The data version of an asset's last materialization, or of its last observation; None without either."""
    if made := lineage_of(instance, asset):
        return made.version
    for record in instance.fetch_observations(key_of(asset), limit=1).records:
        observation = record.event_log_entry.asset_observation
        return observation.tags.get(DATA_VERSION) if observation else None
    return None


def dagster_metadata(metadata: Metadata) -> dict[str, dg.MetadataValue | int | float | str]:
    shown: dict[str, dg.MetadataValue | int | float | str] = {}
    for key, value in metadata.items():
        if isinstance(value, Markdown):
            shown[key] = dg.MetadataValue.md(str(value))
        else:
            shown["dagster/row_count" if key == ROWS else key] = value
    return shown


def columns(schema: pa.Schema, **meanings: str) -> dict[str, dg.TableSchema]:
    """Metadata of a table's definition: its columns, with what each means."""
    table = dg.TableSchema([dg.TableColumn(f.name, str(f.type), description=meanings.get(f.name)) for f in schema])
    return {"dagster/column_schema": table}


@lru_cache(maxsize=8)
def _store(home: Path) -> Store:
    return Store(home)


def store_of(settings: Settings) -> Store:
    """The store of a home, the same for all in this process."""
    return _store(settings.home)
