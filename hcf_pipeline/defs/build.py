"""All definitions for one configuration."""

from __future__ import annotations

import dagster as dg

from hcf_pipeline.defs.assets.corpus import held_out_split, parsed_pairs, turn_table
from hcf_pipeline.defs.assets.release import release, sample_answers
from hcf_pipeline.defs.assets.retrieval import chunk_embeddings, chunk_table, encoder_model, faiss_index
from hcf_pipeline.defs.assets.scorecard import retrieval_scorecard
from hcf_pipeline.defs.assets.source import raw_transcripts
from hcf_pipeline.defs.assets.training import base_model, lora_adapter, sft_dataset
from hcf_pipeline.defs.automation.sensors import automation, jobs
from hcf_pipeline.defs.checks import checks
from hcf_pipeline.defs.dagster_private import beta_is_meant
from hcf_pipeline.defs.executor import executor
from hcf_pipeline.defs.publishing import store_of
from hcf_pipeline.defs.resources import ChatModel
from hcf_pipeline.defs.specs import specs_by
from hcf_pipeline.settings import Settings

ASSETS = (
    turn_table,
    parsed_pairs,
    held_out_split,
    sft_dataset,
    base_model,
    lora_adapter,
    chunk_table,
    encoder_model,
    chunk_embeddings,
    faiss_index,
    retrieval_scorecard,
    release,
    sample_answers,
)


def build_definitions(settings: Settings) -> dg.Definitions:
    """The assets read `settings` and `store` as resources; their code versions are known when this is called."""
    with beta_is_meant():
        schedule, sensors = automation(settings)
        assets = dg.map_asset_specs(specs_by(settings), [raw_transcripts(), *ASSETS])
        return dg.Definitions(
            assets=dg.with_source_code_references(assets),
            asset_checks=checks(settings),
            jobs=jobs(),
            schedules=[schedule],
            sensors=sensors,
            executor=executor,
            resources={
                "settings": settings,
                "store": store_of(settings),
                "chat_model": ChatModel(
                    config=str(settings.config), profile=settings.sections.profile, home=str(settings.home)
                ),
                "pipes": dg.PipesSubprocessClient(),
            },
        )
