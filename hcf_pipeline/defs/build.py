"""All definitions for one configuration."""

from __future__ import annotations

import dagster as dg

from hcf_pipeline.defs.automation import automation, jobs
from hcf_pipeline.defs.checks import checks
from hcf_pipeline.defs.condition import WhenStale
from hcf_pipeline.defs.corpus.assets import corpus_assets
from hcf_pipeline.defs.corpus.look import RAW
from hcf_pipeline.defs.executor import executor
from hcf_pipeline.defs.rag.assets import rag_assets
from hcf_pipeline.defs.rag.scorecard import scorecard_asset
from hcf_pipeline.defs.release.assets import release_assets
from hcf_pipeline.defs.resources import ChatModel
from hcf_pipeline.defs.sft.assets import sft_assets
from hcf_pipeline.settings import Settings


def build_definitions(settings: Settings) -> dg.Definitions:
    assets = [
        *corpus_assets(settings),
        *sft_assets(settings),
        *rag_assets(settings),
        scorecard_asset(settings),
        *release_assets(settings),
    ]
    schedule, sensors = automation(settings)
    condition = WhenStale(settings)
    automated = dg.map_asset_specs(
        lambda spec: spec if spec.key == dg.AssetKey(RAW) else spec.replace_attributes(automation_condition=condition),
        assets,
    )
    return dg.Definitions(
        assets=dg.with_source_code_references(automated),
        asset_checks=checks(settings),
        jobs=jobs(),
        schedules=[schedule],
        sensors=sensors,
        executor=executor,
        resources={
            "chat_model": ChatModel(
                config=str(settings.config), profile=settings.sections.profile, home=str(settings.home)
            ),
            "pipes": dg.PipesSubprocessClient(),
        },
    )
