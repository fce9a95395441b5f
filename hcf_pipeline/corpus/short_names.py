"""Other names under which one speaker stands in a corpus: his first name alone, initials, a misspelt one.

`Sjors Provoost (SP): …` says so itself. A first or last name alone, and one with a letter too many or too few, is the same
person only where it never speaks in one file with the whole name, and where nobody else found is called so: what is left
open stays somebody else's, for words are never put into the persona's mouth by a guess.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from hcf_pipeline.corpus.forms.heads import role_of, without_role

MIN_MISSPELT = 5  # letters of a word: in a shorter one a letter makes another name


def short_names(
    name: str, labels: Collection[str], seen: Iterable[str], files: Collection[Collection[str]]
) -> list[str]:
    """Which of the `labels` found are `name` too.

    `seen` has the labels as they stand, with what stands in brackets behind them; `files` whose turns each file has.
    """
    bases: dict[str, set[str]] = {}
    for label in seen:
        if role := role_of(label):
            bases.setdefault(role, set()).add(without_role(label))
    called = [label for label in labels if bases.get(label) == {name}]
    apart = [
        label
        for label in labels
        if label not in (name, *called) and not any(name in of_file and label in of_file for of_file in files)
    ]
    called += [label for label in apart if _is_misspelt(label, name)]
    for label in apart:
        shorter, longer = sorted((name, label), key=len)
        if _is_part(shorter, longer) and all(
            other in (name, label, *called) for other in labels if _is_part(shorter, other)
        ):
            called.append(label)
    return called


def _is_part(shorter: str, longer: str) -> bool:
    """Whether a name is the first or the last word of a longer one."""
    words = longer.split()
    return len(words) > 1 and len(shorter) > 1 and shorter in (words[0], words[-1])


def _is_misspelt(name: str, other: str) -> bool:
    """Whether two names of several words differ in nothing but case, or in one letter that a word has more."""
    words, others = name.lower().split(), other.lower().split()
    if len(words) < 2 or len(words) != len(others):
        return False
    differ = [pair for pair in zip(words, others, strict=True) if pair[0] != pair[1]]
    return not differ or (len(differ) == 1 and _has_one_letter_more(*sorted(differ[0], key=len)))


def _has_one_letter_more(shorter: str, longer: str) -> bool:
    return (
        len(longer) == len(shorter) + 1
        and len(shorter) >= MIN_MISSPELT
        and longer.isalpha()
        and any(longer[:n] + longer[n + 1 :] == shorter for n in range(len(longer)))
    )
