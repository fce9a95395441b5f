"""Which form a file is in, and how sure that is.

Subtitles and JSON show themselves. Of the forms of lines, the inline one (a colon behind the name, whatever stands round
it) is always read; the others, where a name in brackets, before a tab or alone on its line opens a turn, only in a file
where that is how turns are opened.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from hcf_pipeline.corpus.forms import recogniser, subtitles
from hcf_pipeline.corpus.forms.heads import SHAPES_OF, Shape, known_head
from hcf_pipeline.corpus.forms.names import ASS, BRACKET, CUES, HEADING, JSON, LABEL, NAME, NAME_TIME, TAB
from hcf_pipeline.corpus.forms.utterance import Utterance

N_LOOKED_AT = 40  # lines: with as many that open turns in the usual way nothing else is looked for
N_LOOKED_AT_MOST = 2000
_FORM_OF = {
    Shape.BRACKET: BRACKET,
    Shape.TAB: TAB,
    Shape.NAME_TIME: NAME_TIME,
    Shape.HEADING: HEADING,
    Shape.NAME: NAME,
}


class Choice(NamedTuple):
    form: str
    sure: float  # share of the heads that are written in it


def form_with_fields(text: str) -> str | None:
    """Subtitles or JSON, where the text is that."""
    if recogniser.is_json(text):
        return JSON
    if "-->" in text[:2000] and subtitles.is_cues(text):
        return CUES
    return ASS if subtitles.is_ass(text) else None


def utterances(form: str, text: str, json_fields: Sequence[str]) -> Iterable[Utterance] | None:
    """What is said in a form that names its fields; None where the text is not in it."""
    if form == JSON:
        return recogniser.read_segments(text, json_fields)
    return subtitles.read_cues(text) if form == CUES else subtitles.read_ass(text)


class LineForms:
    """Finds the form of lines whose turns the given names open."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = frozenset(names)
        self._read = known_head(names, *SHAPES_OF)

    def find(self, lines: Iterable[str]) -> Choice:
        n_inline = 0
        counts: Counter[Shape] = Counter()
        labels: dict[Shape, set[str]] = {}
        stripped = (line for raw in lines if (line := raw.strip()))
        for n, line in enumerate(itertools.islice(stripped, N_LOOKED_AT_MOST), 1):
            if line.partition("：")[0] in self._names and "：" in line:
                n_inline += 1
            else:
                head = self._read(line)
                if head and head.shape in _FORM_OF:
                    counts[head.shape] += 1
                    labels.setdefault(head.shape, set()).add(head.label)
                elif head:
                    n_inline += 1
            if n >= N_LOOKED_AT and n_inline * 4 >= n:
                break
        return self._best(n_inline, counts, labels)

    def _best(self, n_inline: int, counts: Counter[Shape], labels: dict[Shape, set[str]]) -> Choice:
        if not counts:
            return Choice(LABEL, 1.0)
        shape, n_best = counts.most_common(1)[0]
        total = n_inline + counts.total()
        # a name alone on a line is the weakest sign: no turn may be opened in another way beside it
        opens = shape is not Shape.NAME or (
            not n_inline and n_best >= 2 and (len(labels[shape]) > 1 or len(self._names) == 1)
        )
        if n_best > n_inline and opens:
            if shape is Shape.NAME_TIME and counts[Shape.HEADING]:
                shape = Shape.HEADING
            return Choice(_FORM_OF[shape], n_best / total)
        return Choice(LABEL, n_inline / total)
