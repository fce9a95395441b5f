"""An optional second opinion: any CrossEncoder, which reads a question and a chunk together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hcf_pipeline.errors import ArtifactError
from hcf_pipeline.files import files_below
from hcf_pipeline.machine.quiet import quiet_libraries

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder


class Reranker:
    def __init__(self, model: CrossEncoder, batch_size: int) -> None:
        self._model = model
        self._batch_size = batch_size

    def scores(self, question: str, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """How well each text answers the question, on the model's own scale; shape (len(texts),)."""
        found = self._model.predict(
            [(question, text) for text in texts], batch_size=self._batch_size, show_progress_bar=False
        )
        return np.asarray(found, dtype=np.float32).reshape(len(texts))


def load_reranker(folder: Path, device: str, batch_size: int) -> Reranker:
    """The CrossEncoder in a local folder or snapshot; nothing is downloaded, no code of the folder's is run.

    `device` is one of torch's, or "auto". Raises ArtifactError when the folder holds no CrossEncoder with one output
    and safetensors weights.
    """
    quiet_libraries()
    from sentence_transformers import CrossEncoder

    try:
        if not any(file.suffix == ".safetensors" for file in files_below(folder)):
            raise ValueError("no safetensors weights")
        model = CrossEncoder(
            str(folder),
            device=None if device == "auto" else device,
            trust_remote_code=False,
            local_files_only=True,
            model_kwargs={"use_safetensors": True},
        )
        if model.num_labels != 1:
            raise ValueError(f"{model.num_labels} outputs instead of 1")
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ArtifactError(
            zh=f"{folder} 里没有可用的重排模型（{error}）；请检查 [retrieval] reranker。",
            en=f"{folder} holds no reranker that can be read ({error}); check [retrieval] reranker.",
        ) from error
    return Reranker(model, batch_size)
