"""A reranker behind a server: `/rerank` as Jina, Cohere, vLLM and Infinity have it, or as TEI has it.

The two ask for the texts by different names. The usual form is tried first; a server that refuses it and takes TEI's is
remembered. Scores only order what one question found, and nothing is kept by them but the scorecard, so that a server's
reranker is pinned by its address and its name alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hcf_pipeline.errors import Sentence
from hcf_pipeline.rag.server import AT_ONCE, TOO_MUCH, Endpoint, RequestRefused, find_key
from hcf_pipeline.settings import Sections

OTHER_FORM = (400, 422)  # what a server answers that misses a field
ADVICE = Sentence(
    zh="请检查 [retrieval] reranker_url 和 reranker；加 -s retrieval.reranker= 这一次就不用它",
    en="check [retrieval] reranker_url and reranker; with -s retrieval.reranker= a question goes without it",
)


class ServerReranker:
    """Safe to share between threads."""

    def __init__(self, model: str, sections: Sections) -> None:
        retrieval = sections.retrieval
        key = find_key(retrieval.reranker_api_key_env, "[retrieval] reranker_api_key_env", retrieval.reranker_url)
        self._endpoint = Endpoint(retrieval.reranker_url, key, sections.encoder.timeout_s, AT_ONCE, ADVICE)
        self._model = model
        self._takes_texts = False  # TEI's form
        self._at_a_time = retrieval.rerank_top

    def scores(self, question: str, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """How well each text answers the question, on the model's own scale; shape (len(texts),)."""
        found: list[float] = []
        while len(found) < len(texts):
            batch = texts[len(found) : len(found) + self._at_a_time]
            try:
                found += self._ask(question, batch)
            except RequestRefused as refused:
                if refused.status not in TOO_MUCH or len(batch) == 1:
                    raise
                self._at_a_time = len(batch) // 2  # perhaps it takes fewer at a time
        return np.array(found, dtype=np.float32)

    def _ask(self, question: str, texts: Sequence[str]) -> list[float]:
        usual = {"model": self._model, "query": question, "documents": [*texts]}
        tei = {"query": question, "texts": [*texts], "truncate": True}
        if self._takes_texts:
            return self._scores(self._endpoint.post(tei), len(texts))
        try:
            answer = self._endpoint.post(usual)
        except RequestRefused as refused:
            if refused.status not in OTHER_FORM:
                raise
            try:
                answer = self._endpoint.post(tei)
            except RequestRefused:
                raise refused from None
            self._takes_texts = True
        return self._scores(answer, len(texts))

    def _scores(self, answer: Any, n_texts: int) -> list[float]:
        """By the texts' own order, whatever order they come in."""
        try:
            rows = answer["results"] if isinstance(answer, dict) else answer
            scores = {int(row["index"]): float(row.get("relevance_score", row.get("score"))) for row in rows}
            found = [scores[at] for at in range(n_texts)]
            if not np.isfinite(found).all():
                raise ValueError("NaN")
        except (KeyError, TypeError, ValueError, AttributeError):
            raise self._endpoint.unexpected(
                f"里面没有 {n_texts} 段文字各自的分数（results[].index、relevance_score）",
                f"a score for each of {n_texts} texts is not in it (results[].index, relevance_score)",
            ) from None
        return found
