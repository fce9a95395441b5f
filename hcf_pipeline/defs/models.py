"""The two model assets have one policy: a snapshot where a model is named, else small ones fitted on the corpus; an encoder
may stand behind a server.

What is fitted is kept while the corpus has not moved far from what it was fitted on: one new broadcast must not
embed and train everything anew.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Literal

import dagster as dg

from hcf_pipeline.asset_names import BASE_MODEL, ENCODER_MODEL, HELD_OUT_SPLIT, PARSED_PAIRS
from hcf_pipeline.corpus.fitted import FITTED_ON, changed_share, record_fitted_on
from hcf_pipeline.corpus.held_out import HELD_OUT, HeldOut, transcript_dates
from hcf_pipeline.corpus.tables import PAIRS
from hcf_pipeline.defs.publishing import Step
from hcf_pipeline.hub.models import BUILT_HERE, FOLDER, ModelSource, listing_of
from hcf_pipeline.machine.libraries import libraries_of
from hcf_pipeline.settings import EMBEDDED, BaseSettings, EncoderSettings, Settings
from hcf_pipeline.store import Artifact, Built, Metadata, Recipe, Store

Kind = Literal["language model", "encoder"]
# pairs, transcripts left out, folder to write -> metadata, transcripts seen
Fit = Callable[[Path, Collection[str], Path], tuple[Metadata, Collection[str]]]


def model_recipe(settings: Settings, section: Literal["base", "encoder"], *fitted_by: str) -> Recipe:
    """`fitted_by` names the settings of the section that a fitted model depends on."""
    wanted: BaseSettings | EncoderSettings = getattr(settings.sections, section)
    if isinstance(wanted, EncoderSettings) and wanted.base_url:
        reads = [f"encoder.{name}" for name in ("model", "document_prompt", "document_input_type")]
        return Recipe(2, settings.reads(*reads) | {"encoder.base_url": "set"})  # that there is one, and not where
    if wanted.model == EMBEDDED:
        reads = [f"{section}.{name}" for name in ("model", "seed", *fitted_by)]
        fitted = BASE_MODEL if section == "base" else ENCODER_MODEL
        return Recipe(3, settings.reads(*reads) | libraries_of(fitted))
    return Recipe(2, settings.reads(f"{section}.model", f"{section}.revision") | listing_of(settings, wanted.model))


def make_model(
    step: Step, settings: Settings, kind: Kind, wanted: BaseSettings | EncoderSettings, fit: Fit
) -> dg.MaterializeResult[None]:
    if isinstance(wanted, EncoderSettings) and wanted.base_url:  # asked anew by each making: it is one request
        return step.publish(lambda _, folder: _point_at_server(step.store, wanted, folder), reuse=False)
    if wanted.model != EMBEDDED:
        return step.publish(lambda _, folder: _point_at_snapshot(settings, kind, wanted, folder), reuse=not step.refit)
    previous = None if step.refit else step.previous()
    if previous is not None:
        share = changed_share(previous.file(FITTED_ON), step.input(PARSED_PAIRS).path / PAIRS)
        told = f"{share:.1%} of the pairs changed since it was fitted; refitted after {wanted.refit_after:.0%}"
        step.context.log.info(told)
        if share <= wanted.refit_after:
            return step.keep(previous, told)

    def build(inputs: Mapping[str, Artifact], folder: Path) -> Built:
        pairs = inputs[PARSED_PAIRS].path / PAIRS
        held_out = HeldOut.load(inputs[HELD_OUT_SPLIT].file(HELD_OUT)).dates
        BUILT_HERE.save(folder)
        metadata, seen = fit(pairs, held_out.keys(), folder / FOLDER)
        record_fitted_on(pairs, folder, seen)
        left_out = held_out.keys() & transcript_dates(pairs).keys()
        return Built({"broadcasts_left_out": len(left_out), "broadcasts_seen": len(seen), **metadata})

    return step.publish(build, reuse=not step.refit)


def _point_at_snapshot(settings: Settings, kind: Kind, wanted: BaseSettings | EncoderSettings, folder: Path) -> Built:
    """Points at a snapshot of the Hub, or at a folder of the user's; the version is the hash of its commit and its files."""
    from hcf_pipeline.hub.snapshot import pinned_model

    source = pinned_model(settings, wanted.model, wanted.revision, kind)
    source.save(folder)
    return Built({"model": wanted.model, "revision": source.revision}, source.content)


def _point_at_server(store: Store, wanted: EncoderSettings, folder: Path) -> Built:
    """Points at what answers at the settings' address, by the vectors of the probe texts; see rag/encode/server_encoder.py."""
    from hcf_pipeline.rag.encode.server_encoder import pin_server

    earlier = [store.home / ENCODER_MODEL / version / FOLDER for version in sorted(store.versions(ENCODER_MODEL))]
    pin = pin_server(wanted, earlier)
    (folder / FOLDER).mkdir()
    pin.save(folder / FOLDER)
    source = ModelSource("server", pin.model, pin.fingerprint, "")
    source.save(folder)
    return Built({"model": pin.model, "dim": pin.dim, "fingerprint": pin.fingerprint}, source.content)
