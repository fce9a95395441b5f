"""What an encoder behind a server adds to the words: the first hits of some questions, put into order anew.

    python benchmarks/encoders.py --corpus FOLDER --questions FILE.jsonl … --base-url URL --model NAME [--work FOLDER]

The words alone find the first HITS chunks of each question (near-duplicates merged, as they are served); the encoder reads
those, the question, and what the scale of its cosines is measured by (cosines.py), and no others, so that a slow one can be
measured too. The rows: the words' order; the fused one at fixed weights of the plain cosine, and of the cosine on its scale; and
"auto": the weight that a scorecard would serve by, for each half of the questions chosen by the other half. A question counts at k when a broadcast of its date is among the first k distinct ones
of its hits. The gain is that of the reciprocal ranks over the words alone, with the interval that 95 of 100 samples of
the same questions give (paired bootstrap).

The index is that of benchmarks/retrieval.py, of the same --work folder. Vectors are kept there by the encoder's identity:
a run that breaks off goes on where it was. The key of a hosted server stands in the variable that --api-key-env names.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from retrieval import build

from hcf_pipeline.corpus.parts import Table
from hcf_pipeline.rag.arrays import Ids, Mask, Vectors, Weights
from hcf_pipeline.rag.chunking.chunks import CHUNKS, content_hash
from hcf_pipeline.rag.encode.cosines import CosineScale, cosine_scale
from hcf_pipeline.rag.encode.embed import prepared
from hcf_pipeline.rag.encode.encoder import Encoder, load_encoder
from hcf_pipeline.rag.encode.server_encoder import pin_server
from hcf_pipeline.rag.encode.vector_cache import VectorCache
from hcf_pipeline.rag.encode.vector_file import Hashes, gather, locate
from hcf_pipeline.rag.evaluation.calibration import Ranked, choose_weight, interval
from hcf_pipeline.rag.evaluation.measures import DEPTH, mrr, recall
from hcf_pipeline.rag.evaluation.questions import Question, read_questions
from hcf_pipeline.rag.index.index import Index
from hcf_pipeline.rag.search.fusion import Fusion
from hcf_pipeline.rag.search.hits import Hit
from hcf_pipeline.rag.search.retriever import Retriever
from hcf_pipeline.settings import EncoderSettings, RetrievalSettings
from hcf_pipeline.settings.file import load_settings

HITS = 25
WEIGHTS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
AT_A_TIME = 64  # texts between two writes


@dataclass(frozen=True)
class Asked:
    """One question with the hits that the words found, in their order, and what either side says of each."""

    question: Question
    hits: list[Hit]
    transcripts: Ids  # of each hit, as a number
    is_right: Mask
    words: Weights
    cosines: Weights
    scaled: Weights  # the cosines on the encoder's own scale
    factor: Weights  # below 1 outside the time that the question names


def fused(asked: Asked, weight: float) -> Weights:
    """The scores of the hits at one weight of the vectors: what the retriever does with them, but for the neighbours."""
    return (1 - weight) * asked.words + weight * asked.scaled * asked.factor


def fused_plainly(asked: Asked, weight: float) -> Weights:
    return (1 - weight) * asked.words + weight * np.maximum(asked.cosines, 0) * asked.factor


def chosen(questions: Sequence[Asked]) -> float:
    """The weight that a scorecard of these questions would choose for an encoder that was pretrained."""
    stands = Fusion.of(RetrievalSettings(), pretrained=True).dense_weight
    ranked = [Ranked(one.transcripts, one.is_right, partial(fused, one)) for one in questions]
    weight, reason, _ = choose_weight(ranked, stands)
    print(f"  auto: {weight.value:g} ({reason.why}, {reason.n_questions} questions, {reason.interval})")
    return weight.value


ORDERS: Mapping[str, Callable[[Asked], Weights]] = {
    "words alone": lambda asked: asked.words,
    **{f"cosine {weight}": lambda asked, weight=weight: fused_plainly(asked, weight) for weight in WEIGHTS},
    **{f"scaled {weight}": lambda asked, weight=weight: fused(asked, weight) for weight in WEIGHTS},
}


def main() -> None:
    given = _arguments()
    settings = EncoderSettings(
        model=given.model,
        base_url=given.base_url,
        api_key_env=given.api_key_env,
        query_prompt=given.query_prompt,
        document_prompt=given.document_prompt,
        query_input_type=given.query_input_type,
        document_input_type=given.document_input_type,
    )
    with tempfile.TemporaryDirectory() as scratch:
        work = given.work or Path(scratch)
        sections = load_settings().sections
        embedded = build(given.corpus, work, sections)
        by_words = sections.retrieval.model_copy(update={"dense_weight": 0.0, "reranker": ""})
        retriever = Retriever(Index(work / "index", embedded.identity, embedded.dim), embedded, by_words)
        encoder = _opened(work / "server", settings)
        questions = [q for file in given.questions for q in read_questions(file) if q.is_answerable]
        n = min(given.n, len(questions))
        questions = [questions[at * len(questions) // n] for at in range(n)]
        cache = VectorCache(work / "vectors")
        scale = _scale(Table(work / CHUNKS), encoder, cache)
        asked = _ask(retriever, encoder, cache, scale, questions)
    print(f"\n{len(asked)} questions, the first {HITS} hits of each; {given.model}, {encoder.dim} dimensions")
    print(f"{'':14} {'hit@1':>6} {'hit@3':>6} {'hit@10':>6} {'MRR':>6}   gain over words alone")
    halves = asked[::2], asked[1::2]
    by_half = {id(one): weight for half, other in (halves, halves[::-1]) for weight in (chosen(other),) for one in half}
    base: np.ndarray | None = None
    for name, order in [*ORDERS.items(), ("auto", lambda one: fused(one, by_half[id(one)]))]:
        ranks = [_rank(one, order(one)) for one in asked]
        reciprocal = np.array([1 / rank if 0 < rank <= DEPTH else 0.0 for rank in ranks])
        base = reciprocal if base is None else base
        gain = interval(reciprocal - base)
        recalls = "".join(f" {recall(ranks, k):6.3f}" for k in (1, 3, 10))
        print(
            f"{name:14}{recalls} {mrr(ranks):6.3f}   {gain.mean:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]",
            flush=True,
        )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--questions", type=Path, required=True, nargs="+")
    parser.add_argument("--base-url", required=True, help="such as http://127.0.0.1:8000/v1")
    parser.add_argument("--model", required=True)
    parser.add_argument("--api-key-env", default="")
    parser.add_argument("--query-prompt", default="")
    parser.add_argument("--document-prompt", default="")
    parser.add_argument("--query-input-type", default="")
    parser.add_argument("--document-input-type", default="")
    parser.add_argument("-n", type=int, default=300, help="questions, evenly drawn from those that have an answer")
    parser.add_argument("--work", type=Path, help="keeps what was built, and the vectors")
    return parser.parse_args()


def _opened(folder: Path, settings: EncoderSettings) -> Encoder:
    """The server's encoder as it was pinned in an earlier run, or as it answers now."""
    folder.mkdir(parents=True, exist_ok=True)
    pin_server(settings, [folder]).save(folder)
    return load_encoder(folder, "cpu", settings)


def _scale(table: Table, encoder: Encoder, cache: VectorCache) -> CosineScale:
    texts = {
        content_hash(text).encode(): prepared(text)
        for _, (column,) in table.read(["text"])
        for text in column.to_pylist()
    }

    def of_chunks(hashes: Hashes) -> Vectors:
        return _vectors([texts[one] for one in hashes.tolist()], cache, encoder.identity, encoder.encode_documents)

    scale = cosine_scale(table, encoder.encode_queries, of_chunks)
    print(f"cosines of random questions and chunks: {scale.mean} ± {scale.sd}")
    return scale


def _ask(
    retriever: Retriever, encoder: Encoder, cache: VectorCache, scale: CosineScale, questions: Sequence[Question]
) -> list[Asked]:
    found: list[tuple[Question, list[Hit], Weights]] = []
    for question in questions:
        query = retriever.query(question.text, question.asked)
        candidates = retriever.candidates(query, HITS)
        hits = retriever.hits(candidates, candidates.scores(0.0), HITS)
        factors = dict(zip(candidates.rows.tolist(), candidates.factor.tolist(), strict=True))
        if hits:
            found.append((question, hits, np.array([factors[hit.row] for hit in hits])))
    texts = {hit.row: prepared(retriever.index.text(hit.row)) for _, hits, _ in found for hit in hits}
    rows = dict(zip(texts, _vectors([*texts.values()], cache, encoder.identity, encoder.encode_documents), strict=True))
    of_questions = _vectors(
        [question.text for question, _, _ in found],
        cache,
        f"{encoder.identity}-questions",
        encoder.encode_queries,
    )
    asked: list[Asked] = []
    for (question, hits, factor), vector in zip(found, of_questions, strict=True):
        cosines = np.stack([rows[hit.row] for hit in hits]) @ vector
        at = np.array([hit.row for hit in hits])
        places = [(hit.place, *hit.also) for hit in hits]
        right = [any(question.is_right(place.transcript, place.date) for place in some) for some in places]
        words, scaled = np.array([hit.score for hit in hits]), scale.scores(cosines).astype(np.float64)
        transcripts = retriever.index.transcripts[at]
        asked.append(
            Asked(question, hits, transcripts, np.array(right), words, cosines.astype(np.float64), scaled, factor)
        )
    return asked


def _vectors(
    texts: Sequence[str], cache: VectorCache, identity: str, encode: Callable[[Sequence[str]], Vectors]
) -> Vectors:
    """The texts' vectors, in order; those that the cache lacks are encoded and kept, some at a time."""
    hashes = np.array([content_hash(text).encode() for text in texts])
    known = cache.open(identity)
    first = np.unique(hashes, return_index=True)[1]
    new = first[locate(known, hashes[first]) < 0]
    began = time.perf_counter()
    for start in range(0, len(new), AT_A_TIME):
        some = new[start : start + AT_A_TIME]
        known.append(cache.add(identity, hashes[some], encode([texts[at] for at in some])))
        known = cache.merge(identity, known)
        done = start + len(some)
        print(f"  {done} of {len(new)} texts, {done / (time.perf_counter() - began):.1f} a second", flush=True)
    return gather(known, locate(known, hashes))


def _rank(asked: Asked, scores: Weights) -> int:
    """The place of the first right broadcast among the distinct ones of the hits; 0 where it is not among them."""
    seen: set[int] = set()
    for at in np.argsort(-scores, kind="stable").tolist():
        seen.add(int(asked.transcripts[at]))
        if asked.is_right[at]:
            return len(seen)
    return 0


if __name__ == "__main__":
    main()
