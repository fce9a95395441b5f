"""How well the index finds what was asked, as an asset: figures, a plot, and misses to read."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from hcf_pipeline.asset_names import CHUNK_EMBEDDINGS, CHUNK_TABLE, ENCODER_MODEL, FAISS_INDEX, TURN_TABLE
from hcf_pipeline.corpus.parts import Table
from hcf_pipeline.corpus.tables import TURNS
from hcf_pipeline.defs.assets.retrieval import VECTOR_CACHE
from hcf_pipeline.defs.publishing import OWNERS, Step
from hcf_pipeline.defs.scorecard_shown import scorecard_shown
from hcf_pipeline.models import model_folder
from hcf_pipeline.rag.chunks import CHUNKS
from hcf_pipeline.settings import Settings
from hcf_pipeline.sft.split import held_out_transcripts
from hcf_pipeline.store import Artifact, Built, Store

if TYPE_CHECKING:
    from hcf_pipeline.rag.asked import Question

GUESTS = "guests"  # the name of the set of the guests' own questions


@dg.asset(
    deps=[FAISS_INDEX],
    description="How often retrieval finds the right broadcast: guests' questions from held-out broadcasts, asked of an "
    "index without them, and the question files of [retrieval] questions; by stage, with a plot and the worst misses."
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
        from hcf_pipeline.rag.asked import index_without, read_questions
        from hcf_pipeline.rag.card import Scorecard
        from hcf_pipeline.rag.encoder import load_encoder
        from hcf_pipeline.rag.scorecard import draw, judge_retrieval
        from hcf_pipeline.rag.vector_cache import VectorCache

        index = inputs[FAISS_INDEX]
        encoder = load_encoder(
            model_folder(step.made_from(index, [CHUNK_EMBEDDINGS, ENCODER_MODEL])), "cpu", sections.encoder
        )
        pinned, retrieval = pinned_reranker(settings), sections.retrieval
        reranker = open_reranker(pinned, store.home, sections)
        progress = step.progress("questions asked")
        sets = []
        with tempfile.TemporaryDirectory(dir=folder, prefix=".") as scratch:
            if questions := _guest_questions(step, index, sections.sft.held_out_share):
                chunks = step.made_from(index, [CHUNK_TABLE]).path / CHUNKS
                cache = VectorCache(store.home / VECTOR_CACHE)
                without = index_without(questions, chunks, encoder, cache, index.path, Path(scratch))
                sets.append(judge_retrieval(without, encoder, retrieval, GUESTS, questions, reranker, progress))
        for given, file in settings.question_files.items():
            asked = read_questions(file)
            sets.append(judge_retrieval(index.path, encoder, retrieval, given.as_posix(), asked, reranker, progress))
        card = Scorecard(tuple(sets))
        card.save(folder)
        draw(card, folder)
        return Built(scorecard_shown(card, folder), card.content)

    return step.publish(build)


def _guest_questions(step: Step, index: Artifact, held_out_share: float) -> "list[Question]":
    from hcf_pipeline.rag.asked import guest_questions

    turns = step.made_from(index, [CHUNK_TABLE, TURN_TABLE]).path / TURNS
    dates = {entry.path: entry.date for entry in Table(turns).entries if entry.n_rows}
    return guest_questions(turns, held_out_transcripts(dates, held_out_share))
