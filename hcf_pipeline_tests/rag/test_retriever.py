from __future__ import annotations

import datetime
import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hcf_pipeline.corpus.transcript import Turn
from hcf_pipeline.errors import ArtifactError
from hcf_pipeline.rag.chunking.lines import Line
from hcf_pipeline.rag.encode.embed import Embeddings, write_embeddings
from hcf_pipeline.rag.encode.encoder import EmptyText, load_encoder
from hcf_pipeline.rag.encode.encoder_fit import fit_encoder
from hcf_pipeline.rag.encode.vector_cache import VectorCache
from hcf_pipeline.rag.encode.vector_file import VectorFile
from hcf_pipeline.rag.index.index import Index
from hcf_pipeline.rag.index.terms import terms_of
from hcf_pipeline.rag.index.writer import write_index
from hcf_pipeline.rag.search.query import Query, today_in
from hcf_pipeline.rag.search.retriever import Retriever
from hcf_pipeline.rag.search.widths import Widths
from hcf_pipeline.settings import RetrievalSettings
from hcf_pipeline_tests.rag.conftest import SMALL, TOPICS, Built, texts_of, write_chunks

SETTINGS = RetrievalSettings()


@pytest.fixture(scope="module")
def retriever(built: Built) -> Retriever:
    return Retriever.open(built.index, built.encoder, SETTINGS)


@pytest.mark.parametrize(("date", "question"), [(date, question) for date, (question, _) in TOPICS.items()])
def test_the_broadcast_that_tells_comes_first(retriever: Retriever, date: str, question: str) -> None:
    hits = retriever.search(question, 3)
    assert str(hits[0].date) == date
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert all(0 <= hit.score <= 1 for hit in hits)


def test_a_hit_says_where_its_words_stand(retriever: Retriever) -> None:
    hit = retriever.search("变速箱多少钱", 1)[0]
    assert (hit.transcript, hit.date, hit.turns) == ("2024-05-05.md", datetime.date(2024, 5, 5), (3, 4))
    assert hit.text.startswith("水友：变速箱换了多少钱？\n江照野：")
    assert [line.turn for line in hit.lines] == [3, 4]
    assert "".join(f"{line.label}：{line.text}" for line in hit.lines) == hit.text.replace("\n", "")


def test_the_score_is_the_weighted_sum_of_words_and_cosine_on_its_scale(built: Built) -> None:
    settings = RetrievalSettings(dense_weight=0.3, neighbour_share=0.25)
    index = Index(built.index, built.encoder.identity, built.encoder.dim)
    question = "变速箱换了多少钱？"
    rows = np.arange(index.n_chunks)
    cosines = index.scale.scores(index.vectors(rows) @ built.encoder.encode_query(question))
    dense = cosines.copy()
    for row in np.flatnonzero(index.joined):
        dense[row] += 0.25 * cosines[row + 1]
        dense[row + 1] += 0.25 * cosines[row]
    words = Widths(index, settings.k1, settings.b).scores(index.lexical.ask(question), rows)
    hits = Retriever(index, built.encoder, settings).search(question, 50)
    assert len(hits) + sum(len(hit.also) for hit in hits) == index.n_chunks
    for hit in hits:
        assert hit.score == pytest.approx(0.7 * words[hit.row] + 0.3 * dense[hit.row] / 1.5, abs=1e-5)


def test_an_index_of_one_chunk_answers(built: Built, tmp_path: Path) -> None:
    chunks = write_chunks({"闲聊.md": (None, [Turn(1, "host", "江照野", "茉莉花茶。", "")])}, tmp_path / "chunks")
    for folder in ("embeddings", "index"):
        (tmp_path / folder).mkdir()
    write_embeddings(chunks, built.encoder, VectorCache(tmp_path / "vectors"), tmp_path / "embeddings")
    write_index(chunks, tmp_path / "embeddings", tmp_path / "index")
    retriever = Retriever.open(tmp_path / "index", built.encoder, SETTINGS)
    assert [hit.text for hit in retriever.search("半程马拉松", 5)] == ["江照野：茉莉花茶。"]


def test_dates_leave_out_what_lies_outside_and_what_has_none(retriever: Retriever) -> None:
    march, may = datetime.date(2024, 3, 11), datetime.date(2024, 5, 4)
    assert {str(hit.date) for hit in retriever.search("变速箱多少钱", 50, since=march, until=may)} == {
        "2024-03-11",
        "2024-04-02",
    }
    assert retriever.search("茉莉花茶", 1)[0].date is None
    assert all(hit.date for hit in retriever.search("茉莉花茶", 50, since=datetime.date(2000, 1, 1)))
    assert retriever.search("茉莉花茶", 5, since=datetime.date(2030, 1, 1)) == []


def test_one_hit_a_broadcast_when_asked_for(built: Built) -> None:
    settings = RetrievalSettings(one_per_transcript=True)
    hits = Retriever.open(built.index, built.encoder, settings).search("多少钱", 50)
    assert len(hits) == len({hit.transcript for hit in hits})
    assert len(hits) + sum(len(hit.also) for hit in hits) == len(TOPICS) + 1


def test_what_was_said_in_the_same_words_elsewhere_is_one_hit_that_names_the_other_places(retriever: Retriever) -> None:
    greeting, *others = retriever.search("感谢老铁送的小灯牌，晚上好", 50)
    assert {greeting.transcript, *(place.transcript for place in greeting.also)} == {f"{date}.md" for date in TOPICS}
    assert all(place.turns == (1, 2) for place in greeting.also)
    assert not any("小灯牌" in hit.text for hit in others)


def test_a_time_that_the_question_names_comes_first_or_alone(built: Built) -> None:
    def dates(question: str, **changes: object) -> list[str]:
        settings = RetrievalSettings(today=datetime.date(2024, 6, 1), **changes)  # type: ignore[arg-type]
        return [str(hit.date) for hit in Retriever.open(built.index, built.encoder, settings).search(question, 3)]

    assert dates("花了多少钱")[0] != "2024-04-02"
    assert dates("2024年4月花了多少钱", date_factor=0.1)[0] == "2024-04-02"
    assert dates("两个月前花了多少钱", date_factor=0.1)[0] == "2024-04-02"
    assert set(dates("2024年4月花了多少钱", date_factor=0)) == {"2024-04-02"}
    assert dates("2024年4月花了多少钱", date_factor=1)[0] != "2024-04-02"
    assert dates("4月2日花了多少钱", date_factor=0.45)[0] == "2024-04-02" != dates("4月花了多少钱", date_factor=0.45)[0]
    assert dates("1999年花了多少钱", date_factor=0)  # there is no broadcast of that time: the words mean nothing


@pytest.mark.parametrize("day", ["2024年5月5日，", "5月5号那场，", "二〇二四年五月五号", "24年5月5号", "2024-05-05"])
def test_naming_the_right_day_makes_no_refusal(built: Built, day: str) -> None:
    """13 of 42 questions were refused once the day of their broadcast stood before them, and one without it."""
    settings = RetrievalSettings(today=datetime.date(2024, 6, 1), min_score=0.3)
    retriever = Retriever.open(built.index, built.encoder, settings)
    for text, has_answer in (("二手变速箱花了多少钱？", True), ("木星周围究竟绕着几颗卫星？", False)):
        for asked in (text, f"{day}{text}"):
            query = retriever.query(asked)
            assert retriever.bears_on(query, retriever.search(query, 5)) == has_answer, asked


def test_the_words_for_a_day_are_no_terms_and_those_for_a_year_count_half(retriever: Retriever) -> None:
    plain, day, year, nowhere = (
        retriever.query(f"{time}变速箱花了多少钱", datetime.date(2024, 6, 1))
        for time in ("", "5月5号那天", "2024年", "1999年")
    )
    assert day.terms.terms.tolist() == plain.terms.terms.tolist() and len(day.periods) == 1
    assert not plain.periods and not nowhere.periods  # of a year without a broadcast the words are words like others
    of_year = dict(zip(year.terms.terms.tolist(), year.terms.idf.tolist(), strict=True))
    assert of_year[ord("年")] == pytest.approx(retriever.lexical.ask("年").idf[0] / 2)
    assert of_year[ord("变")] == pytest.approx(retriever.lexical.ask("变").idf[0])
    assert set(year.terms.terms[year.names_time].tolist()) & {ord(c) for c in "变速箱花了多少钱"} == set()
    number, no_year = terms_of("2024")[0], terms_of("1999")[0]
    assert {ord("年"), number} <= set(year.terms.terms[year.names_time].tolist())
    assert year.terms.terms[year.characters].tolist() == sorted(ord(c) for c in "变速箱花了多少钱")
    assert not nowhere.names_time.any() and no_year in nowhere.terms.terms


@pytest.mark.parametrize("question", ["2024年4月2日", "4月2号那场？", "2024年4月", "2024-04-02", "上一场"])
def test_a_question_for_nothing_but_a_time_is_answered_by_that_time_alone(built: Built, question: str) -> None:
    settings = RetrievalSettings(today=datetime.date(2024, 5, 1), min_score=1)
    retriever = Retriever.open(built.index, built.encoder, settings)
    query = retriever.query(question)
    hits = retriever.search(query, 5)
    assert hits and {str(hit.date) for hit in hits} == {"2024-04-02"} and retriever.bears_on(query, hits)
    assert not retriever.bears_on(query, [])


def test_words_for_a_time_are_meant_from_the_day_given_and_never_from_the_clock(built: Built) -> None:
    def last_broadcast(asked: datetime.date | None, setting: datetime.date | None) -> list[str]:
        retriever = Retriever.open(built.index, built.encoder, RetrievalSettings(today=setting))
        return [str(period.since) for period in retriever.query("上一场说的变速箱", asked).periods]

    march, april = datetime.date(2024, 3, 1), datetime.date(2024, 4, 30)
    assert last_broadcast(april, None) == ["2024-04-02"]  # later ones were still to come
    assert last_broadcast(None, march) == ["2024-02-19"]
    assert last_broadcast(april, march) == ["2024-04-02"]
    assert last_broadcast(None, None) == ["2024-05-05"]
    assert last_broadcast(datetime.date(2023, 12, 1), None) == []


def test_the_day_is_that_of_the_time_zone_whatever_the_machines_is() -> None:
    east, west = today_in("Pacific/Kiritimati"), today_in("Pacific/Pago_Pago")  # 25 hours apart
    assert (east - west).days in (1, 2)


def test_a_text_is_searched_for_like_its_query(retriever: Retriever) -> None:
    for text in ("变速箱多少钱", "2024年4月面多少钱", "上个月"):
        assert retriever.search(text, 5) == retriever.search(retriever.query(text), 5)


def test_the_turns_beside_a_hit_are_those_of_its_broadcast(retriever: Retriever) -> None:
    hit = retriever.search("变速箱多少钱", 1)[0]
    before, after = retriever.around(hit, 1)
    assert [(line.turn, line.label) for line in before] == [(2, "江照野")] and after == ()
    assert [line.turn for line in retriever.around(hit, 9)[0]] == [1, 2]
    assert retriever.around(hit, 0) == ((), ())


class Backwards:
    """Prefers what was found last."""

    def scores(self, question: str, texts: Sequence[str]) -> np.ndarray:
        return np.arange(len(texts), dtype=np.float32)


def test_a_reranker_orders_the_first_hits_anew_and_the_threshold_stays_with_their_scores(built: Built) -> None:
    settings = RetrievalSettings(rerank_top=4)
    plain = Retriever.open(built.index, built.encoder, settings).search("变速箱多少钱", 4)
    retriever = Retriever.open(built.index, built.encoder, settings, Backwards())
    assert [hit.chunk_id for hit in retriever.search("变速箱多少钱", 4)] == [hit.chunk_id for hit in plain[::-1]]
    assert retriever.search("变速箱多少钱", 2) == retriever.search("变速箱多少钱", 4)[:2]
    assert retriever.bears_on(retriever.query("变速箱多少钱"), retriever.search("变速箱多少钱", 4))


def test_k_is_the_most_that_comes_back(retriever: Retriever) -> None:
    assert len(retriever.search("多少钱", 2)) == 2
    assert len({hit.chunk_id for hit in retriever.search("多少钱", 1000)}) == len(retriever.search("多少钱", 1000))


def test_what_nothing_bears_on_is_known(built: Built) -> None:
    retriever = Retriever.open(built.index, built.encoder, RetrievalSettings())
    always = Retriever.open(built.index, built.encoder, RetrievalSettings(min_score=0))
    for question, has_answer in (("二手变速箱花了多少钱？", True), ("木星周围究竟绕着几颗卫星？", False)):
        query = retriever.query(question)
        hits = retriever.search(query, 5)
        assert retriever.bears_on(query, hits) == has_answer
        assert always.bears_on(query, hits)
        assert not always.bears_on(query, [])


@pytest.mark.parametrize("question", ["？！……", "ⵣ", "a"])
def test_a_question_without_a_known_character_has_low_scores_and_no_error(retriever: Retriever, question: str) -> None:
    assert all(0 <= hit.score < 0.5 for hit in retriever.search(question, 5))


def test_a_blank_question_is_refused(retriever: Retriever) -> None:
    with pytest.raises(EmptyText):
        retriever.search(" \n", 5)


def test_an_index_of_another_encoder_is_refused(built: Built, tmp_path: Path) -> None:
    fit_encoder(built.pairs, SMALL.model_copy(update={"seed": 3}), (), tmp_path)
    other = load_encoder(tmp_path, "cpu", SMALL)
    with pytest.raises(ArtifactError, match="made with another encoder"):
        Retriever.open(built.index, other, SETTINGS)
    with pytest.raises(ArtifactError, match="made with another encoder"):
        Index(built.index, built.encoder.identity, built.encoder.dim + 1)


@pytest.mark.parametrize(
    "name", ["dense.faiss", "chunks.arrow", "ids.npy", "lexical/docs.npy", "broadcasts/docs.npy", "index.json"]
)
@pytest.mark.parametrize("damage", ["cut short", "one byte other", "gone"])
def test_a_damaged_index_is_refused_in_a_sentence(built: Built, tmp_path: Path, name: str, damage: str) -> None:
    copy = tmp_path / "index"
    shutil.copytree(built.index, copy)
    (file,) = copy.rglob(name)
    data = file.read_bytes()
    if damage == "gone":
        file.unlink()
    else:
        middle = data.index(b'"format": ') + 10 if name == "index.json" else len(data) // 2
        changed = (
            data[:middle] if damage == "cut short" else data[:middle] + bytes([data[middle] ^ 8]) + data[middle + 1 :]
        )
        file.write_bytes(changed)
    with pytest.raises(ArtifactError, match="damaged"):
        Retriever.open(copy, built.encoder, SETTINGS)
    if damage != "one byte other":
        with pytest.raises(ArtifactError, match="damaged"):
            Retriever.open(copy, built.encoder, SETTINGS, verified=True)


def test_an_index_without_a_segment_is_refused_in_a_sentence(built: Built, tmp_path: Path) -> None:
    written = json.loads((built.index / "index.json").read_text(encoding="utf-8"))
    (tmp_path / "index.json").write_text(json.dumps(written | {"segments": []}), encoding="utf-8")
    with pytest.raises(ArtifactError, match="damaged"):
        Retriever.open(tmp_path, built.encoder, SETTINGS)


def test_a_chunk_without_its_vector_makes_no_index(built: Built, tmp_path: Path) -> None:
    known = Embeddings.load(built.embeddings).files[0]
    file = VectorFile.write(tmp_path, known.hashes[1:], known.vectors[1:])
    written = json.loads((built.embeddings / "embeddings.json").read_text(encoding="utf-8"))
    (tmp_path / "embeddings.json").write_text(json.dumps(written | {"files": [file.path.name]}), encoding="utf-8")
    with pytest.raises(ArtifactError, match="lacks the vectors"):
        write_index(built.chunks, tmp_path, tmp_path)


FIVE = {  # (what was asked, what was answered on each day, questions that this answers, questions that it does not)
    "zh": (
        "修车铺忙吗？", "{}修车铺最近很忙，换轮胎的人排队。", ["修车铺忙吗", "换轮胎的人多吗", "最近修车铺怎么样"],
        ["木星有几颗卫星", "怎么训练鹦鹉"],
    ),
    "en": (
        "How is the garage?", "On {} the garage was busy, people queued for new tyres.",
        ["Is the garage busy?", "Do people want new tyres?"], ["How do you train a parrot?", "Which enzyme breaks down lactose?"],
    ),
    "ru": (
        "Как дела в мастерской?", "В {} в мастерской было много работы, все меняли шины.",
        ["Много работы в мастерской?", "Кто меняет шины в мастерской?"], ["Сколько спутников у Юпитера?", "Как научить попугая говорить?"],
    ),
    "ja": ("修理屋は忙しいですか", "{}の修理屋はとても忙しくて、タイヤを替える人が並びました。", ["修理屋は忙しい？", "タイヤを替える人は？"], []),
    "ko": ("정비소는 바쁜가요?", "{}에 정비소가 아주 바빴어요. 타이어를 바꾸는 사람이 많았어요.", ["정비소가 바빴어요?"], ["목성의 위성은 몇 개"]),
}  # fmt: skip


@pytest.mark.parametrize("script", FIVE)
def test_what_every_one_of_five_broadcasts_tells_is_answered(built: Built, tmp_path: Path, script: str) -> None:
    asked, told, answered, unanswered = FIVE[script]
    talks = {
        f"{day}.md": (None, [Turn(1, "guest", "G", asked, ""), Turn(2, "host", "H", told.format(day), "")])
        for day in "12345"
    }
    chunks = write_chunks(talks, tmp_path / "chunks")
    for folder in ("embeddings", "index"):
        (tmp_path / folder).mkdir()
    write_embeddings(chunks, built.encoder, VectorCache(tmp_path / "vectors"), tmp_path / "embeddings")
    write_index(chunks, tmp_path / "embeddings", tmp_path / "index")
    retriever = Retriever.open(tmp_path / "index", built.encoder, SETTINGS)
    for question in (*answered, *unanswered):
        query = retriever.query(question)
        assert retriever.bears_on(query, retriever.search(query, 5)) == (question in answered), question


def test_a_rare_word_that_a_hit_holds_is_no_sign_that_nothing_is_said_of_it(retriever: Retriever) -> None:
    asked = retriever.query("maglev turntable")
    (hit,) = retriever.search("茉莉花茶", 1)

    def evidence(text: str) -> float:
        return retriever.evidence(asked, [replace(hit, score=0.3, lines=(Line(1, "江照野", text),))])

    assert evidence("the maglev and the turntable") > 0.3 > evidence("the kettle") and evidence("maglev") > evidence(
        "kettle"
    )


def test_the_sidecar_tells_what_the_index_holds(built: Built) -> None:
    sidecar = json.loads((built.index / "index.json").read_text(encoding="utf-8"))
    assert sidecar["n_transcripts"] == len(TOPICS) + 1
    assert sidecar["n_chunks"] == len(texts_of(built.chunks))
    assert (sidecar["encoder"], sidecar["dim"]) == (built.encoder.identity, SMALL.dim)
    (segment,) = sidecar["segments"]
    folder = built.index / "segments" / segment["name"]
    assert set(segment["files"]) == {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def test_of_equal_scores_the_one_is_worth_more_that_met_more_and_was_asked_in_usual_words(retriever: Retriever) -> None:
    asked = retriever.query("二手变速箱花了多少钱")
    (hit,) = retriever.search(asked, 1)

    def evidence(query: Query, *found: tuple[float, str]) -> float:
        return retriever.evidence(
            query, [replace(hit, score=score, lines=(Line(1, "江照野", text),)) for score, text in found]
        )

    met = evidence(asked, (0.3, hit.words))
    assert met > evidence(asked, (0.3, "花了多少"))
    assert met > evidence(retriever.query("二手变速箱花了多少钱，鳄鱼鹦鹉犰狳"), (0.3, hit.words))
    assert met > evidence(asked, (0.2, hit.words))
    assert met == evidence(asked, (0.1, "别的"), (0.3, hit.words))  # whatever their order
