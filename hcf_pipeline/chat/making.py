"""What a release is made of: from an index, and an adapter where one was trained, to all that they were made with."""

from __future__ import annotations

from hcf_pipeline.asset_names import BASE_MODEL, CHUNK_EMBEDDINGS, CHUNK_TABLE, ENCODER_MODEL, SFT_DATASET, TURN_TABLE
from hcf_pipeline.chat.engine import pinned_reranker
from hcf_pipeline.chat.release import (
    ADAPTER,
    ADAPTER_CORPUS,
    BASE,
    ENCODER,
    INDEX,
    INDEX_CORPUS,
    TURNS,
    Release,
    made_from,
    pin,
)
from hcf_pipeline.chat.serving import QUANTIZE, serving_settings
from hcf_pipeline.corpus.tables import REPORT, TurnReport
from hcf_pipeline.hub.models import model_source
from hcf_pipeline.machine.hardware import resolve_quantize
from hcf_pipeline.settings import EMBEDDED, Settings
from hcf_pipeline.store import Artifact, Store


def release_of(store: Store, settings: Settings, index: Artifact, adapter: Artifact | None) -> Release:
    """The release of an index and an adapter, with the settings as they are now.

    The persona prompt is the one that the adapter was trained with. Raises what fetching a reranker does.
    """
    turns = made_from(store, index, [CHUNK_TABLE, TURN_TABLE])
    host_labels = tuple(TurnReport.load(turns.file(REPORT)).host_labels)
    parts = {INDEX: index, ENCODER: made_from(store, index, [CHUNK_EMBEDDINGS, ENCODER_MODEL]), TURNS: turns}
    corpora = {INDEX: made_from(store, index, INDEX_CORPUS).version}
    serving = serving_settings(settings)
    serving[QUANTIZE] = resolve_quantize(settings.sections.base.quantize, settings.sections.chat.device)
    persona, toy = next(iter(host_labels), ""), False
    if adapter is not None:
        base, samples = made_from(store, adapter, [BASE_MODEL]), made_from(store, adapter, [SFT_DATASET])
        parts |= {ADAPTER: adapter, BASE: base}
        corpora[ADAPTER] = made_from(store, adapter, ADAPTER_CORPUS).version
        persona, toy = str(samples.metadata["persona"]), model_source(base).source == EMBEDDED
        serving["chat.persona_prompt"] = str(samples.metadata["persona_prompt"])
    return Release(
        parts={name: pin(artifact) for name, artifact in parts.items()},
        corpora=corpora,
        persona=persona,
        host_labels=host_labels,
        toy=toy,
        serving=serving,
        reranker=pinned_reranker(settings),
    )
