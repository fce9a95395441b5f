"""From turns to the index."""

import dataclasses
from collections.abc import Collection, Mapping
from pathlib import Path

import dagster as dg

from hcf_pipeline.chat.release import made_from
from hcf_pipeline.corpus.tables import TURNS
from hcf_pipeline.defs.models import make_model, model_code_version, model_deps
from hcf_pipeline.defs.publishing import OWNERS, Step, code_version, columns, store_of
from hcf_pipeline.models import model_folder
from hcf_pipeline.rag.chunks import CHUNK_SCHEMA, CHUNKS, write_chunk_table
from hcf_pipeline.settings import EMBEDDED, Settings, fingerprint
from hcf_pipeline.store import Artifact, Built, Metadata


def rag_assets(settings: Settings) -> list[dg.AssetsDefinition]:
    store = store_of(settings)
    sections = settings.sections
    embedded = sections.encoder.model == EMBEDDED

    @dg.asset(
        deps=["turn_table"],
        description="Runs of consecutive turns, small enough to cite and to put before the model."
        "\n\n检索用的文段，由连续的发言组成。",
        group_name="retrieval",
        kinds={"parquet"},
        owners=OWNERS,
        code_version=code_version(1, fingerprint(sections.chunks)),
        metadata=columns(
            CHUNK_SCHEMA,
            chunk_id="stable under edits elsewhere in the transcript",
            content_hash="of the text; vectors are kept by it",
            transcript="path in the corpus folder",
            turn_nos="turn number of each line of the text",
            n_chars="characters of the turns, labels apart",
        ),
    )
    def chunk_table(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        step = Step(context, store)

        def build(inputs: Mapping[str, Artifact], folder: Path) -> Built:
            turns = inputs["turn_table"].file(TURNS)
            version, n_chunks = write_chunk_table(turns, sections.chunks, folder, step.progress("turns chunked"))
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
        code_version=model_code_version(settings, sections.encoder, "dim", "vocab_size", "steps"),
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
        code_version=code_version(1),
    )
    def chunk_embeddings(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        step = Step(context, store)

        def build(inputs: Mapping[str, Artifact], folder: Path) -> Built:
            from hcf_pipeline.rag.embed import write_embeddings
            from hcf_pipeline.rag.encoder import load_encoder

            encoder = load_encoder(model_folder(inputs["encoder_model"]), sections.chat.device, sections.encoder)
            before = step.previous()
            same_encoder = before and before.inputs.get("encoder_model") == inputs["encoder_model"].version
            report = write_embeddings(
                inputs["chunk_table"].file(CHUNKS),
                encoder,
                before.path if before and same_encoder else None,
                folder,
                step.progress("texts encoded"),
            )
            return Built(dataclasses.asdict(report))

        return step.publish(build)

    @dg.asset(
        deps=["chunk_table", "chunk_embeddings"],
        description="What retrieval reads: the FAISS index, the lexical index and the rows that they lead to."
        "\n\n检索索引：向量索引、字面索引和原文。",
        group_name="retrieval",
        kinds={"faiss"},
        owners=OWNERS,
        code_version=code_version(1),
    )
    def faiss_index(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        step = Step(context, store)

        def build(inputs: Mapping[str, Artifact], folder: Path) -> Built:
            from hcf_pipeline.rag.encoder import encoder_identity
            from hcf_pipeline.rag.index import write_index

            encoder = made_from(store, inputs["chunk_embeddings"], ["encoder_model"])
            report = write_index(
                inputs["chunk_table"].file(CHUNKS),
                inputs["chunk_embeddings"].path,
                encoder_identity(model_folder(encoder)),
                folder,
            )
            return Built(dataclasses.asdict(report))

        return step.publish(build)

    return [chunk_table, encoder_model, chunk_embeddings, faiss_index]
