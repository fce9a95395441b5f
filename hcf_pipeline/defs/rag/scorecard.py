"""How well the index finds what was asked, as an asset: figures, a plot, and misses to read."""

import base64
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from hcf_pipeline.corpus.parts import Table
from hcf_pipeline.corpus.tables import TURNS
from hcf_pipeline.defs.publishing import OWNERS, Step, described, store_of
from hcf_pipeline.defs.rag.assets import VECTOR_CACHE
from hcf_pipeline.defs.samples import table
from hcf_pipeline.files import file_sha256
from hcf_pipeline.models import model_folder
from hcf_pipeline.rag.chunks import CHUNKS
from hcf_pipeline.settings import Settings
from hcf_pipeline.sft.split import held_out_transcripts
from hcf_pipeline.store import Artifact, Built, Markdown, Metadata, Recipe

if TYPE_CHECKING:
    from hcf_pipeline.rag.asked import Question
    from hcf_pipeline.rag.card import QuestionSet, Scorecard

RANKED_BY = (
    "k1",
    "b",
    "dense_weight",
    "neighbour_share",
    "min_score",
    "reranker",
    "reranker_revision",
    "rerank_top",
    "questions",
)
GUESTS = "guests"  # the name of the set of the guests' own questions
SHOWN = 8  # misses in the UI; the others are in the file


def scorecard_asset(settings: Settings) -> dg.AssetsDefinition:
    store = store_of(settings)
    sections = settings.sections
    files = {given: settings.root / given for given in sections.retrieval.questions}
    read = settings.reads(*(f"retrieval.{name}" for name in RANKED_BY), "sft.held_out_share", "encoder.query_prompt")
    scored_by = Recipe(1, read | {f"file {given}": _digest(file) for given, file in files.items()})

    @dg.asset(
        deps=["faiss_index"],
        description="How often retrieval finds the right broadcast: guests' questions from held-out broadcasts, asked of an "
        "index without them, and the question files of [retrieval] questions; by stage, with a plot and the worst misses."
        "\n\n检索的成绩单：各环节的召回率、延迟、没找到的问题。",
        group_name="retrieval",
        kinds={"json"},
        owners=OWNERS,
        code_version=scored_by.code_version,
        metadata=described(scored_by),
    )
    def retrieval_scorecard(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        step = Step(context, store)

        def build(inputs: Mapping[str, Artifact], folder: Path) -> Built:
            from hcf_pipeline.chat.engine import reranker_for
            from hcf_pipeline.rag.asked import index_without, read_questions
            from hcf_pipeline.rag.card import Scorecard
            from hcf_pipeline.rag.encoder import load_encoder
            from hcf_pipeline.rag.scorecard import draw, judge_retrieval
            from hcf_pipeline.rag.vector_cache import VectorCache

            index = inputs["faiss_index"]
            encoder = load_encoder(
                model_folder(step.made_from(index, ["chunk_embeddings", "encoder_model"])), "cpu", sections.encoder
            )
            reranker, retrieval = reranker_for(settings), sections.retrieval
            progress = step.progress("questions asked")
            sets = []
            with tempfile.TemporaryDirectory(dir=folder, prefix=".") as scratch:
                if questions := _guest_questions(step, index):
                    chunks = step.made_from(index, ["chunk_table"]).path / CHUNKS
                    cache = VectorCache(store.home / VECTOR_CACHE)
                    without = index_without(questions, chunks, encoder, cache, index.path, Path(scratch))
                    sets.append(judge_retrieval(without, encoder, retrieval, GUESTS, questions, reranker, progress))
            for file in files.values():
                asked = read_questions(file)
                sets.append(judge_retrieval(index.path, encoder, retrieval, file.name, asked, reranker, progress))
            card = Scorecard(tuple(sets))
            card.save(folder)
            draw(card, folder)
            return Built(_shown(card, folder), card.content)

        return step.publish(build)

    def _guest_questions(step: Step, index: Artifact) -> "list[Question]":
        from hcf_pipeline.rag.asked import guest_questions

        turns = step.made_from(index, ["chunk_table", "turn_table"]).path / TURNS
        dates = {entry.path: entry.date for entry in Table(turns).entries if entry.n_rows}
        return guest_questions(turns, held_out_transcripts(dates, sections.sft.held_out_share))

    return retrieval_scorecard


def _digest(file: Path) -> str:
    try:
        return file_sha256(file)
    except OSError:
        return "cannot be read"  # the step says so


def _shown(card: "Scorecard", folder: Path) -> Metadata:
    plot = base64.b64encode((folder / "recall.png").read_bytes()).decode("ascii")
    figures: dict[str, float] = {}
    for of_set in card.sets:
        if of_set.stages:
            best = of_set.stages[-1]
            figures |= {f"{of_set.name} recall@{k}": value for k, value in best.recall.items()}
            figures |= {f"{of_set.name} MRR": best.mrr, f"{of_set.name} p50 ms": best.p50_ms}
    rows = [row for of_set in card.sets for row in _rows(of_set)]
    headings = ("questions", "stage", "@1", "@3", "@5", "@10", "MRR", "nDCG", "p50 ms", "p99 ms", "refused")
    misses = [miss for of_set in card.sets for miss in of_set.misses[:SHOWN]]
    return {
        **figures,
        "recall": Markdown(f"![recall](data:image/png;base64,{plot})"),
        "stages": table(headings, rows),
        "fusion": " ".join(filter(None, map(_verdict, card.sets))),
        "misses": table(
            ("question", "right", "rank", "came first", "its words"),
            ((m.question, m.right, m.rank or "> 10", m.came_first, m.its_words) for m in misses),
        ),
    }


def _rows(of_set: "QuestionSet") -> list[tuple[object, ...]]:
    refused = f"{of_set.refused_answerable:.1%} of {of_set.n_answerable}"
    if of_set.n_unanswerable:
        refused += f", {of_set.refused_unanswerable:.1%} of {of_set.n_unanswerable} without an answer"
    return [
        (of_set.name, s.name, *s.recall.values(), s.mrr, s.ndcg, s.p50_ms, s.p99_ms, refused) for s in of_set.stages
    ]


def _verdict(of_set: "QuestionSet") -> str:
    """Whether the vectors earn their place."""
    by_name = {stage.name: stage for stage in of_set.stages}
    if "dense" not in by_name:
        return ""
    gained = by_name["fused"].mrr - by_name["lexical"].mrr
    says = "the dense side adds" if gained > 0 else "the dense side adds nothing:"
    return f"{of_set.name}: {says} {gained:+.4f} MRR to the lexical one."
