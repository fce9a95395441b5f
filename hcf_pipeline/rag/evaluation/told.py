"""What a calibration says, in a sentence for each number."""

from __future__ import annotations

from hcf_pipeline.errors import Lang
from hcf_pipeline.rag.evaluation.calibration import ENOUGH, Calibration, Interval, Reason


def weight_told(calibration: Calibration, lang: Lang) -> str:
    """How much the vectors count, why, and what that gains."""
    value, reason = calibration.fusion.dense_weight.value, calibration.dense_weight
    n, gain = reason.n_questions, reason.interval
    if reason.why == "set":
        zh, en = "[retrieval] dense_weight 里设定的", "set in [retrieval] dense_weight"
    elif reason.why == "few":
        zh, en = _few(reason)
    elif reason.why == "better":
        zh = f"{n} 个问题选出的，MRR 比默认的高 {_shown(gain)}"
        en = f"chosen by {n} questions, MRR {_shown(gain)} above that of the default"
    else:
        zh = f"默认值；{n} 个问题里最好的另一个值只差 {_shown(gain)} MRR，分不出好坏"
        en = f"the default: of {n} questions the best other weight gains {_shown(gain)} MRR, which is not clear"
    told = f"向量占 {value:g}（{zh}）" if lang == "zh" else f"vectors count {value:g} ({en})"
    if calibration.dense_gain and n >= ENOUGH:
        gained = _shown(calibration.dense_gain)
        told += f"；比只用字词 MRR {gained}" if lang == "zh" else f"; MRR {gained} against words alone"
    return told


def threshold_told(calibration: Calibration, lang: Lang) -> str:
    """How much evidence an answer needs, and why."""
    value, reason = calibration.fusion.min_score.value, calibration.min_score
    n, refused = reason.n_questions, reason.interval
    share = f"{refused.mean:.1%}" if refused else ""
    if reason.why == "set":
        zh, en = "[retrieval] min_score 里设定的", "set in [retrieval] min_score"
    elif reason.why == "few":
        zh, en = _few(reason)
    elif reason.why == "stands":
        zh = f"默认值；{n} 个有答案的问题里拒答 {share}"
        en = f"the default: it refuses {share} of {n} questions that have an answer"
    else:
        zh = f"{n} 个有答案的问题选出的；默认的拒答 {share}"
        en = f"chosen by {n} questions that have an answer, of which the default refuses {share}"
    return f"门槛 {value:g}（{zh}）" if lang == "zh" else f"threshold {value:g} ({en})"


def _few(reason: Reason) -> tuple[str, str]:
    n = reason.n_questions
    return (
        f"默认值；只有 {n} 个问题，不到 {ENOUGH} 个，看不出好坏",
        f"the default: {n} questions are too few to tell, {ENOUGH} are needed",
    )


def _shown(gain: Interval | None) -> str:
    return f"{gain.mean:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]" if gain else "?"
