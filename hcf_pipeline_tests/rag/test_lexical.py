from __future__ import annotations

import itertools
import math
import re
import unicodedata
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hcf_pipeline.rag.arrays import Floats
from hcf_pipeline.rag.index.bm25 import LexicalIndex
from hcf_pipeline.rag.index.lexical import LexicalSegment, invert

words = st.text(st.sampled_from("修车铺电瓶Ａａ1，。 \n"), max_size=30)


def units_by_hand(line: str) -> list[str]:
    return re.findall(r"[a-z]+|[0-9]+|[\u4e00-\u9fff]", re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", line))


def makes_pair(one: str, other: str) -> bool:
    return not (one.isascii() and other.isascii()) or one.isdigit() != other.isdigit()


def asked_grams(question: str, texts: list[str]) -> set[str]:
    """Those of a question, and two of its words as one where a text has that."""
    spaced = re.split(r"[^a-z ]", unicodedata.normalize("NFKC", question).lower())
    compounds = {a + b for part in spaced for a, b in itertools.pairwise(part.split())}
    return set(grams(question)) | (compounds & {gram for text in texts for gram in grams(text)})


def grams(text: str) -> list[str]:
    lines = [units_by_hand(line) for line in unicodedata.normalize("NFKC", text).lower().split("\n")]
    pairs = [(a, b) for line in lines for a, b in itertools.pairwise(line) if makes_pair(a, b)]
    return [unit for line in lines for unit in line] + [f"{a} {b}" for a, b in pairs]


def bm25_by_hand(question: str, texts: list[str], k1: float, b: float) -> list[float]:
    bags = [Counter(grams(text)) for text in texts]
    mean = sum(map(len, map(grams, texts))) / len(texts) or 1.0
    scores = []
    for bag, text in zip(bags, texts, strict=True):
        score = 0.0
        for gram in asked_grams(question, texts):
            n_docs = sum(gram in other for other in bags)
            idf = math.log1p((len(texts) - n_docs + 0.5) / (n_docs + 0.5))
            idf = (len(texts) * idf + 20 * 1.6) / (len(texts) + 20)  # few texts tell little
            is_word = gram.isascii() and " " not in gram
            k, share = (k1 * 5 / 3, b * 15 / 8) if is_word else (k1, b)
            norm = k * (1 - share + share * len(grams(text)) / mean)
            worth = 2 * idf if is_word else idf
            score += worth * bag[gram] * (k + 1) / (bag[gram] + norm) if bag[gram] else 0
        scores.append(score)
    return scores


def index_of(folder: Path, texts: list[str]) -> LexicalIndex:
    invert(texts).save(folder)
    return LexicalIndex([LexicalSegment(folder)], [None])


def scores_of(index: LexicalIndex, question: str, k1: float, b: float) -> tuple[Floats, float]:
    return index.scores(index.ask(question), k1, b)


@given(st.lists(words, min_size=1, max_size=8), words)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
def test_scores_are_bm25_over_characters_words_and_pairs(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], question: str
) -> None:
    folder = tmp_path_factory.mktemp("lexical") / "index"
    scores, best = scores_of(index_of(folder, texts), question, 0.9, 0.4)
    assert scores == pytest.approx(bm25_by_hand(question, texts, 0.9, 0.4), rel=1e-4, abs=1e-5)
    assert scores.max() <= best + 1e-4


@given(st.lists(st.tuples(words, st.integers(0, 2), st.booleans()), min_size=1, max_size=14), words)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
def test_texts_in_several_segments_some_of_them_dead_score_as_the_live_ones_do_alone(
    tmp_path_factory: pytest.TempPathFactory, texts: list[tuple[str, int, bool]], question: str
) -> None:
    folder = tmp_path_factory.mktemp("lexical")
    segments = [[(text, live) for text, number, live in texts if number == n] for n in range(3)]
    segments = [segment for segment in segments if segment]
    for n, segment in enumerate(segments):
        invert([text for text, _ in segment]).save(folder / str(n))
    live = np.array([is_live for segment in segments for _, is_live in segment])
    masks = [np.array([is_live for _, is_live in segment]) for segment in segments]
    index = LexicalIndex([LexicalSegment(folder / str(n)) for n in range(len(segments))], masks)
    scores, best = scores_of(index, question, 0.9, 0.4)
    if live.any():
        alone = index_of(folder / "alone", [text for segment in segments for text, is_live in segment if is_live])
        expected, expected_best = scores_of(alone, question, 0.9, 0.4)
        assert best == expected_best
        assert scores[live].tolist() == expected.tolist()


def test_without_saturation_a_term_counts_once_and_what_lacks_it_has_nothing(tmp_path: Path) -> None:
    scores, best = scores_of(index_of(tmp_path / "index", ["修车", "修修车", "面馆"]), "修", 0, 0.4)
    assert scores.tolist() == pytest.approx([best, best, 0])


def test_blocks_of_texts_give_the_same_index_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"江照野：第{n}次修{'车' * (n % 5)}，换{'电瓶' * (n % 3)}。" for n in range(60)]
    invert(texts).save(tmp_path / "one")
    monkeypatch.setattr("hcf_pipeline.rag.index.lexical.BLOCK_CHARS", 50)
    invert(texts).save(tmp_path / "many")
    for file in sorted((tmp_path / "one").iterdir()):
        assert np.array_equal(np.load(file), np.load(tmp_path / "many" / file.name)), file.name


@given(st.lists(st.lists(words, min_size=1, max_size=4), min_size=1, max_size=6), st.sampled_from([1, 7, 1 << 24]))
@settings(deadline=None, max_examples=80)
def test_texts_that_are_put_together_are_indexed_as_if_they_were_one(groups: list[list[str]], at_a_time: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hcf_pipeline.rag.index.lexical.BLOCK_POSTINGS", at_a_time)
        together = invert([text for group in groups for text in group]).grouped([len(group) for group in groups])
    whole = invert(["\n".join(group) for group in groups])
    for name in ("terms", "indptr", "docs", "counts", "lengths"):
        one, other = getattr(together, name), getattr(whole, name)
        assert one.dtype == other.dtype and one.tolist() == other.tolist(), name


def test_no_pair_spans_two_turns() -> None:
    assert "车铺" not in grams("修车\n铺子")


def test_more_than_255_occurrences_are_counted_as_255(tmp_path: Path) -> None:
    scores, best = scores_of(index_of(tmp_path / "index", ["对" * 400, "不对"]), "对", 0.9, 0.4)
    assert 0 < scores[1] < scores[0] <= best


def test_a_mutilated_index_is_refused(tmp_path: Path) -> None:
    invert(["修车", "换电瓶"]).save(tmp_path / "index")
    np.save(tmp_path / "index" / "docs.npy", np.zeros(1, dtype=np.int32))
    with pytest.raises(ValueError, match="do not belong together"):
        LexicalSegment(tmp_path / "index")
