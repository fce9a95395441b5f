"""What a time was about: every broadcast of it, with the exchanges that stand for it."""

from __future__ import annotations

import datetime

import numpy as np
import pytest

from hcf_pipeline.corpus.transcript import Turn
from hcf_pipeline.rag.encode.embed import write_embeddings
from hcf_pipeline.rag.index.writer import write_index
from hcf_pipeline.rag.search.overview import MAX_BROADCASTS
from hcf_pipeline.rag.search.periods import EVER
from hcf_pipeline.rag.search.retriever import Retriever
from hcf_pipeline.settings import RetrievalSettings
from hcf_pipeline_tests.rag.conftest import Built, write_chunks

FIRST = datetime.date(2023, 1, 2)
TODAY = datetime.date(2024, 6, 30)
FRUIT = ["apple", "pear", "plum", "quince", "cherry", "medlar", "fig", "grape", "lemon", "mango"]
IDLE = "Yes, well, thank you, good evening to everybody who is here tonight, nice to see you all again."
N_DAYS = 60


def _talk(n: int) -> list[Turn]:
    """Three topics of its own, far apart, between turns of the same idle talk."""
    turns: list[Turn] = []
    for part in range(3):
        topic = f"{FRUIT[n % 10]}{chr(97 + part)}{chr(97 + n // 10)}"
        turns += [Turn(len(turns) + k, "host", "Ann", IDLE, "") for k in range(1, 9)]
        turns.append(Turn(len(turns) + 1, "guest", "Bob", f"Tell us about the {topic} tree, please?", ""))
        said = (
            f"The {topic} tree grows behind my house. I planted the {topic} tree myself, and {topic} jam is the best."
        )
        turns.append(Turn(len(turns) + 1, "host", "Ann", said, ""))
    return turns


@pytest.fixture(scope="module")
def retriever(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Retriever:
    folder = tmp_path_factory.mktemp("days")
    talks = {f"{n:02}.md": (FIRST + datetime.timedelta(2 * n), _talk(n)) for n in range(N_DAYS)}
    chunks = write_chunks(talks, folder / "chunks")
    for name in ("vectors", "index"):
        (folder / name).mkdir()
    write_embeddings(chunks, built.encoder, built.cache, folder / "vectors")
    write_index(chunks, folder / "vectors", folder / "index")
    return Retriever.open(folder / "index", built.encoder, RetrievalSettings())


def test_a_day_is_told_by_what_is_its_own_from_all_its_parts_in_the_hosts_words(retriever: Retriever) -> None:
    query = retriever.query("What did he talk about on January 12, 2023?", TODAY)
    (day,) = retriever.overview(query, EVER, ["Ann"])
    assert day.date == datetime.date(2023, 1, 12) and day.transcript == "05.md"
    quotes = [passage.quote for passage in day.passages if passage.quote]
    turns = {turn.no: turn.text for turn in _talk(5)}
    assert all(quote.label == "Ann" and quote.text in turns[quote.turn] for quote in quotes)
    assert {
        topic for topic in ("medlaraa", "medlarba", "medlarca") if any(topic in quote.text for quote in quotes)
    } == {
        "medlaraa",
        "medlarba",
        "medlarca",
    }
    assert [quote.n for quote in quotes] == sorted(quote.n for quote in quotes)
    rows = [passage.hit.row for passage in day.passages]
    assert rows == sorted(set(rows)) and len(rows) > 3


@pytest.mark.parametrize(
    ("question", "n"),
    [
        ("what was discussed between January 3 and January 10, 2023", 4),
        ("summarize January 2023", 15),
        ("2023年1月聊了什么", 15),
    ],
)
def test_every_broadcast_of_a_time_is_named_and_no_other(retriever: Retriever, question: str, n: int) -> None:
    query = retriever.query(question, TODAY)
    found = retriever.overview(query, EVER, ["Ann"])
    assert len({broadcast.transcript for broadcast in found}) == len(found) == n
    assert [broadcast.date for broadcast in found] == sorted(day for broadcast in found if (day := broadcast.date))
    (period,) = query.periods
    hits = [passage.hit for broadcast in found for passage in broadcast.passages]
    assert all(hit.date and period.since <= hit.date <= period.until for hit in hits)
    told = [passage.quote.text for broadcast in found for passage in broadcast.passages if passage.quote]
    assert sum("tree" in text for text in told) >= n
    numbers = [passage.quote.n for broadcast in found for passage in broadcast.passages if passage.quote]
    assert numbers == list(range(1, len(hits) + 1))


def test_of_a_longer_time_so_many_are_named_evenly_spread(retriever: Retriever) -> None:
    query = retriever.query("what did she talk about in 2023", TODAY)
    found = retriever.overview(query, EVER, ["Ann"])
    assert len(found) == MAX_BROADCASTS and retriever.days.n_broadcasts(query.periods[0]) == N_DAYS
    assert found[0].transcript == "00.md" and found[-1].transcript == f"{N_DAYS - 1}.md"
    days = np.array([(broadcast.date - FIRST).days for broadcast in found if broadcast.date])
    assert np.diff(days).max() <= 6


def test_the_span_of_the_search_cuts_the_time_of_the_question(retriever: Retriever) -> None:
    span = (datetime.date(2023, 1, 20), None)
    query = retriever.query("What was said in January 2023?", TODAY, span)
    found = retriever.overview(query, span, ["Ann"])
    assert len(found) == 6 and all(broadcast.date and broadcast.date >= span[0] for broadcast in found)


def test_where_no_host_says_anything_the_exchanges_are_named_without_a_quotation(retriever: Retriever) -> None:
    query = retriever.query("What was said on January 12, 2023?", TODAY)
    (day,) = retriever.overview(query, EVER, ["Nobody"])
    assert day.passages and all(passage.quote is None for passage in day.passages)
