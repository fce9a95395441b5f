"""The names of the assets: of their folders in the store, of the inputs in a recipe, and of Dagster's asset keys.

`defs/asset_keys` turns a name into a key of Dagster's and back; a prefix, such as a persona's, has its place there.
"""

from __future__ import annotations

from typing import Final

RAW_TRANSCRIPTS: Final = "raw_transcripts"
TURN_TABLE: Final = "turn_table"
PARSED_PAIRS: Final = "parsed_pairs"
HELD_OUT_SPLIT: Final = "held_out_split"
SFT_DATASET: Final = "sft_dataset"
BASE_MODEL: Final = "base_model"
LORA_ADAPTER: Final = "lora_adapter"
CHUNK_TABLE: Final = "chunk_table"
ENCODER_MODEL: Final = "encoder_model"
CHUNK_EMBEDDINGS: Final = "chunk_embeddings"
FAISS_INDEX: Final = "faiss_index"
RETRIEVAL_SCORECARD: Final = "retrieval_scorecard"
RELEASE: Final = "release"
SAMPLE_ANSWERS: Final = "sample_answers"

OPTIONAL_INPUTS: Final = {RELEASE: frozenset({LORA_ADAPTER})}  # what is made without them, as long as they are missing

SOURCES: Final = (RAW_TRANSCRIPTS,)  # observed, never made
MADE: Final = (
    TURN_TABLE,
    PARSED_PAIRS,
    HELD_OUT_SPLIT,
    SFT_DATASET,
    BASE_MODEL,
    LORA_ADAPTER,
    CHUNK_TABLE,
    ENCODER_MODEL,
    CHUNK_EMBEDDINGS,
    FAISS_INDEX,
    RETRIEVAL_SCORECARD,
    RELEASE,
    SAMPLE_ANSWERS,
)
