"""Questions that are only about a time: is every quotation from that time, and is every broadcast of it named?

    python benchmarks/times.py --project FOLDER [--questions benchmarks/times.jsonl]

The project is one with a release of the corpus that the questions were written for (`hcf init CORPUS`, `hcf refresh
--no-train`). A question has its wording, the days that it means (`from`, `to`: written by hand), and where they matter the day on
which it is asked, and the span of the search. What there is of those days is read from the names of the files, what was said
from the files themselves. A time of more broadcasts than are named at most has to name that many of them; one without any
has to say so, with the two days nearest to it that have one. Questions are answered with quotations, as without a model.
"""

from __future__ import annotations

import argparse
import datetime
import re
import time
from pathlib import Path

from hcf_pipeline.chat.answer import Answer
from hcf_pipeline.chat.engine import Engine, engine_for
from hcf_pipeline.jsonl import read_objects
from hcf_pipeline.rag.evaluation.measures import percentile
from hcf_pipeline.rag.search.overview import MAX_BROADCASTS
from hcf_pipeline.settings import Settings
from hcf_pipeline.settings.file import load_settings

ISO = re.compile(r"\d{4}-\d{2}-\d{2}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, required=True)
    parser.add_argument("--questions", type=Path, default=Path(__file__).with_name("times.jsonl"))
    given = parser.parse_args()
    settings = load_settings(given.project / "hcf.toml")
    told = {"quoted": [0, 0], "named": [0, 0], "without a broadcast": [0, 0]}
    milliseconds: list[float] = []
    for _, row in read_objects(given.questions):
        question = str(row["question"])
        since, until = (_day(row.get(edge)) for edge in ("since", "until"))
        engine = _asked_on(settings, _day(row.get("asked")))
        there = _broadcasts(engine)
        started = time.perf_counter()
        answer = engine.answer(question, span=(since, until), lang="en" if question.isascii() else "zh")
        milliseconds.append(1000 * (time.perf_counter() - started))
        period = (datetime.date.fromisoformat(str(row["from"])), datetime.date.fromisoformat(str(row["to"])))
        meant = {path for path, day in there.items() if period[0] <= day <= period[1]}
        if not meant:
            _count(told["without a broadcast"], question, _says_so(answer, period, sorted(set(there.values()))))
            continue
        named = {citation.transcript for citation in answer.citations}
        _count(
            told["named"],
            question,
            named == meant if len(meant) <= MAX_BROADCASTS else len(named & meant) == MAX_BROADCASTS,
        )
        for quote in answer.quotes:
            said = (settings.corpus_path / quote.transcript).read_text(encoding="utf-8")
            _count(told["quoted"], f"{question}: {quote.text}", quote.transcript in meant and quote.text in said)
    print(f"quotations from the time that was asked for: {told['quoted'][0]} of {told['quoted'][1]}")
    print(f"questions whose broadcasts are all named, up to {MAX_BROADCASTS}: {told['named'][0]} of {told['named'][1]}")
    none = told["without a broadcast"]
    print(f"times without a broadcast that are said to have none, with the nearest two: {none[0]} of {none[1]}")
    print(f"an answer: p50 {percentile(milliseconds, 0.5):.0f} ms, p99 {percentile(milliseconds, 0.99):.0f} ms")


def _day(written: object) -> datetime.date | None:
    return datetime.date.fromisoformat(str(written)) if written else None


def _asked_on(settings: Settings, day: datetime.date | None) -> Engine:
    return engine_for(settings, {"lora.enabled": False} | ({"retrieval.today": day} if day else {}))


def _broadcasts(engine: Engine) -> dict[str, datetime.date]:
    """The day in the name of each file that the release has something of."""
    index = engine.retriever.index
    paths = {index.place(row)[0] for row in range(index.n_rows)}
    return {path: datetime.date.fromisoformat(found[0]) for path in paths if (found := ISO.search(Path(path).name))}


def _says_so(answer: Answer, period: tuple[datetime.date, datetime.date], days: list[datetime.date]) -> bool:
    since, until = period
    nearest = sorted(sorted(days, key=lambda day: max(since - day, day - until))[:2])
    return answer.abstained and all(str(day) in answer.text for day in nearest)


def _count(tally: list[int], what: str, is_right: bool) -> None:
    tally[0] += is_right
    tally[1] += 1
    if not is_right:
        print(f"not so: {what}")


if __name__ == "__main__":
    main()
