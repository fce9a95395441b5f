"""What every asset is made by: the revision of its logic, and the settings, files and libraries that its content depends
on."""

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
from hcf_pipeline.chat.serving import prompt_setting, serving_settings
from hcf_pipeline.defs.models import model_recipe
from hcf_pipeline.files import file_sha256
from hcf_pipeline.hub.models import listing_of
from hcf_pipeline.machine.hardware import resolve_quantize
from hcf_pipeline.machine.libraries import QUANTIZES, libraries_of
from hcf_pipeline.rag.chunking.chunks import REVISION as CHUNKS_REVISION
from hcf_pipeline.rag.encode.encoder import PREPARATION
from hcf_pipeline.rag.index.sidecar import FORMAT as INDEX_FORMAT
from hcf_pipeline.settings import Settings, SftSettings
from hcf_pipeline.store import Recipe

LABELS = ("host_labels", "guest_labels", "other_labels", "not_labels")
TURNS_BY = (
    *LABELS,
    "form",
    "json_fields",
    "date_pattern",
    "date_order",
    "interrupted_pattern",
    "noise",
    "lost_pattern",
    "max_file_mb",
)
SAMPLED_BY = tuple(name for name in SftSettings.model_fields if name != "held_out_share")  # which is the split's
ASKED_BY = ("encoder.query_prompt", "encoder.query_input_type")  # what a question's vector depends on beside the model
RANKED_BY = (
    "k1",
    "b",
    "dense_weight",
    "neighbour_share",
    "top_k",
    "one_per_transcript",
    "date_factor",
    "today",
    "min_score",
    "reranker",
    "reranker_revision",
    "reranker_url",
    "rerank_top",
    "questions",
)


def recipes(settings: Settings) -> dict[str, Recipe]:
    """The recipe of every asset, without its inputs. A changed logic gets another revision here, by hand."""
    reads = settings.reads
    return {
        RAW_TRANSCRIPTS: Recipe(1, reads("corpus.include", "corpus.exclude")),
        TURN_TABLE: Recipe(6, reads(*(f"corpus.{name}" for name in TURNS_BY))),
        # of a monologue alone, so that no other corpus is paired anew
        PARSED_PAIRS: Recipe(4, reads("corpus.guest_labels") if settings.sections.corpus.is_monologue else {}),
        HELD_OUT_SPLIT: Recipe(2, reads("sft.held_out_share")),
        SFT_DATASET: Recipe(5, reads(*(f"sft.{name}" for name in SAMPLED_BY)) | prompt_setting(settings)),
        BASE_MODEL: model_recipe(settings, "base", "vocab_size", "hidden_size", "layers", "steps"),
        LORA_ADAPTER: _adapter(settings),
        CHUNK_TABLE: Recipe(CHUNKS_REVISION, reads("chunks")),
        ENCODER_MODEL: model_recipe(settings, "encoder", "dim", "vocab_size", "steps"),
        CHUNK_EMBEDDINGS: Recipe(PREPARATION, reads(*ASKED_BY) | libraries_of(CHUNK_EMBEDDINGS)),
        FAISS_INDEX: Recipe(INDEX_FORMAT, libraries_of(FAISS_INDEX)),
        RETRIEVAL_SCORECARD: Recipe(
            4,
            reads(*(f"retrieval.{name}" for name in RANKED_BY), *ASKED_BY)
            | {f"file {given}": _digest(file) for given, file in settings.question_files.items()}
            | listing_of(settings, settings.sections.retrieval.reranker)
            | libraries_of(RETRIEVAL_SCORECARD),
        ),
        RELEASE: Recipe(3, serving_settings(settings) | listing_of(settings, settings.sections.retrieval.reranker)),
        SAMPLE_ANSWERS: Recipe(3, libraries_of(SAMPLE_ANSWERS)),
    }


def _adapter(settings: Settings) -> Recipe:
    """What "auto" comes to on this machine counts, and not that it was left open."""
    quantize = resolve_quantize(settings.sections.base.quantize, settings.sections.chat.device)
    return Recipe(
        2,
        settings.reads("lora")
        | {"base.quantize": quantize}
        | libraries_of(LORA_ADAPTER, *(QUANTIZES if quantize == "4bit" else ())),
    )


def _digest(file: Path) -> str:
    try:
        return file_sha256(file)
    except OSError:
        return "cannot be read"  # the step says so
