"""What every asset is made by: the revision of its logic, and the settings and files that its content depends on."""

from __future__ import annotations

from pathlib import Path

from hcf_pipeline.asset_names import (
    BASE_MODEL,
    CHUNK_EMBEDDINGS,
    CHUNK_TABLE,
    ENCODER_MODEL,
    FAISS_INDEX,
    HELD_OUT_SPLIT,
    LORA_ADAPTER,
    PARSED_PAIRS,
    RAW_TRANSCRIPTS,
    RELEASE,
    RETRIEVAL_SCORECARD,
    SAMPLE_ANSWERS,
    SFT_DATASET,
    TURN_TABLE,
)
from hcf_pipeline.defs.models import model_recipe
from hcf_pipeline.files import file_sha256
from hcf_pipeline.settings import Settings, SftSettings
from hcf_pipeline.store import Recipe

TURNS_BY = ("host_labels", "guest_labels", "date_pattern", "interrupted_pattern", "noise", "max_file_mb")
SAMPLED_BY = tuple(name for name in SftSettings.model_fields if name != "held_out_share")  # which is the split's
RANKED_BY = (
    "k1",
    "b",
    "dense_weight",
    "neighbour_share",
    "min_score",
    "reranker",
    "reranker_revision",
    "rerank_top",
    "questions",
)


def recipes(settings: Settings) -> dict[str, Recipe]:
    """The recipe of every asset, without its inputs. A changed logic gets another revision here, by hand."""
    reads = settings.reads
    return {
        RAW_TRANSCRIPTS: Recipe(1, reads("corpus.include", "corpus.exclude")),
        TURN_TABLE: Recipe(2, reads(*(f"corpus.{name}" for name in TURNS_BY))),
        PARSED_PAIRS: Recipe(2),
        HELD_OUT_SPLIT: Recipe(1, reads("sft.held_out_share")),
        SFT_DATASET: Recipe(2, reads(*(f"sft.{name}" for name in SAMPLED_BY), "chat.persona_prompt")),
        BASE_MODEL: model_recipe(settings, "base", "vocab_size", "hidden_size", "layers", "steps"),
        LORA_ADAPTER: Recipe(2, reads("lora", "base.quantize")),
        CHUNK_TABLE: Recipe(2, reads("chunks")),
        ENCODER_MODEL: model_recipe(settings, "encoder", "dim", "vocab_size", "steps"),
        CHUNK_EMBEDDINGS: Recipe(2),
        FAISS_INDEX: Recipe(3),
        RETRIEVAL_SCORECARD: Recipe(
            2,
            reads(*(f"retrieval.{name}" for name in RANKED_BY), "encoder.query_prompt")
            | {f"file {given}": _digest(file) for given, file in settings.question_files.items()},
        ),
        RELEASE: Recipe(1),
        SAMPLE_ANSWERS: Recipe(1),
    }


def _digest(file: Path) -> str:
    try:
        return file_sha256(file)
    except OSError:
        return "cannot be read"  # the step says so
