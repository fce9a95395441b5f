"""What the settings make of the assets: code version, what they read, and which models are fitted on the pairs."""

from __future__ import annotations

from collections.abc import Callable

import dagster as dg

from hcf_pipeline.asset_names import BASE_MODEL, ENCODER_MODEL, LORA_ADAPTER, RELEASE, SOURCES
from hcf_pipeline.defs.asset_keys import name_of
from hcf_pipeline.defs.automation.condition import WhenStale
from hcf_pipeline.defs.publishing import SETTINGS
from hcf_pipeline.defs.recipes import recipes
from hcf_pipeline.settings import EMBEDDED, Settings


def specs_by(settings: Settings) -> Callable[[dg.AssetSpec], dg.AssetSpec]:
    """Turns the spec of an asset, as it stands in `defs/assets`, into the one that these settings give."""
    by = recipes(settings)
    condition = WhenStale(settings)
    models = {BASE_MODEL: settings.sections.base.model, ENCODER_MODEL: settings.sections.encoder.model}

    def configured(spec: dg.AssetSpec) -> dg.AssetSpec:
        name = name_of(spec.key)
        if models.get(name, EMBEDDED) != EMBEDDED:
            of_server = name == ENCODER_MODEL and bool(settings.sections.encoder.base_url)
            spec = _behind_a_server(spec, models[name]) if of_server else _not_fitted(spec, models[name])
        if name == RELEASE and not settings.sections.lora.enabled:
            spec = spec.replace_attributes(deps=[dep for dep in spec.deps if name_of(dep.asset_key) != LORA_ADAPTER])
        return spec.replace_attributes(
            code_version=by[name].code_version,
            metadata={**spec.metadata, SETTINGS: dict(by[name].settings)},
            automation_condition=None if name in SOURCES else condition,
        )

    return configured


def _not_fitted(spec: dg.AssetSpec, model: str) -> dg.AssetSpec:
    """A model of the Hub, or of a folder: nothing of the corpus is in it."""
    _, _, chinese = (spec.description or "").partition("\n\n")
    return spec.replace_attributes(
        deps=[], kinds={"huggingface"}, description=f"{model}, pinned by commit.\n\n{chinese}"
    )


def _behind_a_server(spec: dg.AssetSpec, model: str) -> dg.AssetSpec:
    _, _, chinese = (spec.description or "").partition("\n\n")
    description = f"{model} behind a server, pinned by its vectors of a few probe texts.\n\n{chinese}"
    return spec.replace_attributes(deps=[], kinds={"api"}, description=description)
