"""Which pairs are not learnt, and why: counted by reason, and said in a sentence where none is left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from hcf_pipeline.corpus.pairs import Pair
from hcf_pipeline.corpus.tables import read_pairs
from hcf_pipeline.corpus.transcript import CUT_OFF, NOISE_REMOVED
from hcf_pipeline.errors import DataError, Lang
from hcf_pipeline.settings import SftSettings

USED, SHORT = "used", "short"  # beside the names of the flags

# What the pairs of one reason are, and what to do where there are too many of them; (Chinese, English).
_WORDS = {
    SHORT: (
        ("个回答短于 [sft] min_host_chars", "with an answer shorter than [sft] min_host_chars"),
        ("调低 [sft] min_host_chars", "lower [sft] min_host_chars"),
    ),
    CUT_OFF: (
        ("个断在没播完的场次末尾", "at the end of an interrupted broadcast"),
        ("检查 [corpus] interrupted_pattern", "check interrupted_pattern of [corpus]"),
    ),
    NOISE_REMOVED: (
        ("个被 [corpus] noise 去掉了内容", "where [corpus] noise took something away"),
        ("检查 [corpus] noise", "check noise of [corpus]"),
    ),
}


def left_out(pair: Pair, sft: SftSettings) -> str | None:
    """Why a pair is not learnt, in one word; None where it is.

    Any flag says that words are missing or in doubt: a model would learn to stop there.
    """
    if pair.flags:
        return pair.flags.split()[0]
    return SHORT if len(pair.host_text) < sft.min_host_chars else None


def count_reasons(pairs: Iterable[Pair], sft: SftSettings) -> Counter[str]:
    """Pairs by the reason for leaving them out; those that are learnt count as USED."""
    return Counter(left_out(pair, sft) or USED for pair in pairs)


def reasons(counts: Mapping[str, int], lang: Lang) -> str:
    """How many pairs are left out and why, the commonest reason first; "" where none is."""
    found = [f"{counts[reason]} {_WORDS[reason][0][lang == 'en']}" for reason in _by_count(counts)]
    return (", " if lang == "en" else "，").join(found)


def next_step(counts: Mapping[str, int], lang: Lang) -> str:
    """What to do about the commonest reason; "" where no pair is left out."""
    return next((_WORDS[reason][1][lang == "en"] for reason in _by_count(counts)), "")


def nothing_to_learn(pairs: Path, sft: SftSettings) -> DataError:
    """The sentence for a pair table with nothing left to learn from: how many pairs it has, and why it is none of them.

    `pairs` is the folder of the table, which may be empty. Pairs that nothing speaks against count too: they are held
    out, not sampled, or too few for what asks.
    """
    counts: Counter[str] = Counter()
    for _, _, found in read_pairs(pairs):
        counts += count_reasons(found, sft)
    n_pairs, n_used = counts.total(), counts[USED]
    if not n_pairs:
        return DataError(
            zh="文稿里没有一问一答，所以没有可以学的：没有哪次提问后面跟着回答；请检查 [corpus] 的 host_labels 和 guest_labels。",
            en="There is no pair to learn from: in no transcript is a guest's turn followed by an answer of the host; "
            "check host_labels and guest_labels of [corpus].",
        )
    zh, en = reasons(counts, "zh"), reasons(counts, "en")
    step_zh, step_en = next_step(counts, "zh"), next_step(counts, "en")
    if n_used:
        zh += ("，" if zh else "") + f"{n_used} 个留作评测、没有抽中或太少"
        en += (", " if en else "") + f"{n_used} held out, not sampled, or too few"
        step_zh = "加入更多文稿，或检查 [sft] 的 held_out_share 和 sample_ratio"
        step_en = "add transcripts, or check held_out_share and sample_ratio of [sft]"
    return DataError(
        zh=f"{n_pairs} 个问答里没有一个可以学：{zh}；请{step_zh}。",
        en=f"Of {n_pairs} pairs none is left to learn from: {en}; {step_en}.",
    )


def _by_count(counts: Mapping[str, int]) -> list[str]:
    return sorted((reason for reason in _WORDS if counts.get(reason)), key=lambda reason: -counts[reason])
