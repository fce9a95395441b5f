"""Did he really say that?"""

from __future__ import annotations

import pytest

from hcf_pipeline.corpus.transcript import Turn
from hcf_pipeline.errors import ArtifactError, UserError
from hcf_pipeline.rag.encode.embed import write_embeddings
from hcf_pipeline.rag.encode.vector_cache import VectorCache
from hcf_pipeline.rag.index.index import Index
from hcf_pipeline.rag.index.writer import write_index
from hcf_pipeline.rag.search.verify import Difference, verify
from hcf_pipeline_tests.rag.conftest import Built, write_chunks

HOSTS = ["小禾", "Ann Lee"]
LONG = (
    "我在街角开了一家修车铺，" + "".join(f"第{n}年换过{n * 7}条轮胎，" for n in range(1, 30)) + "后来就再也没有搬过家。"
)
SAID = {
    "a.md": [
        Turn(1, "guest", "水友", "电瓶要不要一年一换？", "", 2.0),
        Turn(2, "host", "小禾", "不用，三年一換就够了。别听店家的，他们要卖货！", "", 5.0),
        Turn(3, "guest", "水友", "我听说轮胎五年就得扔。", "", 9.0),
        Turn(4, "host", "小禾", "看花纹。花纹还有，就接着开。", "", 12.0),
    ],
    "b.md": [Turn(1, "guest", "水友", "讲讲你的铺子？", ""), Turn(2, "host", "小禾", LONG, "")],
    "c.md": [
        Turn(1, "guest", "Bob", "Does the port stay open?", ""),
        Turn(2, "host", "Ann Lee", "It's just HTTP-listening on 3.5 servers. We don't concatenate anything.", ""),
        Turn(3, "host", "小禾", "看花纹。花纹还有，就接着开。", ""),
    ],
}


@pytest.fixture(scope="module")
def index(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Index:
    folder = tmp_path_factory.mktemp("verify")
    chunks = write_chunks({path: (None, turns) for path, turns in SAID.items()}, folder / "chunks")
    for name in ("vectors", "index"):
        (folder / name).mkdir()
    write_embeddings(chunks, built.encoder, VectorCache(folder / "cache"), folder / "vectors")
    write_index(chunks, folder / "vectors", folder / "index")
    return Index(folder / "index", built.encoder.identity, built.encoder.dim)


@pytest.mark.parametrize(
    ("quote", "transcript", "turn"),
    [
        ("三年一換就够了", "a.md", 2),
        ("三年一换就够了", "a.md", 2),  # simplified
        ("三 年一换，就够了——别听店家的!", "a.md", 2),  # width, punctuation, white space
        ("第29年换过203条轮胎，后来就再也没有搬过家", "b.md", 2),
        ("its just http listening", "c.md", 2),
        ("3.5 SERVERS", "c.md", 2),
    ],
)
def test_his_own_words_are_verbatim_at_their_turn(index: Index, quote: str, transcript: str, turn: int) -> None:
    found = verify(quote, index, HOSTS)
    assert found.verdict == "verbatim" and not found.differences
    assert [(match.transcript, match.turn, match.similarity) for match in found.matches] == [(transcript, turn, 1.0)]


def test_a_quotation_across_the_chunks_of_a_turn_is_verbatim(index: Index) -> None:
    texts = [index.text(row) for row in range(index.n_rows)]
    quote = LONG[LONG.index("第4年") : LONG.index("，第16年")]
    assert not any(quote in text for text in texts)
    found = verify(quote, index, HOSTS)
    assert (found.verdict, found.matches[0].turn, found.matches[0].text) == ("verbatim", 2, quote)


def test_every_place_where_he_said_it_is_named_with_its_second(index: Index) -> None:
    found = verify("花纹还有就接着开", index, HOSTS)
    assert {(match.transcript, match.turn, match.start_s) for match in found.matches} == {
        ("a.md", 4, 12.0),
        ("c.md", 3, None),
    }
    assert {match.text for match in found.matches} == {"花纹还有，就接着开。"}
    assert found.n_places == 2
    one = verify("花纹还有就接着开", index, HOSTS, n_matches=1)
    assert (len(one.matches), one.matches[0].transcript, one.n_places) == (1, "a.md", 2)


def test_a_phrase_that_is_said_twice_in_one_chunk_has_two_places(index: Index) -> None:
    found = verify("条轮胎", index, HOSTS)
    assert {(match.transcript, match.turn) for match in found.matches} == {("b.md", 2)} and found.n_places == 1
    again = verify("看花纹", index, [*HOSTS, "水友"])
    assert [(match.transcript, match.turn) for match in again.matches] == [("a.md", 4), ("c.md", 3)]


def test_halves_of_two_sentences_are_what_nobody_said(index: Index) -> None:
    for quote in (
        "三年一换就够了，后来就再也没有搬过家",
        "别听店家的花纹还有就接着",
        "It's just HTTP-listening to anything we port",
    ):
        assert verify(quote, index, HOSTS).verdict == "not found", quote


def test_a_difference_in_a_script_with_spaces_is_told_in_whole_words(index: Index) -> None:
    found = verify("it's just HTTP-listing on 3.6 servers", index, HOSTS)
    assert found.verdict == "near" and found.matches[0].text == "It's just HTTP-listening on 3.5 servers."
    assert found.differences == (Difference("listening", "listing"), Difference("3.5", "3.6"))


def test_an_index_is_searched_for_quotations_without_the_encoder_that_made_it(built: Built) -> None:
    index = Index(built.index)
    assert verify("二手变速箱花了两千三百块钱", index, ["江照野"]).verdict == "verbatim"
    index.require_encoder(built.encoder.identity, built.encoder.dim)
    with pytest.raises(ArtifactError, match="another encoder"):
        index.require_encoder("another", built.encoder.dim)


def test_changed_words_are_near_and_marked(index: Index) -> None:
    found = verify("不用，五年一换就够了，别听店家的", index, HOSTS)
    assert found.verdict == "near" and found.matches[0].turn == 2 and 0.8 < found.matches[0].similarity < 1
    assert found.differences == (Difference("三", "五"),)
    assert found.matches[0].text == "不用，三年一換就够了。别听店家的"


def test_words_left_out_are_near(index: Index) -> None:
    found = verify("三年一换就够了，他们要卖货", index, HOSTS)
    assert found.verdict == "near" and Difference("别听店家的", "") in found.differences


def test_two_turns_joined_are_near(index: Index) -> None:
    found = verify("他们要卖货！看花纹。", index, ["小禾", "水友"])
    assert found.verdict != "verbatim"
    joined = verify("我听说轮胎五年就得扔。看花纹。花纹还有，就接着开。", index, HOSTS)
    assert joined.verdict == "near" and joined.matches[0].n_turns == 2 and not joined.matches[0].by_host


def test_a_guests_words_are_not_his(index: Index) -> None:
    found = verify("轮胎五年就得扔", index, HOSTS)
    assert found.verdict == "near" and found.only_by_others and found.matches[0].label == "水友"


@pytest.mark.parametrize(
    "quote",
    ["木星有九十五颗卫星", "我从来没有开过修理厂", "cat", "listen", "天", "he ate the port of entry"],
)
def test_what_nobody_said_is_not_found(index: Index, quote: str) -> None:
    found = verify(quote, index, HOSTS)
    assert (found.verdict, found.matches) == ("not found", ())


@pytest.mark.parametrize(
    ("quote", "said"), [("。！ \n", "nothing in the quotation"), ("字" * 2001, "longer than 2000")]
)
def test_what_cannot_be_looked_for_is_refused(index: Index, quote: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        verify(quote, index, HOSTS)
