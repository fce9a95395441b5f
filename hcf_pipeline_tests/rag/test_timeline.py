"""What was said on a matter month by month, and where it was put otherwise."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path

import pytest

from hcf_pipeline.corpus.transcript import Turn
from hcf_pipeline.rag.encode.embed import write_embeddings
from hcf_pipeline.rag.index.writer import write_index
from hcf_pipeline.rag.search.periods import EVER
from hcf_pipeline.rag.search.retriever import Retriever
from hcf_pipeline.rag.search.timeline import Timeline, timeline
from hcf_pipeline.settings import RetrievalSettings
from hcf_pipeline_tests.rag.conftest import Built, write_chunks

TODAY = datetime.date(2024, 12, 30)
IDLE = "今天晚上风很大，码头上一个人也看不见，我早早地收了摊子回家，煮了一锅白菜豆腐汤，又看了两集电视。"
LIGHTHOUSE = "2024-01-05"
TALKS = {
    LIGHTHOUSE: "灯塔的门票是五块钱。灯塔的台阶我爬过。",
    "2024-02-03": "我家的灯塔门票钱花得不值，海鸥倒是很多。",
    "2024-04-09": "灯塔的门票是八块钱。",
    "2024-05-11": "渔港的海鲜市场搬走了。",
    "2024-07-20": "灯塔的台阶我没爬过。",
    "2024-07-21": "灯塔的台阶我没爬过。",
}


def _retriever(built: Built, folder: Path, talks: Mapping[str, str], label: str = "阿海") -> Retriever:
    days = {
        f"{day}.md": (
            datetime.date.fromisoformat(day),
            [
                Turn(1, "host", label, IDLE, ""),
                Turn(2, "guest", "水友", "说说吧。", ""),
                Turn(3, "host", label, text, ""),
            ],
        )
        for day, text in talks.items()
    }
    chunks = write_chunks(days, folder / "chunks")
    for name in ("vectors", "index"):
        (folder / name).mkdir()
    write_embeddings(chunks, built.encoder, built.cache, folder / "vectors")
    write_index(chunks, folder / "vectors", folder / "index")
    return Retriever.open(folder / "index", built.encoder, RetrievalSettings())


def _timeline(retriever: Retriever, question: str, label: str = "阿海") -> Timeline:
    return timeline(retriever, retriever.query(question, TODAY), EVER, [label])


@pytest.fixture(scope="module")
def retriever(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Retriever:
    return _retriever(built, tmp_path_factory.mktemp("lighthouse"), TALKS)


def test_each_month_in_which_it_was_said_has_its_verbatim_words_and_no_other_month(retriever: Retriever) -> None:
    found = _timeline(retriever, "灯塔")
    assert [(month.year, month.month) for month in found.months] == [(2024, 1), (2024, 2), (2024, 4), (2024, 7)]
    for month in found.months:
        said = month.said
        assert said.quote.text in TALKS[str(said.date)] and "灯塔" in said.quote.text and said.quote.turn == 3
    assert found.first and found.last and str(found.first.date) == LIGHTHOUSE and str(found.last.date)[:7] == "2024-07"


def test_the_same_words_said_again_count_once(retriever: Retriever) -> None:
    found = _timeline(retriever, "灯塔")
    assert found.months[-1].n_passages == 1 and found.n_broadcasts == found.n_passages == 4


def test_a_negation_and_another_number_are_shown_as_then_and_later(retriever: Retriever) -> None:
    found = {contrast.kind: contrast for contrast in _timeline(retriever, "灯塔").contrasts}
    number, negation = found["number"], found["negation"]
    assert (number.then.text, number.later.text) == ("灯塔的门票是五块钱。", "灯塔的门票是八块钱。")
    assert (str(number.then.hit.date), number.said_then, number.said_later) == (LIGHTHOUSE, "五", "八")
    assert (negation.then.text, negation.later.text) == ("灯塔的台阶我爬过。", "灯塔的台阶我没爬过。")
    assert (negation.said_then, negation.said_later, negation.later.turn) == ("", "没", 3)


@pytest.mark.parametrize(
    ("then", "later"),
    [
        ("灯塔的台阶我爬过。", "灯塔的台阶你没爬过。"),  # of somebody else
        ("灯塔的台阶我爬过。", "灯塔的台阶我没爬过吗？"),  # a question
        ("灯塔的台阶我爬过。", "如果灯塔的台阶我没爬过，就好了。"),
        ("灯塔的台阶我爬过。", "灯塔的台阶我爬没爬过，忘了。"),
        ("灯塔的台阶我爬过。", "灯塔的台阶不过是石头。"),
        ("灯塔我在聊。", "灯塔我不聊。"),
        ("灯塔的门票是五块钱。", "灯塔的台阶有五百级。"),
        ("灯塔的门票是五块钱。", "灯塔的门票是五块钱，一直没变。"),
    ],
)
def test_what_is_no_contrast_is_not_shown_as_one(built: Built, tmp_path: Path, then: str, later: str) -> None:
    talks = {
        "2024-01-05": then,
        "2024-04-09": later,
        "2024-05-11": "渔港的海鲜市场搬走了。",
        "2024-06-01": "面馆的面涨价了。",
    }
    assert _timeline(_retriever(built, tmp_path, talks), "灯塔").contrasts == ()


def test_english_words_are_compared_as_words(built: Built, tmp_path: Path) -> None:
    talks = {
        "2024-01-05": "I like the lighthouse on the hill. The ticket for the lighthouse costs 5 dollars.",
        "2024-04-09": "I do not like the lighthouse on the hill. The ticket for the lighthouse costs 8 dollars.",
        "2024-05-11": "The fish market has moved to the harbour.",
        "2024-06-01": "Noodles are more expensive than they were.",
    }
    found = {
        one.kind: one for one in _timeline(_retriever(built, tmp_path, talks, "Ann"), "lighthouse", "Ann").contrasts
    }
    assert found["negation"].said_later == "not" and (found["number"].said_then, found["number"].said_later) == (
        "5",
        "8",
    )


def test_what_the_time_of_the_question_leaves_out_is_left_out(retriever: Retriever) -> None:
    found = _timeline(retriever, "2024年2月到4月灯塔")
    assert [(month.year, month.month) for month in found.months] == [(2024, 2), (2024, 4)]
    of_a_time = _timeline(retriever, "2024年7月聊了什么")
    assert (
        [month.month for month in of_a_time.months] == [7] and of_a_time.n_broadcasts == 2 and not of_a_time.contrasts
    )


def test_what_nobody_spoke_of_has_no_months(retriever: Retriever) -> None:
    found = _timeline(retriever, "木星最大的卫星绕行一圈要多少天")
    assert found.months == () and found.first is None and found.contrasts == ()
