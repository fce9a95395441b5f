"""How often retrieval finds the right broadcast, beside its baselines, in one run; and when it refuses to answer.

    python benchmarks/retrieval.py --corpus FOLDER --questions FILE.jsonl … [--split YYYY-MM-DD] [--work FOLDER]

The questions are JSON Lines with `question` and `date` (of the broadcast that answers it, null where none does). The
index is built from scratch with the embedded profile into a temporary folder, or into --work and kept there. A question
counts at k when a broadcast of its date is among the first k distinct broadcasts. Settings come from the defaults and
from HCF_<SECTION>__<KEY> in the environment.

The rows, each with what it adds: BM25 over characters and pairs on a random fiftieth of the chunks; on all of them; with
a share of both neighbours' scores; the words at four widths (lexical); the vectors alone (dense); both (fused). The
times are those of `Retriever.search(question, 10)`: encoding, both sides, fusion, and fetching the rows.

Last, how many questions are refused (DATED of each group, evenly drawn) once they name the day, the month or the year of
their broadcast, in several wordings; those without an answer name a day that there is a broadcast of. `right first` is
how often a broadcast of the right day is the first hit.

Where a file gives an `answer` too, the best five chunks are compared with the best of each of five broadcasts: how often
the right broadcast is among them, and how much of the answers' pairs of characters (weighted by idf) stands in them.
"""

from __future__ import annotations

import argparse
import datetime
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from hcf_pipeline.corpus.grammar import Grammar
from hcf_pipeline.corpus.held_out import held_out_transcripts
from hcf_pipeline.corpus.manifest import scan
from hcf_pipeline.corpus.tables import PAIRS, TURNS, write_pair_table, write_turn_table
from hcf_pipeline.jsonl import read_objects
from hcf_pipeline.rag.chunking.chunks import CHUNKS, write_chunk_table
from hcf_pipeline.rag.encode.embed import write_embeddings
from hcf_pipeline.rag.encode.encoder import Encoder, load_encoder
from hcf_pipeline.rag.encode.encoder_fit import fit_encoder
from hcf_pipeline.rag.encode.vector_cache import VectorCache
from hcf_pipeline.rag.evaluation.measures import mrr, percentile, recall
from hcf_pipeline.rag.evaluation.questions import Question, read_questions
from hcf_pipeline.rag.evaluation.scorecard import judge_retrieval
from hcf_pipeline.rag.index.index import Index
from hcf_pipeline.rag.index.terms import pairs_of, terms_of
from hcf_pipeline.rag.index.writer import write_index
from hcf_pipeline.rag.search.hits import Hit
from hcf_pipeline.rag.search.retriever import Retriever
from hcf_pipeline.settings import RetrievalSettings, Sections
from hcf_pipeline.settings.file import load_settings

FIFTIETH = 0.02
DATED = 150
N_TIMED = 1000
SHARES = (0.01, 0.015, 0.02, 0.03, 0.05)

DEPTH = 10
IN_CONTEXT = 5  # chunks that a model is given


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--questions", type=Path, required=True, nargs="+")
    parser.add_argument("--split", type=datetime.date.fromisoformat, help="later questions are the test half")
    parser.add_argument("--work", type=Path, help="keeps what was built; an index that is there is used again")
    parser.add_argument("--every", type=int, default=1, help="asks only every so manieth question that has an answer")
    given = parser.parse_args()
    files = {file: read_questions(file) for file in given.questions}
    sections = load_settings().sections
    with tempfile.TemporaryDirectory() as scratch:
        work = given.work or Path(scratch)
        encoder = build(given.corpus, work, sections)
        answerable = [q for asked in files.values() for n, q in enumerate(asked) if q.date and n % given.every == 0]
        unanswerable = {file.stem: [q for q in asked if not q.is_answerable] for file, asked in files.items()}
        halves = {"all": answerable}
        if given.split:
            halves = {
                f"before {given.split}": [q for q in answerable if q.date and q.date < given.split],
                f"from {given.split}": [q for q in answerable if q.date and q.date >= given.split],
            }
        index = Index(work / "index", encoder.identity, encoder.dim)
        print(f"{'':20} {'questions':>9} {'hit@1':>6} {'hit@3':>6} {'hit@10':>6} {'MRR':>6}")
        for name, half in halves.items():
            print(name)
            for label, scores in _baselines(index, sections.retrieval).items():
                _row(label, [_rank(index, scores(q.text), q) for q in half])
            for stage in judge_retrieval(work / "index", encoder, sections.retrieval, name, half).stages:
                recalls = "".join(f" {stage.recall[k]:6.3f}" for k in ("1", "3", "10"))
                print(f"  {stage.name:18} {len(half):9}{recalls} {stage.mrr:6.3f}")
        retriever = Retriever(index, encoder, sections.retrieval)
        _times(retriever, answerable)
        answers = {q: a for file in files for q, a in _answers(file).items()}
        for name, half in halves.items():
            _several_of_a_broadcast(retriever, name, [(q, answers[q.text]) for q in half if q.text in answers])
        groups = {name: group for name, group in {**halves, **unanswerable}.items() if group}
        _threshold(retriever, groups, retriever.fusion.min_score.value)
        _dated(retriever, groups, sections.retrieval.top_k)


def _baselines(index: Index, settings: RetrievalSettings) -> dict[str, Callable[[str], np.ndarray]]:
    fiftieth = np.random.default_rng(0).random(index.n_rows) < FIFTIETH
    share = settings.neighbour_share

    def alone(question: str) -> np.ndarray:
        return index.lexical.scores(index.lexical.ask(question), settings.k1, settings.b)[0]

    def neighbours(question: str) -> np.ndarray:
        scores = alone(question)
        around = scores.copy()
        around[1:] += share * scores[:-1] * index.joined
        around[:-1] += share * scores[1:] * index.joined
        return around

    return {
        "BM25, a fiftieth": lambda question: np.where(fiftieth, alone(question), 0),
        "BM25": alone,
        "BM25, neighbours": neighbours,
    }


def _rank(index: Index, scores: np.ndarray, question: Question) -> int:
    """The rank of the first right broadcast among the first DEPTH distinct ones, 0 where it is not there."""
    seen: dict[int, int] = {}
    for row in np.argsort(-scores, kind="stable")[: 40 * DEPTH].tolist():
        if scores[row] > 0 and len(seen) < DEPTH:
            seen.setdefault(int(index.transcripts[row]), row)
    places = enumerate(map(index.place, seen.values()), 1)
    return next((rank for rank, place in places if question.is_right(*place)), 0)


def build(corpus: Path, work: Path, sections: Sections) -> Encoder:
    if not (work / "index" / "index.json").is_file():
        (work / "index").mkdir(parents=True)
        started = time.perf_counter()
        _, turns = write_turn_table(scan(corpus, sections.corpus), Grammar(sections.corpus), work)
        write_pair_table(work / TURNS, work)
        started = _told(f"{turns.n_transcripts} broadcasts, {turns.n_turns} turns", started)
        _, n_chunks = write_chunk_table(work / TURNS, sections.chunks, work)
        started = _told(f"{n_chunks} chunks", started)
        dates = {file.path: Grammar(sections.corpus).date_of(file.path) for file in scan(corpus, sections.corpus).files}
        held_out = held_out_transcripts(dates, sections.sft.held_out_share)
        fitted = fit_encoder(work / PAIRS, sections.encoder, held_out, work / "encoder")
        started = _told(f"encoder fitted on {fitted.n_pairs} pairs, {len(held_out)} broadcasts left out", started)
        encoder = load_encoder(work / "encoder", "cpu", sections.encoder)
        (work / "embeddings").mkdir()
        embedded = write_embeddings(work / CHUNKS, encoder, VectorCache(work / "vectors"), work / "embeddings")
        started = _told(f"{embedded.n_encoded} texts encoded", started)
        index = write_index(work / CHUNKS, work / "embeddings", work / "index")
        _told(f"index of {index.n_bytes / 1e6:.0f} MB", started)
    return load_encoder(work / "encoder", "cpu", sections.encoder)


def _told(what: str, started: float) -> float:
    now = time.perf_counter()
    print(f"{now - started:7.1f} s  {what}")
    return now


def _row(label: str, ranks: Sequence[int]) -> None:
    recalls = "".join(f" {recall(ranks, k):6.3f}" for k in (1, 3, 10))
    print(f"  {label:18} {len(ranks):9}{recalls} {mrr(ranks):6.3f}")


def _times(retriever: Retriever, questions: Sequence[Question]) -> None:
    retriever.search("你好", DEPTH)
    milliseconds: list[float] = []
    for question in questions[:: max(1, len(questions) // N_TIMED)]:
        started = time.perf_counter()
        retriever.search(question.text, DEPTH)
        milliseconds.append(1000 * (time.perf_counter() - started))
    p50, p99 = percentile(milliseconds, 0.5), percentile(milliseconds, 0.99)
    print(
        f"\na query: p50 {p50:.1f} ms, p99 {p99:.1f} ms ({len(milliseconds)} of them, {retriever.index.n_chunks} chunks)"
    )


def _answers(file: Path) -> dict[str, str]:
    return {str(row["question"]): str(row["answer"]) for _, row in read_objects(file) if row.get("answer")}


def _several_of_a_broadcast(retriever: Retriever, name: str, asked: Sequence[tuple[Question, str]]) -> None:
    lexical = retriever.index.lexical
    found, covered = {"chunks": 0, "broadcasts": 0}, {"chunks": 0.0, "broadcasts": 0.0}
    for question, answer in asked:
        hits = retriever.search(question.text, 8 * IN_CONTEXT)
        one_each: dict[str, Hit] = {}
        for hit in hits:
            one_each.setdefault(hit.transcript, hit)
        pairs = pairs_of(answer)
        weights = lexical.idf(pairs)
        for kind, best in (("chunks", hits), ("broadcasts", [*one_each.values()])):
            some = best[:IN_CONTEXT]
            found[kind] += any(question.is_right(hit.transcript, hit.date) for hit in some)
            there = np.isin(pairs, terms_of("\n".join(hit.words for hit in some)))
            covered[kind] += float(weights[there].sum() / max(weights.sum(), 1e-9))
    for kind in found if asked else ():
        print(
            f"the best {IN_CONTEXT} {kind}, {name}: the right broadcast for {found[kind] / len(asked):.1%}, "
            f"{covered[kind] / len(asked):.1%} of the answers' words"
        )


def _threshold(retriever: Retriever, groups: dict[str, list[Question]], now: float) -> None:
    best = {name: sorted(_evidence(retriever, q.text) for q in group) for name, group in groups.items() if group}
    first = next(iter(best.values()))
    print(f"the threshold, chosen on the first group; now min_score = {now:g}")
    for limit in (now, *(percentile(first, share) for share in SHARES)):
        refused = {name: statistics.mean(score < limit for score in group) for name, group in best.items()}
        print(
            f"  min_score {limit:.3f} refuses "
            + ", ".join(f"{part:.1%} of {name} ({len(groups[name])})" for name, part in refused.items())
        )


def _evidence(retriever: Retriever, question: str) -> float:
    query = retriever.query(question)
    return retriever.evidence(query, retriever.search(query, DEPTH))


def _dated(retriever: Retriever, groups: dict[str, list[Question]], top_k: int) -> None:
    print("\nrefused with the time of the broadcast before the question, and right first:")
    days = sorted({q.date for group in groups.values() for q in group if q.date})
    for wording, (time_of, day_after) in WORDINGS.items():
        shown = []
        for name, group in groups.items():
            some = group[:: max(1, len(group) // DATED)][:DATED]
            refused = first = 0
            for n, question in enumerate(some):
                day = question.date or days[n * 7 % len(days)]
                query = retriever.query(time_of(day) + question.text, day_after(day))
                hits = retriever.search(query, top_k)
                refused += not retriever.bears_on(query, hits)
                first += bool(hits) and question.is_answerable and question.is_right(hits[0].transcript, hits[0].date)
            right = f" ({first} right first)" if first else ""
            shown.append(f"{refused} of {len(some)} {name}{right}")
        print(f"  {wording:16} {', '.join(shown)}")


def _soon(day: datetime.date) -> datetime.date:
    return day + datetime.timedelta(60)


def _next_year(day: datetime.date) -> datetime.date:
    return datetime.date(day.year + 1, 12, 30)


WORDINGS: dict[str, tuple[Callable[[datetime.date], str], Callable[[datetime.date], datetime.date]]] = {
    "without": (lambda day: "", _soon),
    "2023年5月6日，": (lambda day: f"{day.year}年{day.month}月{day.day}日，", _soon),
    "23年5月6号": (lambda day: f"{day.year % 100}年{day.month}月{day.day}号", _soon),
    "5月6号那场，": (lambda day: f"{day.month}月{day.day}号那场，", _soon),
    "去年5月6号": (lambda day: f"去年{day.month}月{day.day}号", _next_year),
    "2023年5月": (lambda day: f"{day.year}年{day.month}月", _soon),
    "去年": (lambda day: "去年", _next_year),
    "2023年": (lambda day: f"{day.year}年", _soon),
}


if __name__ == "__main__":
    main()
