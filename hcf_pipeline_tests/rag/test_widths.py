"""The words at four widths, counted by hand beside."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
import pytest

from hcf_pipeline.rag.index.bm25 import USUAL_IDF, USUAL_TEXTS
from hcf_pipeline.rag.index.index import Index
from hcf_pipeline.rag.index.terms import normalise
from hcf_pipeline.rag.search.widths import PAIR_WEIGHT, PASSAGE_CHARS, SHARES, Widths
from hcf_pipeline_tests.rag.conftest import TOPICS, Built

K1, B = 0.9, 0.4


@pytest.fixture(scope="module")
def index(built: Built) -> Index:
    return Index(built.index, built.encoder.identity, built.encoder.dim)


def bag(text: str) -> Counter[str]:
    lines = normalise(text).split("\n")
    return Counter([c for line in lines for c in line] + [a + b for line in lines for a, b in itertools.pairwise(line)])


def by_hand(index: Index, question: str) -> list[float]:
    texts = [index.text(row) for row in range(index.n_rows)]
    bags = [bag(text) for text in texts]
    n_docs = Counter(gram for one in bags for gram in one)
    n = len(bags)
    idf = {g: math.log1p((n - n_docs[g] + 0.5) / (n_docs[g] + 0.5)) for g in bag(question)}
    idf = {g: (n * value + USUAL_TEXTS * USUAL_IDF) / (n + USUAL_TEXTS) for g, value in idf.items()}
    weights = {g: value * (PAIR_WEIGHT if len(g) == 2 else 1) for g, value in idf.items()}
    mean = sum(one.total() for one in bags) / len(bags)
    of_row = index.transcripts.tolist()
    whole = {t: sum((b for b, of in zip(bags, of_row, strict=True) if of == t), Counter()) for t in of_row}
    mean_whole = sum(one.total() for one in whole.values()) / len(whole)

    def share(counts: Counter[str], length: float) -> float:
        norm = K1 * (1 - B + B * length)
        return sum(w * counts[g] / (counts[g] + norm) for g, w in weights.items() if counts[g]) / sum(weights.values())

    def passages(text: str) -> list[Counter[str]]:
        plain = normalise(text)
        step = PASSAGE_CHARS // 2
        grams = [(at, c) for at, c in enumerate(plain) if c != "\n"]
        grams += [(at, a + b) for at, (a, b) in enumerate(itertools.pairwise(plain)) if "\n" not in (a, b)]
        return [
            Counter(g for at, g in grams if start <= at < start + 2 * step) for start in range(0, len(plain) or 1, step)
        ]

    found = []
    for row, text in enumerate(texts):
        near = [r for r in (row - 1, row, row + 1) if 0 <= r < len(texts) and of_row[r] == of_row[row]]
        around = sum((bags[r] for r in near), Counter[str]())
        at = {
            "passage": max(share(one, 1) for one in passages(text)),
            "chunk": share(bags[row], bags[row].total() / mean),
            "around": share(around, around.total() / (3 * mean)),
            "broadcast": share(whole[of_row[row]], whole[of_row[row]].total() / mean_whole),
        }
        found.append(sum(SHARES[name] * value for name, value in at.items()))
    return found


@pytest.mark.parametrize("question", [question for question, _ in TOPICS.values()] + ["茉莉花茶", "木星", "Ａ1"])
def test_a_score_is_the_shares_at_all_widths_added_up(index: Index, question: str) -> None:
    rows = np.arange(index.n_rows)
    scores = Widths(index, K1, B).scores(index.lexical.ask(question), rows)
    assert scores == pytest.approx(by_hand(index, question), abs=1e-9)
    assert sum(SHARES.values()) == pytest.approx(1) and scores.max() <= 1


def test_only_the_best_rows_have_their_passages_looked_at(index: Index) -> None:
    asked, rows = index.lexical.ask("变速箱换了多少钱？"), np.arange(index.n_rows)
    widths = Widths(index, K1, B)
    all_of_them, two = widths.scores(asked, rows), widths.scores(asked, rows, n_passages=2)
    assert (two == all_of_them).sum() >= 2 and np.argmax(two) == np.argmax(all_of_them)
    assert (two <= all_of_them).all()


def test_rows_are_scored_alike_whichever_others_are_asked_about(index: Index) -> None:
    asked, rows = index.lexical.ask("面馆的面多少钱"), np.arange(index.n_rows)
    widths = Widths(index, K1, B)
    assert widths.scores(asked, rows[::3]).tolist() == widths.scores(asked, rows)[::3].tolist()
    assert widths.scores(asked, rows[:0]).tolist() == []
