"""The names of the assets: of their folders in the store, of the inputs in a recipe, and of Dagster's asset keys.

`defs/asset_keys` turns a name into a key of Dagster's and back; a prefix, such as a persona's, has its place there.
"""

from __future__ import annotations

from typing import Final, NewType

AssetName = NewType("AssetName", str)

RAW_TRANSCRIPTS: Final = AssetName("raw_transcripts")
TURN_TABLE: Final = AssetName("turn_table")
PARSED_PAIRS: Final = AssetName("parsed_pairs")
SFT_DATASET: Final = AssetName("sft_dataset")
BASE_MODEL: Final = AssetName("base_model")
LORA_ADAPTER: Final = AssetName("lora_adapter")
CHUNK_TABLE: Final = AssetName("chunk_table")
ENCODER_MODEL: Final = AssetName("encoder_model")
CHUNK_EMBEDDINGS: Final = AssetName("chunk_embeddings")
FAISS_INDEX: Final = AssetName("faiss_index")
RETRIEVAL_SCORECARD: Final = AssetName("retrieval_scorecard")
RELEASE: Final = AssetName("release")
SAMPLE_ANSWERS: Final = AssetName("sample_answers")

SOURCES: Final = (RAW_TRANSCRIPTS,)  # observed, never made
MADE: Final = (
    TURN_TABLE,
    PARSED_PAIRS,
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
