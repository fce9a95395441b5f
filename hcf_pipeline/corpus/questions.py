"""Questions that were really asked, to show what a release answers."""

from __future__ import annotations

import re
from pathlib import Path

from hcf_pipeline.corpus.tables import read_pairs

QUESTION = re.compile(r"[^。！？!?\n]{6,40}[？?]")


def asked_in_corpus(pairs: Path, n: int) -> list[str]:
    """At most n guests' questions, from n broadcasts spread over the corpus: of each the one that got the longest answer.

    A corpus without question marks gives the guests' own words instead, a monologue none.
    """
    best: list[tuple[int, str]] = []
    for _, _, found in read_pairs(pairs):
        candidates = [(len(p.host_text), m[0].strip(" ，,、")) for p in found if (m := QUESTION.search(p.guest_text))]
        candidates = candidates or [(len(p.host_text), p.guest_text[:40]) for p in found if p.guest_text]
        if candidates:
            best.append(max(candidates))
    step = max(1, len(best) // n)
    return [question for _, question in best[step // 2 :: step][:n]]
