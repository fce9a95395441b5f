"""How well the index finds what was asked, as an asset: figures, a plot, and misses to read."""

import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from hcf_pipeline.asset_names import (
    CHUNK_EMBEDDINGS,
    CHUNK_TABLE,
    ENCODER_MODEL,
    FAISS_INDEX,
    HELD_OUT_SPLIT,
    TURN_TABLE,
)
from hcf_pipeline.corpus.fitted import FITTED_ON, seen_transcripts
from hcf_pipeline.corpus.held_out import HELD_OUT, HeldOut
from hcf_pipeline.corpus.pairs import pair_turns
from hcf_pipeline.corpus.parts import Table
from hcf_pipeline.corpus.tables import TURNS, turns_of
from hcf_pipeline.defs.assets.retrieval import VECTOR_CACHE
from hcf_pipeline.defs.publishing import OWNERS, Step
from hcf_pipeline.defs.scorecard_shown import scorecard_shown
from hcf_pipeline.hub.models import model_folder
from hcf_pipeline.rag.chunking.chunks import CHUNKS
from hcf_pipeline.settings import EMBEDDED, Settings
from hcf_pipeline.store import Artifact, Built, Store

if TYPE_CHECKING:
    from hcf_pipeline.rag.evaluation.questions import Question

GUESTS = "guests"  # the name of the set of the guests' own questions


@dg.asset(
    deps=[FAISS_INDEX, HELD_OUT_SPLIT],
    description="How often retrieval finds the right broadcast: guests' questions from held-out broadcasts that the encoder has "
    "not seen, asked of an index without them, and the question files of [retrieval] questions; by stage, with a plot and the worst misses."
    "\n\n检索的成绩单：各环节的召回率、延迟、没找到的问题。",
    group_name="retrieval",
    kinds={"json"},
    owners=OWNERS,
)
def retrieval_scorecard(
    context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings], store: dg.ResourceParam[Store]
) -> dg.MaterializeResult[None]:
    step, sections = Step(context, store), settings.sections

    def build(inputs: Mapping[str, Artifact], folder: Path) -> Built:
        from hcf_pipeline.chat.engine import open_reranker, pinned_reranker
        from hcf_pipeline.rag.encode.encoder import load_encoder
        from hcf_pipeline.rag.encode.vector_cache import VectorCache
        from hcf_pipeline.rag.evaluation.questions import index_without, read_questions
        from hcf_pipeline.rag.evaluation.scorecard import ask_all, draw, scorecard_of

        index = inputs[FAISS_INDEX]
        model = step.made_from(index, [CHUNK_EMBEDDINGS, ENCODER_MODEL])
        encoder = load_encoder(model_folder(model), "cpu", sections.encoder)
        pinned, retrieval = pinned_reranker(settings), sections.retrieval
        reranker = open_reranker(pinned, store.home, sections)
        progress = step.progress("questions asked")
        sets = []
        questions, n_left_out = _guest_questions(step, index, inputs[HELD_OUT_SPLIT], model)
        asked_of = partial(ask_all, encoder=encoder, settings=retrieval, reranker=reranker, progress=progress)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".") as scratch:
            without = index.path
            if questions:
                chunks = step.made_from(index, [CHUNK_TABLE]).path / CHUNKS
                cache = VectorCache(store.home / VECTOR_CACHE)
                without = index_without(questions, chunks, encoder, cache, index.path, Path(scratch))
            if questions or n_left_out:
                sets.append(asked_of(GUESTS, without, questions=questions, n_left_out=n_left_out))
            for given, file in settings.question_files.items():
                sets.append(asked_of(given.as_posix(), index.path, questions=read_questions(file), by_users=True))
            card = scorecard_of(sets, retrieval, pretrained=sections.encoder.model != EMBEDDED)
        card.save(folder)
        draw(card, folder)
        return Built(scorecard_shown(card, folder, nobody_asks=sections.corpus.is_monologue), card.content)

    return step.publish(build)


def _guest_questions(step: Step, index: Artifact, split: Artifact, encoder: Artifact) -> "tuple[list[Question], int]":
    """(questions of held-out transcripts that the encoder has not seen, how many there are of the others)."""
    from hcf_pipeline.rag.evaluation.questions import guest_questions

    turns = step.made_from(index, [CHUNK_TABLE, TURN_TABLE]).path / TURNS
    spoken = Table(turns)
    held_out = {entry.path for entry in spoken.entries if entry.n_rows} & HeldOut.load(
        split.file(HELD_OUT)
    ).dates.keys()
    records = [encoder.file(FITTED_ON)] if FITTED_ON in encoder.files else []  # a snapshot saw none of ours
    seen = seen_transcripts(records, ((path, list(pair_turns(turns_of(spoken, path)))) for path in held_out))
    return guest_questions(turns, held_out - seen), len(guest_questions(turns, seen))
