"""From turns to the index."""

import dataclasses
from collections.abc import Collection, Mapping
from pathlib import Path

import dagster as dg

from hcf_pipeline.corpus.parts import n_made
from hcf_pipeline.corpus.tables import TURNS
from hcf_pipeline.defs.models import make_model, model_deps, model_recipe
from hcf_pipeline.defs.publishing import OWNERS, Step, columns, described, store_of
from hcf_pipeline.files import hash_of
from hcf_pipeline.models import model_folder
from hcf_pipeline.rag.chunks import CHUNK_SCHEMA, CHUNKS, write_chunk_table
from hcf_pipeline.settings import EMBEDDED, Settings
from hcf_pipeline.store import Artifact, Built, Metadata, Recipe

VECTOR_CACHE = "cache/vectors"


def rag_assets(settings: Settings) -> list[dg.AssetsDefinition]:
    store = store_of(settings)
    sections = settings.sections
    embedded = sections.encoder.model == EMBEDDED
    chunks_by = Recipe(2, settings.reads("chunks"))
    encoder_by = model_recipe(settings, "encoder", "dim", "vocab_size", "steps")
    vectors_by = Recipe(2)
    index_by = Recipe(3)

    @dg.asset(
        deps=["turn_table"],
        description="Runs of consecutive turns, small enough to cite and to put before the model."
        "\n\n检索用的文段，由连续的发言组成。",
        group_name="retrieval",
        kinds={"parquet"},
        owners=OWNERS,
        code_version=chunks_by.code_version,
        metadata=described(
            chunks_by,
            columns(
                CHUNK_SCHEMA,
                chunk_id="stable under edits elsewhere in the transcript",
                content_hash="of the text; vectors are kept by it",
                transcript="path in the corpus folder",
                turn_nos="turn number of each line of the text",
                n_chars="characters of the turns, labels apart",
            ),
        ),
    )
    def chunk_table(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        step = Step(context, store)
        before = step.previous()

        def build(inputs: Mapping[str, Artifact], folder: Path) -> Built:
            turns, progress = inputs["turn_table"].path / TURNS, step.progress("transcripts chunked")
            previous = before.path if before else None
            version, n_chunks = write_chunk_table(turns, sections.chunks, folder, progress, previous)
            step.notes["transcripts_chunked"] = n_made(folder / CHUNKS, previous and previous / CHUNKS)
            return Built({"rows": n_chunks}, version)

        return step.publish(build)

    @dg.asset(
        deps=model_deps(sections.encoder),
        description=(
            "A static-embedding SentenceTransformer learnt from the corpus: a guest's question lies near the host's answer."
            if embedded
            else f"{sections.encoder.model}, pinned by commit."
        )
        + "\n\n检索用的编码器。",
        group_name="retrieval",
        kinds={"pytorch" if embedded else "huggingface"},
        owners=OWNERS,
        code_version=encoder_by.code_version,
        metadata=described(encoder_by),
    )
    def encoder_model(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        step = Step(context, store)

        def fit(pairs: Path, held_out: Collection[str], folder: Path) -> Metadata:
            from hcf_pipeline.rag.encoder_fit import fit_encoder

            progress = step.progress("training steps")
            return dataclasses.asdict(fit_encoder(pairs, sections.encoder, held_out, folder, progress))

        return make_model(step, settings, "encoder", sections.encoder, fit)

    @dg.asset(
        deps=["chunk_table", "encoder_model"],
        description="One unit vector for each different chunk text; texts that were encoded before keep theirs."
        "\n\n每段文字一个向量；没变的不重算。",
        group_name="retrieval",
        kinds={"numpy"},
        owners=OWNERS,
        pool="embedding",
        code_version=vectors_by.code_version,
        metadata=described(vectors_by),
    )
    def chunk_embeddings(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        step = Step(context, store)

        def build(inputs: Mapping[str, Artifact], folder: Path) -> Built:
            from hcf_pipeline.rag.embed import write_embeddings
            from hcf_pipeline.rag.encoder import load_encoder
            from hcf_pipeline.rag.vector_cache import VectorCache

            encoder = load_encoder(model_folder(inputs["encoder_model"]), sections.chat.device, sections.encoder)
            cache = VectorCache(store.home / VECTOR_CACHE)
            chunks, progress = inputs["chunk_table"].path / CHUNKS, step.progress("texts encoded")
            report = write_embeddings(chunks, encoder, cache, folder, progress)
            step.notes["texts_encoded"] = report.n_encoded
            return Built({"texts": report.n_texts}, hash_of([encoder.identity, report.version]))

        return step.publish(build)

    @dg.asset(
        deps=["chunk_table", "chunk_embeddings"],
        description="What retrieval reads: vectors, terms and rows, in segments. An update writes one segment for what is new."
        "\n\n检索索引：向量、字面索引和原文，分段存放，更新时只写新的一段。",
        group_name="retrieval",
        kinds={"faiss"},
        owners=OWNERS,
        code_version=index_by.code_version,
        metadata=described(index_by),
    )
    def faiss_index(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        step = Step(context, store)
        before = step.previous()

        def build(inputs: Mapping[str, Artifact], folder: Path) -> Built:
            from hcf_pipeline.rag.encoder import encoder_identity
            from hcf_pipeline.rag.index_writer import write_index

            encoder = step.made_from(inputs["chunk_embeddings"], ["encoder_model"])
            chunks, vectors = inputs["chunk_table"].path / CHUNKS, inputs["chunk_embeddings"].path
            identity = encoder_identity(model_folder(encoder))
            report = write_index(chunks, vectors, identity, folder, before.path if before else None)
            return Built(dataclasses.asdict(report))

        return step.publish(build)

    return [chunk_table, encoder_model, chunk_embeddings, faiss_index]
