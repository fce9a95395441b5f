"""What a release is made of: from an index, and an adapter where one was trained, to all that they were made with."""

from __future__ import annotations

from contextlib import suppress

from hcf_pipeline.asset_names import (
    BASE_MODEL,
    CHUNK_EMBEDDINGS,
    CHUNK_TABLE,
    ENCODER_MODEL,
    FAISS_INDEX,
    RELEASE,
    SFT_DATASET,
    TURN_TABLE,
)
from hcf_pipeline.chat.engine import pinned_reranker
from hcf_pipeline.chat.release import (
    ADAPTER,
    ADAPTER_CORPUS,
    BASE,
    ENCODER,
    INDEX,
    INDEX_CORPUS,
    POINTER,
    TURNS,
    Release,
    made_from,
    pin,
)
from hcf_pipeline.chat.releases import release_versions
from hcf_pipeline.chat.serving import QUANTIZE, serving_settings
from hcf_pipeline.corpus.tables import REPORT, TurnReport
from hcf_pipeline.errors import HcfError
from hcf_pipeline.hub.models import model_source
from hcf_pipeline.machine.hardware import resolve_quantize
from hcf_pipeline.rag.evaluation.card import CARD, Scorecard
from hcf_pipeline.rag.search.fusion import Fusion
from hcf_pipeline.settings import EMBEDDED, Settings
from hcf_pipeline.store import Artifact, Store


def release_of(store: Store, settings: Settings, index: Artifact, adapter: Artifact | None, card: Artifact) -> Release:
    """The release of an index and an adapter, with the settings as they are now, and what the scorecard `card` chose.

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
        fusion=_fusion(store, settings, index, card),
    )


def _fusion(store: Store, settings: Settings, index: Artifact, card: Artifact) -> Fusion:
    """What a scorecard of this very index chose; of one that is held, what the last release of it was served with."""
    pretrained = settings.sections.encoder.model != EMBEDDED
    chosen: Fusion | None = None
    if card.inputs.get(FAISS_INDEX) == index.version:
        calibration = Scorecard.load(card.file(CARD)).calibration
        chosen = calibration.fusion if calibration else None
    else:
        for version in release_versions(store):
            with suppress(HcfError):
                released = Release.load(store.open(RELEASE, version).file(POINTER))
                if released.parts[INDEX].version == index.version:
                    chosen = released.fusion
                    break
    return Fusion.of(settings.sections.retrieval, chosen, pretrained=pretrained)
