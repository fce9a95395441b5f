"""What stays as it is whatever changed: the release while a hold keeps every new one back, training while it is off or there
is nothing to learn. The rest of the pipeline goes on: search and quotations need no training.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from hcf_pipeline.asset_names import PARSED_PAIRS, RELEASE
from hcf_pipeline.chat.hold import hold_on
from hcf_pipeline.corpus.tables import PAIRS
from hcf_pipeline.defs.automation.plan import TRAINING
from hcf_pipeline.defs.staleness import AssetState
from hcf_pipeline.errors import DataError, HcfError
from hcf_pipeline.settings import Settings, SftSettings
from hcf_pipeline.sft.left_out import anything_to_learn, nothing_to_learn
from hcf_pipeline.store import Store


def standstill(states: Mapping[str, AssetState], store: Store, settings: Settings) -> frozenset[str]:
    """The assets that are left as they are, fresh or not."""
    held = hold_on(store)
    kept: set[str] = {RELEASE} if held is not None and held.everything else set()
    if switched_off(settings) or untrainable(states, store, settings):
        kept |= set(TRAINING)
    return frozenset(kept)


def switched_off(settings: Settings) -> frozenset[str]:
    """The assets that nobody wants: those of training where [lora] enabled is false. They wait for nothing."""
    return frozenset() if settings.sections.lora.enabled else frozenset(TRAINING)


def untrainable(states: Mapping[str, AssetState], store: Store, settings: Settings) -> DataError | None:
    """Why there is nothing to learn from in the pairs as they are; None where there is, where that can't be told, and where
    nobody wants to train."""
    if switched_off(settings):
        return None
    version = states[PARSED_PAIRS].version
    try:
        pairs = store.open(PARSED_PAIRS, version).path / PAIRS if version else None
        if pairs is None or _anything(pairs, settings.sections.sft):
            return None
        return nothing_to_learn(pairs, settings.sections.sft)
    except HcfError:  # damaged, which is told and mended elsewhere
        return None


@lru_cache(maxsize=8)
def _anything(pairs: Path, sft: SftSettings) -> bool:
    """Asked every few seconds by a sensor; the folder of a version never changes."""
    return anything_to_learn(pairs, sft)
