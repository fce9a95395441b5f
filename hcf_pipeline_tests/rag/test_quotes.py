from __future__ import annotations

import itertools
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hcf_pipeline.rag.chunking.lines import Line
from hcf_pipeline.rag.search.hits import Hit
from hcf_pipeline.rag.search.quotes import attribute, best_quotes, only_cited
from hcf_pipeline.rag.search.retriever import Retriever
from hcf_pipeline.settings import RetrievalSettings
from hcf_pipeline_tests.rag.conftest import TOPICS, Built

HOSTS = ["江照野"]


@pytest.fixture(scope="module")
def retriever(built: Built) -> Retriever:
    return Retriever.open(built.index, built.encoder, RetrievalSettings())


def hit(text: str, label: str = "江照野") -> Hit:
    return Hit("a.md", None, (1, 1), (Line(1, label, text),), 0.5, "0", 0)


@pytest.mark.parametrize(("question", "answer"), list(TOPICS.values()))
def test_quotes_are_verbatim_words_of_the_host_in_the_turn_named(
    retriever: Retriever, question: str, answer: str
) -> None:
    hits = retriever.search(question, 5)
    quotes = best_quotes(retriever.query(question).terms, hits, HOSTS)
    assert 1 <= len(quotes) <= 3
    for quote in quotes:
        line = next(line for line in hits[quote.n - 1].lines if line.turn == quote.turn)
        assert line.label == quote.label == "江照野"
        assert quote.text in line.text and "\n" not in quote.text
    assert any(sentence and sentence in quotes[0].text for sentence in answer.split("。"))


def test_the_answer_that_follows_the_repeated_question_is_quoted_with_it(retriever: Retriever) -> None:
    said = "晚上好啊。变速箱换了多少钱？两千三，拆车场拿的货。感谢老铁。"
    quotes = best_quotes(retriever.query("变速箱换了多少钱？").terms, [hit(said)], HOSTS)
    assert "两千三" in quotes[0].text and "晚上好" not in quotes[0].text


@pytest.mark.parametrize(("n_chars", "together"), [(120, True), (121, False)])
def test_sentences_are_quoted_together_up_to_the_length_of_a_quotation(
    retriever: Retriever, n_chars: int, together: bool
) -> None:
    first = "变速箱换了多少钱" + "".join(map(chr, range(0x5000, 0x5000 + 51))) + "。"
    second = "".join(map(chr, range(0x6000, 0x6000 + n_chars - 61))) + "。"
    quotes = best_quotes(retriever.query("变速箱换了多少钱").terms, [hit(first + second)], HOSTS)
    assert len(first + second) == n_chars and quotes[0].text == (first + second if together else first)


def test_guests_are_never_quoted(retriever: Retriever) -> None:
    assert best_quotes(retriever.query("变速箱").terms, [hit("变速箱换了两千三吧？", "水友")], HOSTS) == []


def test_one_thing_said_twice_is_quoted_once(retriever: Retriever) -> None:
    said = "二手变速箱花了两千三百块钱，老板送到店里。"
    assert len(best_quotes(retriever.query("变速箱多少钱").terms, [hit(said), hit(said)], HOSTS)) == 1


def test_a_quote_stays_within_one_line_of_a_turn(retriever: Retriever) -> None:
    asked = retriever.query("变速箱换了多少钱").terms
    for quote in best_quotes(asked, [hit("变速箱换了\n多少钱？两千三百块")], HOSTS):
        assert "\n" not in quote.text and quote.text in "变速箱换了\n多少钱？两千三百块"


def test_a_sentence_taken_from_a_hit_gets_its_mark() -> None:
    hits = [hit("二手变速箱花了两千三百块钱。"), hit("阿贵面馆的面从十四块涨到十六块。")]
    text = "那个二手变速箱花了两千三百块钱。我最喜欢晴天去河边散步看船！阿贵面馆的面涨到十六块了。"
    assert attribute(text, hits) == (
        "那个二手变速箱花了两千三百块钱。[1]我最喜欢晴天去河边散步看船！阿贵面馆的面涨到十六块了。[2]"
    )


def test_marks_that_name_no_hit_are_removed_and_others_kept() -> None:
    hits = [hit("二手变速箱花了两千三百块钱。")]
    assert attribute("我说过的[1]，真的[7]。是吧？[0]", hits) == "我说过的[1]，真的。是吧？"
    assert attribute("二手变速箱花了两千三百块钱。 [3]", hits) == "二手变速箱花了两千三百块钱。[1] "


def test_without_hits_nothing_is_marked() -> None:
    assert attribute("好的。[1] 二手变速箱花了两千三百块钱", []) == "好的。 二手变速箱花了两千三百块钱"
    assert attribute("", []) == ""


@given(st.text(st.sampled_from("好[]0123。 "), max_size=30), st.lists(st.integers(0, 30), max_size=6))
def test_streamed_pieces_never_show_an_invented_mark_and_lose_nothing_else(text: str, cuts: list[int]) -> None:
    places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    pieces = [text[start:end] for start, end in itertools.pairwise(places)] or [text]
    shown = "".join(only_cited(pieces, 2))
    assert shown == "".join(only_cited([text], 2))
    assert shown == re.sub(r"\[(\d+)\]", lambda mark: mark[0] if int(mark[1]) in (1, 2) else "", text)


def test_words_are_shown_as_soon_as_they_can_be_no_mark() -> None:
    assert list(only_cited(["两千三", "[", "1", "]。", "[9", "]好"], 1)) == ["两千三", "[1]。", "好"]


def test_with_two_hosts_each_quotation_has_the_label_of_who_said_it(retriever: Retriever) -> None:
    talk = replace(
        hit(""),
        lines=(
            Line(3, "水友", "变速箱换了多少钱？"),
            Line(4, "小禾", "二手变速箱花了两千三百块钱，老板送到店里。"),
            Line(5, "大山", "换变速箱的多少钱我不知道，修车的事要问他。"),
        ),
    )
    found = best_quotes(retriever.query("变速箱换了多少钱").terms, [talk], ["小禾", "大山"])
    assert {(quote.label, quote.turn) for quote in found} == {("小禾", 4), ("大山", 5)}
    assert {quote.label for quote in best_quotes(retriever.query("变速箱换了多少钱").terms, [talk], ["大山"])} == {
        "大山"
    }


def test_neighbouring_turns_are_never_one_quotation(retriever: Retriever) -> None:
    talk = replace(hit(""), lines=(Line(1, "小禾", "换"), Line(2, "大山", "换")))
    found = best_quotes(retriever.query("换").terms, [talk], ["小禾", "大山"])
    assert [(quote.turn, quote.label, quote.text) for quote in found] == [(1, "小禾", "换"), (2, "大山", "换")]


def test_a_mark_of_thousands_of_digits_is_no_mark_and_no_error() -> None:
    assert attribute(f"好的[{'9' * 5000}]。", [hit("别的")]) == "好的。"
