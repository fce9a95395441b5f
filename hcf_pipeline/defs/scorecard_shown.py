"""A retrieval scorecard as Dagster's UI shows it: figures, a plot, and the worst misses."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from hcf_pipeline.defs.samples import table
from hcf_pipeline.errors import Lang
from hcf_pipeline.rag.evaluation.calibration import ENOUGH
from hcf_pipeline.rag.evaluation.told import threshold_told, weight_told
from hcf_pipeline.store import Markdown, Metadata

if TYPE_CHECKING:
    from hcf_pipeline.rag.evaluation.card import QuestionSet, Scorecard

NOTHING_ASKED = (
    "no question to measure by: nothing is held out that the encoder has not seen, and [retrieval] questions has none"
)
NOBODY_ASKS = "no question to measure by: in a monologue nobody asks ([corpus] guest_labels is empty), and [retrieval] questions has none"
SHOWN = 8  # misses in the UI; the others are in the file


def scorecard_shown(card: Scorecard, folder: Path, *, nobody_asks: bool = False) -> Metadata:
    plot = base64.b64encode((folder / "recall.png").read_bytes()).decode("ascii")
    figures: dict[str, float] = {}
    for of_set in card.sets:
        if of_set.n_left_out:
            figures[f"{of_set.name} left out"] = of_set.n_left_out
        if of_set.stages:
            best = of_set.stages[-1]
            figures |= {f"{of_set.name} recall@{k}": value for k, value in best.recall.items()}
            figures |= {f"{of_set.name} MRR": best.mrr, f"{of_set.name} p50 ms": best.p50_ms}
    rows = [row for of_set in card.sets for row in _rows(of_set)]
    headings = ("questions", "stage", "@1", "@3", "@5", "@10", "MRR", "nDCG", "p50 ms", "p99 ms", "refused")
    misses = [miss for of_set in card.sets for miss in of_set.misses[:SHOWN]]
    return {
        **figures,
        "recall": Markdown(f"![recall](data:image/png;base64,{plot})"),
        "stages": table(headings, rows),
        **_chosen(card),
        "fusion": " ".join(filter(None, map(_verdict, card.sets)))
        if rows
        else NOBODY_ASKS
        if nobody_asks
        else NOTHING_ASKED,
        "misses": table(
            ("question", "right", "rank", "came first", "its words"),
            ((m.question, m.right, m.rank or "> 10", m.came_first, m.its_words) for m in misses),
        ),
    }


def _rows(of_set: QuestionSet) -> list[tuple[object, ...]]:
    refused = f"{of_set.refused_answerable:.1%} of {of_set.n_answerable}"
    if of_set.stages:
        refused += f", {of_set.refused_left_out:.1%} with the right broadcasts left out"
    if of_set.n_unanswerable:
        refused += f", {of_set.refused_unanswerable:.1%} of {of_set.n_unanswerable} without an answer"
    return [
        (of_set.name, s.name, *s.recall.values(), s.mrr, s.ndcg, s.p50_ms, s.p99_ms, refused) for s in of_set.stages
    ]


def _verdict(of_set: QuestionSet) -> str:
    """Whether the vectors earn their place."""
    gain = of_set.dense_gain
    if gain is None:
        return ""
    if of_set.n_answerable < ENOUGH:
        return f"{of_set.name}: {of_set.n_answerable} questions are too few to tell what the dense side adds."
    says = (
        "the dense side adds"
        if gain.low > 0
        else "the dense side takes away"
        if gain.high < 0
        else "not clear whether the dense side adds:"
    )
    return f"{of_set.name}: {says} {gain.mean:+.4f} MRR [{gain.low:+.4f}, {gain.high:+.4f}]."


def _chosen(card: Scorecard) -> Metadata:
    """What the questions chose, as numbers and in a sentence."""
    if card.calibration is None:
        return {}
    fusion = card.calibration.fusion
    return {
        "dense_weight": fusion.dense_weight.value,
        "min_score": fusion.min_score.value,
        "chosen": "\n\n".join(
            f"{weight_told(card.calibration, lang)}\n\n{threshold_told(card.calibration, lang)}"
            for lang in get_args(Lang)
        ),
    }
