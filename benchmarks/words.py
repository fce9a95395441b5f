"""A corpus in a script with spaces: a guest's question to the broadcast that answers it, beside BM25 over words.

    python benchmarks/words.py --corpus FOLDER [--questions 300] [--unanswerable FILE.jsonl] [--work FOLDER]

The settings are those that `hcf init` writes for the folder. The questions are turns of guests, evenly drawn from a third of
the broadcasts, of which the encoder sees nothing; the turns themselves are taken out of the chunks. `bm25s` (its own
tokenizer, with and without stop words and stemming) ranks the texts of the same chunks; a question counts at k when its
broadcast is among the first k distinct ones. Wants `pip install bm25s PyStemmer`, which nothing else here needs.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from hcf_pipeline.corpus.grammar import Grammar
from hcf_pipeline.corpus.manifest import scan
from hcf_pipeline.corpus.survey import survey
from hcf_pipeline.corpus.tables import PAIRS, TURNS, read_transcripts, write_pair_table, write_turn_table
from hcf_pipeline.rag.chunking.chunks import CHUNKS, write_chunk_table
from hcf_pipeline.rag.encode.embed import write_embeddings
from hcf_pipeline.rag.encode.encoder import load_encoder
from hcf_pipeline.rag.encode.encoder_fit import fit_encoder
from hcf_pipeline.rag.encode.vector_cache import VectorCache
from hcf_pipeline.rag.evaluation.measures import mrr, recall
from hcf_pipeline.rag.evaluation.questions import MAX_CHARS, MIN_CHARS, Question, index_without, read_questions
from hcf_pipeline.rag.evaluation.scorecard import judge_retrieval
from hcf_pipeline.rag.index.index import Index
from hcf_pipeline.rag.index.terms import normalise
from hcf_pipeline.rag.index.writer import write_index
from hcf_pipeline.settings import CorpusSettings, RetrievalSettings, Sections

DEPTH = 10
ONE_IN = 3  # broadcasts that the questions are of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--questions", type=int, default=300)
    parser.add_argument("--unanswerable", type=Path, help="a file of questions that the corpus cannot answer")
    parser.add_argument("--work", type=Path, help="keeps what was built")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        work = given.work or Path(scratch)
        sections = Sections(
            corpus=CorpusSettings.model_validate(tomllib.loads(survey(given.corpus).toml("."))["corpus"])
        )
        manifest = scan(given.corpus.resolve(), sections.corpus)
        write_turn_table(manifest, Grammar(sections.corpus), work)
        write_pair_table(work / TURNS, work)
        write_chunk_table(work / TURNS, sections.chunks, work)
        asked_of = [file.path for file in manifest.files][::ONE_IN]
        fit_encoder(work / PAIRS, sections.encoder, frozenset(asked_of), work / "encoder")
        encoder = load_encoder(work / "encoder", "cpu", sections.encoder)
        cache = VectorCache(work / "vectors")
        for name in ("embeddings", "index", "without"):
            (work / name).mkdir(parents=True)
        write_embeddings(work / CHUNKS, encoder, cache, work / "embeddings")
        write_index(work / CHUNKS, work / "embeddings", work / "index")
        questions = _questions(work / TURNS, asked_of, given.questions)
        without = index_without(questions, work / CHUNKS, encoder, cache, work / "index", work / "without")
        settings = RetrievalSettings()
        beyond = read_questions(given.unanswerable) if given.unanswerable else []
        judged = judge_retrieval(without, encoder, settings, "guests", [*questions, *beyond])
        index = Index(without, encoder.identity, encoder.dim)
        live = index.live_rows
        print(
            f"{len(manifest.files)} files, {len(live)} chunks, {len(questions)} questions; min_score refuses {judged.refused_answerable:.1%}, "
            f"and {judged.refused_unanswerable:.1%} of {len(beyond)} without an answer"
        )
        print(f"{'':24}  hit@1  hit@3 hit@10    MRR")
        for stage in judged.stages:
            recalls = "".join(f" {stage.recall[k]:6.3f}" for k in ("1", "3", "10"))
            print(f"{stage.name:24}{recalls} {stage.mrr:6.3f}")
        for name, scores in _bm25s([index.text(int(row)) for row in live]).items():
            ranks = [_rank(index, live, scores(question.text), question) for question in questions]
            recalls = "".join(f" {recall(ranks, k):6.3f}" for k in (1, 3, DEPTH))
            print(f"{name:24}{recalls} {mrr(ranks):6.3f}")


def _questions(turns: Path, transcripts: Sequence[str], n: int) -> list[Question]:
    """Turns of guests that ask something, whoever answers; each is drawn by its own hash."""
    found = [
        Question(turn.text, path, turn=turn.no)
        for path, _, turns_here in read_transcripts(turns, transcripts)
        for turn in turns_here
        if turn.side == "guest" and "?" in turn.text and MIN_CHARS <= len(normalise(turn.text)) <= MAX_CHARS
    ]
    return sorted(found, key=lambda q: hashlib.sha256(q.text.encode("utf-8")).digest())[:n]


def _bm25s(texts: list[str]) -> dict[str, Callable[[str], np.ndarray]]:
    import bm25s
    import Stemmer

    found: dict[str, Callable[[str], np.ndarray]] = {}
    for name, stop, stemmer in (
        ("bm25s", None, None),
        ("bm25s, stop words", "en", None),
        ("bm25s, stop words, stems", "en", Stemmer.Stemmer("english")),
    ):
        retriever = bm25s.BM25()
        retriever.index(
            bm25s.tokenize(texts, stopwords=stop, stemmer=stemmer, show_progress=False), show_progress=False
        )

        def scores(text: str, retriever=retriever, stop=stop, stemmer=stemmer) -> np.ndarray:
            tokens = bm25s.tokenize([text], stopwords=stop, stemmer=stemmer, show_progress=False, return_ids=False)
            return retriever.get_scores(tokens[0])

        found[name] = scores
    return found


def _rank(index: Index, live: np.ndarray, scores: np.ndarray, question: Question) -> int:
    seen: list[str] = []
    for at in np.argsort(-scores, kind="stable").tolist():
        transcript = index.place(int(live[at]))[0]
        if transcript not in seen:
            seen.append(transcript)
        if transcript == question.transcript:
            return len(seen)
        if len(seen) >= DEPTH:
            return 0
    return 0


if __name__ == "__main__":
    main()
