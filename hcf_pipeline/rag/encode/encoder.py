"""Texts as unit vectors, by any SentenceTransformer folder (the embedded one, a Hub snapshot, a model of your own), or by a
server (server_encoder.py)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from hcf_pipeline.errors import ArtifactError, UserError
from hcf_pipeline.files import file_sha256, files_below, hash_of
from hcf_pipeline.machine.quiet import quiet_libraries
from hcf_pipeline.rag.arrays import Vectors
from hcf_pipeline.rag.encode.static_encoder import StaticModel, is_static
from hcf_pipeline.settings import EncoderSettings
from hcf_pipeline.store import MANIFEST

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

IDENTITY = (".safetensors", ".json", ".txt", ".model")

SERVER = "server.json"  # in the folder of a model that stands behind a server

PREPARATION = 3
"""Of what becomes of a text on its way to its vector: what of it is encoded (embed.py), prompts, pooling (also in
static_encoder.py), scaling. Bump it with any change to one of them. It is a part of every encoder's identity, so of the
cache's folders and of the versions of vectors and index: nothing that was made before the change is taken for it."""


class EmptyText(UserError):
    """A blank text has no direction."""


class TextModel(Protocol):
    """What turns texts into unit vectors."""

    @property
    def dim(self) -> int: ...

    def vectors(self, texts: Sequence[str], prompt: str) -> Vectors:
        """One a text, with `prompt` before it; shape (len(texts), dim), float32."""
        ...


class Encoder:
    """A model with its query instruction. Safe to share where the model's forward pass is."""

    def __init__(
        self,
        model: TextModel,
        identity: str,
        query_prompt: str,
        document_prompt: str = "",
        questions: TextModel | None = None,
    ) -> None:
        """`questions` encodes them where that takes another way than documents take."""
        self.identity = identity
        self.dim = model.dim
        self._documents = model
        self._questions = questions or model
        self._query_prompt = query_prompt
        self._document_prompt = document_prompt

    def encode_documents(self, texts: Sequence[str]) -> Vectors:
        """One unit vector a text, in the order given; shape (len(texts), dim). Raises EmptyText for a blank text."""
        return self._encode(self._documents, texts, self._document_prompt)

    def encode_query(self, text: str) -> Vectors:
        """The unit vector of a question, with the query instruction before it; shape (dim,)."""
        vector: Vectors = self.encode_queries([text])[0]
        return vector

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        """The unit vectors of some questions, as in `encode_query`; shape (len(texts), dim)."""
        return self._encode(self._questions, texts, self._query_prompt)

    def _encode(self, model: TextModel, texts: Sequence[str], prompt: str) -> Vectors:
        for position, text in enumerate(texts):
            if not text.strip():
                raise EmptyText(
                    zh=f"第 {position + 1} 段文字是空的，无法编码；请写一句话。",
                    en=f"Text {position + 1} is blank and has no vector; give it some words.",
                )
        if not texts:
            return np.zeros((0, self.dim), dtype=np.float32)
        return model.vectors(texts, prompt)


class TorchModel:
    """Any SentenceTransformer."""

    def __init__(self, model: SentenceTransformer, batch_size: int) -> None:
        self._model = model
        self._batch_size = batch_size
        self.dim = int(model.get_embedding_dimension() or 0)

    def vectors(self, texts: Sequence[str], prompt: str) -> Vectors:
        vectors = self._model.encode(
            list(texts), prompt=prompt, batch_size=self._batch_size, show_progress_bar=False, normalize_embeddings=True
        )
        return np.ascontiguousarray(vectors, dtype=np.float32)


def encoder_identity(folder: Path) -> str:
    """20 hex digits over what makes a document's vector: weights, vocabulary, configuration, and PREPARATION."""
    files = (p for p in files_below(folder) if p.suffix in IDENTITY and p.name != MANIFEST)
    return hash_of([PREPARATION, {p.relative_to(folder).as_posix(): file_sha256(p) for p in files}])


def load_encoder(folder: Path, device: str, settings: EncoderSettings) -> Encoder:
    """The model in a local folder or snapshot; nothing is downloaded, no code of the folder's is run.

    `device` is one of torch's, or "auto": the fastest there is. A static embedding needs neither device nor torch, a
    server's model only the server.

    Raises ArtifactError when the folder holds no SentenceTransformer with safetensors weights, or where another model
    answers than the one that was pinned; ServerError where the server does not answer.
    """
    if (folder / SERVER).is_file():
        from hcf_pipeline.rag.encode.server_encoder import open_server

        pin, documents, questions = open_server(folder, settings)
        return Encoder(documents, encoder_identity(folder), settings.query_prompt, pin.document_prompt, questions)
    if not any(file.suffix == ".safetensors" for file in files_below(folder)):
        raise ArtifactError(
            zh=f"{folder} 里没有 safetensors 权重，不是可用的检索模型；请检查 [encoder] model，或运行 hcf refresh。",
            en=f"{folder} holds no safetensors weights: it is no encoder; check [encoder] model, or run hcf refresh.",
        )
    try:
        model = (StaticModel.load(folder) if is_static(folder) else None) or _torch_model(folder, device, settings)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ArtifactError(
            zh=f"{folder} 里的检索模型读不出来（{error}）；请检查 [encoder] model，或运行 hcf refresh。",
            en=f"The encoder in {folder} cannot be read ({error}); check [encoder] model, or run hcf refresh.",
        ) from error
    return Encoder(model, encoder_identity(folder), settings.query_prompt)


def _torch_model(folder: Path, device: str, settings: EncoderSettings) -> TextModel:
    quiet_libraries()
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(
        str(folder),
        device=None if device == "auto" else device,
        trust_remote_code=False,
        local_files_only=True,
        model_kwargs={"use_safetensors": True},
    )
    return TorchModel(model, settings.batch_size)
