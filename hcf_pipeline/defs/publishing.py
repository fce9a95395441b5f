"""How every asset is made: open the inputs by the versions that Dagster recorded, reuse what the same recipe gave
before, else build aside and publish; report the content's hash as the data version.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pyarrow as pa

from hcf_pipeline.errors import ArtifactError, NotReady
from hcf_pipeline.settings import Settings
from hcf_pipeline.store import Artifact, Built, Markdown, Metadata, Store, recipe_of

DATA_VERSION = "dagster/data_version"
CODE_VERSION = "dagster/code_version"
REFIT = "hcf/refit"  # run tag: build embedded models anew, whatever their policy says
ROWS = "rows"  # metadata key that becomes Dagster's row count
PROGRESS_S = 2.0
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

    @property
    def name(self) -> str:
        name: str = self.context.asset_key.to_user_string()
        return name

    @property
    def code_version(self) -> str:
        return str(self.context.assets_def.code_versions_by_key[self.context.asset_key])

    @property
    def refit(self) -> bool:
        return self.context.run.tags.get(REFIT) == "true"

    def inputs(self) -> dict[str, Artifact]:
        """The inputs by name, each in the version that this run's lineage records."""
        keys = sorted(self.context.assets_def.asset_deps[self.context.asset_key])
        return {key.to_user_string(): self.input(key.to_user_string()) for key in keys}

    def input(self, asset: str) -> Artifact:
        version = latest_version(self.context.instance, asset)
        if version is None:
            raise NotReady(
                zh=f"{asset} 还没有生成；请先生成它，或运行 hcf refresh。",
                en=f"{asset} was never built; build it first, or run hcf refresh.",
            )
        return self.store.open(asset, version)

    def progress(self, what: str) -> Progress:
        """Writes `[done/total] what` into the run's log now and then."""
        return Progress(self.context, what)

    def recipe(self) -> str:
        """Names what this run makes the asset by; the same after a crash, and when settings are set back."""
        return recipe_of(self.code_version, {name: artifact.version for name, artifact in self.inputs().items()})

    def publish(
        self, build: Callable[[Mapping[str, Artifact], Path], Built], *, reuse: bool = True
    ) -> dg.MaterializeResult[None]:
        inputs = self.inputs()
        versions = {name: artifact.version for name, artifact in inputs.items()}
        recipe = self.recipe()
        kept = self.store.find(self.name, recipe) if reuse else None
        if kept:
            self.context.log.info(f"{self.name}: the same recipe gave version {kept.version} before; published again")
            return self.result(self.store.promote(self.name, kept.version, recipe=recipe))
        made = self.store.publish(self.name, lambda folder: build(inputs, folder), recipe=recipe, inputs=versions)
        return self.result(made)

    def keep(self, artifact: Artifact, **notes: str) -> dg.MaterializeResult[None]:
        """Publishes a version again under this run's recipe: its policy says that it still serves."""
        return self.result(self.store.promote(self.name, artifact.version, recipe=self.recipe()), notes)

    def previous(self) -> Artifact | None:
        """The version that this asset has now, if the same code and settings made it and it is whole."""
        event = self.context.instance.get_latest_materialization_event(self.context.asset_key)
        made = event.asset_materialization if event else None
        tags = made.tags if made and made.tags else {}
        if tags.get(CODE_VERSION) != self.code_version or DATA_VERSION not in tags:
            return None
        try:
            artifact = self.store.open(self.name, tags[DATA_VERSION])
            artifact.verify()
        except (ArtifactError, NotReady):
            return None
        return artifact

    def result(self, artifact: Artifact, notes: Mapping[str, str] = {}) -> dg.MaterializeResult[None]:
        metadata = {**dagster_metadata(artifact.metadata), **notes}
        metadata |= {"version": artifact.version, "size_mb": round(artifact.size / 1e6, 3)}
        return dg.MaterializeResult(metadata=metadata, data_version=dg.DataVersion(artifact.version))


def latest_version(instance: dg.DagsterInstance, asset: str) -> str | None:
    """The data version of an asset's last materialization, or of its last observation; None without either."""
    key = dg.AssetKey(asset)
    event = instance.get_latest_materialization_event(key)
    if event and event.asset_materialization:
        return (event.asset_materialization.tags or {}).get(DATA_VERSION)
    for record in instance.fetch_observations(key, limit=1).records:
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
    """Definition metadata: a table's columns, with what each means."""
    described = [dg.TableColumn(f.name, str(f.type), description=meanings.get(f.name)) for f in schema]
    return {"dagster/column_schema": dg.TableSchema(described)}


def code_version(revision: int, *fingerprints: str) -> str:
    """An asset's code version: the hand-kept revision of its logic, and what it reads of the settings."""
    return "+".join([str(revision), *fingerprints])


def store_of(settings: Settings) -> Store:
    return Store(settings.home)
