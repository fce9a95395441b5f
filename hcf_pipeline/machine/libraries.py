"""Which libraries an asset's content depends on, and which of their releases is installed.

A recipe names major and minor version: a patch release trains nothing anew. Libraries that only read or write what
the content hash is taken of (pyarrow, datasets, safetensors) or that draw (matplotlib) do not count.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from hcf_pipeline.asset_names import (
    BASE_MODEL,
    CHUNK_EMBEDDINGS,
    ENCODER_MODEL,
    FAISS_INDEX,
    LORA_ADAPTER,
    RETRIEVAL_SCORECARD,
    SAMPLE_ANSWERS,
)

UNICODE: Final = "unicode"  # not a library: the tables of Python's own unicodedata

ENCODES = ("numpy", "sentence-transformers", "tokenizers", "torch", "transformers")

LIBRARIES: Final[Mapping[str, tuple[str, ...]]] = {
    # scipy factors the bigrams that the embeddings start from; torch and transformers pretrain
    BASE_MODEL: ("numpy", "scipy", "tokenizers", "torch", "transformers"),
    # how samples become tokens (transformers, tokenizers), batches and losses (trl, accelerate), weights (peft, torch)
    LORA_ADAPTER: ("accelerate", "peft", "tokenizers", "torch", "transformers", "trl"),
    ENCODER_MODEL: ENCODES,  # contrastive training in torch, vocabulary by tokenizers
    CHUNK_EMBEDDINGS: ENCODES,
    # faiss trains its cells, numpy sums the term weights, and what a letter is stands in Unicode's tables
    FAISS_INDEX: ("faiss-cpu", "numpy", UNICODE),
    RETRIEVAL_SCORECARD: ENCODES,  # of the questions; and the reranker
    SAMPLE_ANSWERS: ("peft", "tokenizers", "torch", "transformers"),
}
QUANTIZES = ("bitsandbytes",)  # what an adapter is trained beside, where its base is in 4 bits


def libraries_of(asset: str, *more: str) -> dict[str, object]:
    """Entries of an asset's recipe: "library torch" -> "2.13"."""
    return {f"library {name}": minor_version(name) for name in (*LIBRARIES.get(asset, ()), *more)}


def minor_version(name: str) -> str:
    """Major and minor version of what is installed, "none" where it isn't; nothing is imported for it."""
    if name == UNICODE:
        return _minor(unicodedata.unidata_version)
    try:
        return _minor(version(name))
    except PackageNotFoundError:
        return "none"


def _minor(text: str) -> str:
    return ".".join(text.partition("+")[0].split(".")[:2])
