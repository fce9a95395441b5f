"""The embedded encoder without torch: a SentenceTransformer that is one static embedding, read from its files.

A text's vector is the mean of its tokens' vectors. That needs `tokenizers` and numpy, which load in a tenth of a second;
sentence_transformers and torch take 6 to 14 s, many times what an index update or a question takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hcf_pipeline.files import parsed_json
from hcf_pipeline.rag.arrays import Vectors

if TYPE_CHECKING:
    from tokenizers import Tokenizer

WEIGHTS = "model.safetensors"
TOKENIZER = "tokenizer.json"
WEIGHT = "embedding.weight"
SHORTEST = np.float32(1e-12)  # a text without a known token stays the zero vector, as torch's normalize leaves it


def is_static(folder: Path) -> bool:
    """Whether the folder holds one static embedding, and at most the scaling to unit length after it."""
    try:
        modules = parsed_json((folder / "modules.json").read_text(encoding="utf-8"))
        kinds = [str(module["type"]) for module in modules]
        in_root = modules[0]["path"] == ""
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return False
    names = [kind.rpartition(".")[2] for kind in kinds]
    official = all(kind.startswith("sentence_transformers.") for kind in kinds)
    return official and in_root and names in (["StaticEmbedding"], ["StaticEmbedding", "Normalize"])


class StaticModel:
    """Tokenizer and token vectors; nothing changes, so it is safe to share between threads."""

    def __init__(self, tokenizer: Tokenizer, weights: npt.NDArray[np.float32]) -> None:
        self._tokenizer = tokenizer
        self._weights = weights
        self.dim = int(weights.shape[1])

    @staticmethod
    def load(folder: Path) -> StaticModel | None:
        """None where the weights are of another kind than float32 vectors by token id.

        Raises OSError or ValueError for files that cannot be read.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer

        try:
            arrays = load_file(folder / WEIGHTS)
        except SafetensorError as error:
            raise ValueError(str(error)) from error
        if set(arrays) != {WEIGHT} or arrays[WEIGHT].dtype != np.float32:
            return None
        try:
            tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
        except Exception as error:  # tokenizers raises nothing narrower
            raise ValueError(str(error)) from error
        tokenizer.no_padding()
        return StaticModel(tokenizer, arrays[WEIGHT])

    def vectors(self, texts: Sequence[str], prompt: str) -> Vectors:
        """One unit vector a text; shape (len(texts), dim), float32."""
        encoded = self._tokenizer.encode_batch_fast([prompt + text for text in texts], add_special_tokens=False)
        sums = np.zeros((len(texts), self.dim), dtype=np.float32)
        for row, encoding in zip(sums, encoded, strict=True):
            if ids := encoding.ids:
                self._weights[ids].mean(axis=0, out=row)
        lengths = np.sqrt(np.einsum("ij,ij->i", sums, sums))
        sums /= np.maximum(lengths, SHORTEST)[:, None]
        return sums
