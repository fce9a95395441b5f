"""From turns to the index."""

import dataclasses
from collections.abc import Collection, Mapping
from pathlib import Path

import dagster as dg

from hcf_pipeline.asset_names import (
    CHUNK_EMBEDDINGS,
    CHUNK_TABLE,
    ENCODER_MODEL,
    HELD_OUT_SPLIT,
    PARSED_PAIRS,
    TURN_TABLE,
)
from hcf_pipeline.corpus.held_out import transcript_dates
from hcf_pipeline.corpus.parts import n_made
from hcf_pipeline.corpus.tables import TURNS
from hcf_pipeline.defs.models import make_model
from hcf_pipeline.defs.publishing import OWNERS, Step, columns
from hcf_pipeline.hub.models import model_folder
from hcf_pipeline.rag.chunking.chunks import CHUNK_SCHEMA, CHUNKS, write_chunk_table
from hcf_pipeline.settings import Settings
from hcf_pipeline.store import Artifact, Built, Metadata, Store

VECTOR_CACHE = "cache/vectors"


@dg.asset(
    deps=[TURN_TABLE],
    description="Runs of consecutive turns, small enough to cite and to put before the model."
    "\n\n检索用的文段，由连续的发言组成。",
    group_name="retrieval",
    kinds={"parquet"},
    owners=OWNERS,
    metadata=columns(
        CHUNK_SCHEMA,
        chunk_id="stable under edits elsewhere in the transcript",
        content_hash="of the text; vectors are kept by it",
        transcript="path in the corpus folder",
        text="the words of the turns, one turn after the other",
        turn_nos="number of each turn",
        ends="where the words of each turn end in the text, in characters",
        speakers="labels, in order of appearance",
        said_by="position of each turn's label among the speakers",
        n_chars="characters of the turns",
        starts_s="when each turn begins, in seconds from the file's beginning; null where nobody wrote it",
    ),
)
def chunk_table(
    context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings], store: dg.ResourceParam[Store]
) -> dg.MaterializeResult[None]:
    step = Step(context, store)
    before = step.previous()

    def build(inputs: Mapping[str, Artifact], folder: Path) -> Built:
        turns, progress = inputs[TURN_TABLE].path / TURNS, step.progress("transcripts chunked")
        previous = before.path if before else None
        version, n_chunks = write_chunk_table(turns, settings.sections.chunks, folder, progress, previous)
        step.notes["transcripts_chunked"] = n_made(folder / CHUNKS, previous and previous / CHUNKS)
        return Built({"rows": n_chunks}, version)

    return step.publish(build)


@dg.asset(
    deps=[PARSED_PAIRS, HELD_OUT_SPLIT],  # where the model is the embedded one
    description="A static-embedding SentenceTransformer learnt from the corpus: a guest's question lies near the host's "
    "answer.\n\n检索用的编码器。",
    group_name="retrieval",
    kinds={"pytorch"},
    owners=OWNERS,
)
def encoder_model(
    context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings], store: dg.ResourceParam[Store]
) -> dg.MaterializeResult[None]:
    step, encoder = Step(context, store), settings.sections.encoder

    def fit(pairs: Path, held_out: Collection[str], folder: Path) -> tuple[Metadata, Collection[str]]:
        from hcf_pipeline.rag.encode.encoder_fit import fit_encoder

        progress = step.progress("training steps")
        report = fit_encoder(pairs, encoder, held_out, folder, progress)
        return dataclasses.asdict(report), transcript_dates(pairs).keys() - frozenset(held_out)

    return make_model(step, settings, "encoder", encoder, fit)


@dg.asset(
    deps=[CHUNK_TABLE, ENCODER_MODEL],
    description="One unit vector for each different chunk text; texts that were encoded before keep theirs."
    "\n\n每段文字一个向量；没变的不重算。",
    group_name="retrieval",
    kinds={"numpy"},
    owners=OWNERS,
    pool="embedding",
)
def chunk_embeddings(
    context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings], store: dg.ResourceParam[Store]
) -> dg.MaterializeResult[None]:
    step, sections = Step(context, store), settings.sections

    def build(inputs: Mapping[str, Artifact], folder: Path) -> Built:
        from hcf_pipeline.rag.encode.embed import write_embeddings
        from hcf_pipeline.rag.encode.encoder import load_encoder
        from hcf_pipeline.rag.encode.vector_cache import VectorCache

        encoder = load_encoder(model_folder(inputs[ENCODER_MODEL]), sections.chat.device, sections.encoder)
        cache = VectorCache(store.home / VECTOR_CACHE)
        chunks, progress = inputs[CHUNK_TABLE].path / CHUNKS, step.progress("texts encoded")
        report = write_embeddings(chunks, encoder, cache, folder, progress)
        step.notes["texts_encoded"] = report.n_encoded
        return Built({"texts": report.n_texts}, report.version)

    return step.publish(build)


@dg.asset(
    deps=[CHUNK_TABLE, CHUNK_EMBEDDINGS],
    description="What retrieval reads: vectors, terms and rows, in segments. An update writes one segment for what is new."
    "\n\n检索索引：向量、字面索引和原文，分段存放，更新时只写新的一段。",
    group_name="retrieval",
    kinds={"faiss"},
    owners=OWNERS,
)
def faiss_index(context: dg.AssetExecutionContext, store: dg.ResourceParam[Store]) -> dg.MaterializeResult[None]:
    step = Step(context, store)
    before = step.previous()

    def build(inputs: Mapping[str, Artifact], folder: Path) -> Built:
        from hcf_pipeline.rag.index.writer import write_index

        chunks, vectors = inputs[CHUNK_TABLE].path / CHUNKS, inputs[CHUNK_EMBEDDINGS].path
        report = write_index(chunks, vectors, folder, before.path if before else None)
        return Built(dataclasses.asdict(report))

    return step.publish(build)
