"""How often retrieval finds the right broadcast: BM25, with neighbours, dense, and both, in one run.

    python benchmarks/retrieval.py --corpus FOLDER --questions FILE.jsonl … [--split YYYY-MM-DD] [--work FOLDER]

The questions are JSON Lines with `question` and `date` (of the broadcast that answers it, null where none does). The
index is built from scratch with the embedded profile into a temporary folder, or into --work and kept there. A question
counts at k when a broadcast of its date is among the first k distinct broadcasts. Settings come from the defaults and
from HCF_<SECTION>__<KEY> in the environment.
"""

from __future__ import annotations

import argparse
import datetime
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hcf_pipeline.corpus.manifest import scan
from hcf_pipeline.corpus.tables import PAIRS, TURNS, write_pair_table, write_turn_table
from hcf_pipeline.corpus.transcript import Grammar
from hcf_pipeline.rag.chunks import CHUNKS, write_chunk_table
from hcf_pipeline.rag.embed import write_embeddings
from hcf_pipeline.rag.encoder import Encoder, load_encoder
from hcf_pipeline.rag.encoder_fit import fit_encoder
from hcf_pipeline.rag.index_writer import write_index
from hcf_pipeline.rag.retriever import Retriever
from hcf_pipeline.rag.vector_cache import VectorCache
from hcf_pipeline.settings import Sections
from hcf_pipeline.settings_file import load_settings
from hcf_pipeline.sft.split import held_out_transcripts

DEPTH = 10


@dataclass(frozen=True)
class Question:
    text: str
    date: datetime.date | None


@dataclass(frozen=True)
class Found:
    ranks: list[int]  # of the right broadcast, 0 where it is not among the first ten
    best_scores: list[float]
    seconds: list[float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--questions", type=Path, required=True, nargs="+")
    parser.add_argument("--split", type=datetime.date.fromisoformat, help="later questions are the test half")
    parser.add_argument("--work", type=Path, help="keeps what was built; an index that is there is used again")
    parser.add_argument("--every", type=int, default=1, help="asks only every so manieth question")
    given = parser.parse_args()
    questions = [question for file in given.questions for question in _read(file)[:: given.every]]
    sections = load_settings().sections
    with tempfile.TemporaryDirectory() as scratch:
        work = given.work or Path(scratch)
        encoder = _build(given.corpus, work, sections)
        answerable = [q for q in questions if q.date]
        halves = {"all": answerable}
        if given.split:
            halves = {
                f"before {given.split}": [q for q in answerable if q.date and q.date < given.split],
                f"from {given.split}": [q for q in answerable if q.date and q.date >= given.split],
            }
        _warm(work, encoder, sections)
        print(
            f"{'':18} {'questions':>9} {'hit@1':>6} {'hit@3':>6} {'hit@10':>6} {'MRR':>6} {'p50 ms':>7} {'p99 ms':>7}"
        )
        for name, half in halves.items():
            print(name)
            for stage, changes in _stages(sections).items():
                settings = sections.retrieval.model_copy(update={**changes, "one_per_transcript": True})
                found = _ask(Retriever.open(work / "index", encoder, settings), half)
                _row(stage, found)
        _threshold(Retriever.open(work / "index", encoder, sections.retrieval), halves, questions)


def _stages(sections: Sections) -> dict[str, dict[str, float]]:
    return {
        "BM25, each alone": {"dense_weight": 0.0, "neighbour_share": 0.0},
        "BM25, neighbours": {"dense_weight": 0.0},
        "dense": {"dense_weight": 1.0},
        f"fused, {sections.retrieval.dense_weight:g} dense": {},
    }


def _build(corpus: Path, work: Path, sections: Sections) -> Encoder:
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
        index = write_index(work / CHUNKS, work / "embeddings", encoder.identity, work / "index")
        _told(f"index of {index.n_bytes / 1e6:.0f} MB", started)
    return load_encoder(work / "encoder", "cpu", sections.encoder)


def _told(what: str, started: float) -> float:
    now = time.perf_counter()
    print(f"{now - started:7.1f} s  {what}")
    return now


def _warm(work: Path, encoder: Encoder, sections: Sections) -> None:
    Retriever.open(work / "index", encoder, sections.retrieval).search("你好", DEPTH)


def _ask(retriever: Retriever, questions: Sequence[Question]) -> Found:
    found = Found([], [], [])
    for question in questions:
        started = time.perf_counter()
        hits = retriever.search(question.text, DEPTH)
        found.seconds.append(time.perf_counter() - started)
        found.ranks.append(next((rank for rank, hit in enumerate(hits, 1) if hit.date == question.date), 0))
        found.best_scores.append(hits[0].score if hits else 0.0)
    return found


def _row(stage: str, found: Found) -> None:
    n = len(found.ranks)
    hits = "".join(f" {sum(0 < rank <= k for rank in found.ranks) / n:6.3f}" for k in (1, 3, 10))
    mrr = sum(1 / rank for rank in found.ranks if rank) / n
    p50, p99 = (_percentile([s * 1000 for s in found.seconds], share) for share in (0.5, 0.99))
    print(f"  {stage:16} {n:9}{hits} {mrr:6.3f} {p50:7.1f} {p99:7.1f}")


def _threshold(retriever: Retriever, halves: dict[str, list[Question]], questions: Sequence[Question]) -> None:
    groups = {**halves, "unanswerable": [q for q in questions if q.date is None]}
    scores = {name: sorted(_ask(retriever, group).best_scores) for name, group in groups.items() if group}
    first = next(iter(scores.values()))
    print("\nbest score:          5%    50%    95%")
    for name, of_group in scores.items():
        print(f"  {name:16}" + "".join(f" {_percentile(of_group, share):6.3f}" for share in (0.05, 0.5, 0.95)))
    for share in (0.01, 0.02, 0.03, 0.05):
        limit = _percentile(first, share)
        refused = {name: statistics.mean(score < limit for score in group) for name, group in scores.items()}
        print(
            f"min_score {limit / retriever.scale:.3f} refuses "
            + ", ".join(f"{part:.1%} of {name}" for name, part in refused.items())
        )


def _percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def _read(file: Path) -> list[Question]:
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    dated = [(row["question"], row.get("date")) for row in rows]
    return [Question(text, datetime.date.fromisoformat(date) if date else None) for text, date in dated]


if __name__ == "__main__":
    main()
