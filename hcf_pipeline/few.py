"""Names in a sentence: the first few of them, each cut to a bearable length, and how many more there are."""

from __future__ import annotations

from collections.abc import Sequence

from hcf_pipeline.errors import Lang

N_NAMED = 8
NAME_CHARS = 80


def few(names: Sequence[str], lang: Lang, n: int = N_NAMED, between: str = " ") -> str:
    """ "a b c and 97 more" of a hundred names."""
    named = between.join(map(shortened, names[:n]))
    more = len(names) - n
    return named if more <= 0 else named + and_more(more, lang)


def listed(names: Sequence[str], lang: Lang, n: int = N_NAMED) -> str:
    """As `few`, set apart as the language does."""
    return few(names, lang, n, "、" if lang == "zh" else ", ")


def and_more(n: int, lang: Lang) -> str:
    return f"，另有 {n} 个" if lang == "zh" else f" and {n} more"


def shortened(name: str, n_chars: int = NAME_CHARS) -> str:
    """A name of at most `n_chars`: of a longer one the start and the end, where paths differ."""
    if len(name) <= n_chars:
        return name
    tail = n_chars // 3
    return f"{name[: n_chars - tail - 1]}…{name[-tail:]}"
