"""How the transcripts of one corpus are written: the settings of [corpus], as what a parser asks of a line or a file."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from hcf_pipeline.corpus.dates import date_of_path
from hcf_pipeline.corpus.forms.choice import LineForms
from hcf_pipeline.corpus.forms.heads import ROLE_ENDS, Head, Reader, Shape, any_head, known_head, without_role
from hcf_pipeline.corpus.forms.names import LINE_FORMS
from hcf_pipeline.corpus.forms.own import own_head
from hcf_pipeline.corpus.labels import is_words, label_at_start
from hcf_pipeline.corpus.patterns import Matcher, found_by
from hcf_pipeline.settings import ANYBODY, CorpusSettings

Side = Literal["host", "guest"]


@dataclass(frozen=True)
class Grammar:
    """How the transcripts of one corpus are written."""

    settings: CorpusSettings

    @cached_property
    def sides(self) -> dict[str, Side]:
        sides: dict[str, Side] = dict.fromkeys(self.settings.host_labels, "host")
        return sides | dict.fromkeys([name for name in self.settings.guest_labels if name != ANYBODY], "guest")

    @cached_property
    def stranger(self) -> Side | Literal["other"]:
        """The side of a speaker whose label is not set."""
        return "guest" if ANYBODY in self.settings.guest_labels else "other"

    @cached_property
    def speakers(self) -> dict[str, Side | Literal["other"]]:
        """Whose turn each label opens that is set."""
        speakers: dict[str, Side | Literal["other"]] = dict.fromkeys(self.settings.other_labels, "other")
        speakers.update(self.sides)
        return speakers

    @cached_property
    def _speakers(self) -> Mapping[str, tuple[str, Side | Literal["other"]]]:
        return {name: (name, side) for name, side in self.speakers.items()}

    def speaker(self, label: str) -> tuple[str, Side | Literal["other"]] | None:
        """The label as it is set, and its side; None where it is not. A role behind a name is no part of it."""
        return self._speakers.get(label) or (
            self._speakers.get(without_role(label)) if label.endswith(ROLE_ENDS) else None
        )

    @cached_property
    def is_noise(self) -> Matcher:
        return found_by(self.settings.noise)

    @cached_property
    def is_loss(self) -> Matcher:
        """Whether words were lost where this noise line stands."""
        return found_by([self.settings.lost_pattern])

    def known_head(self, form: str) -> Reader:
        """The head of a line that a label opens which is set."""
        return self._readers(form)[0]

    def any_head(self, form: str) -> Reader:
        """The head of a line that anybody's name may open."""
        return self._readers(form)[1]

    def _readers(self, form: str) -> tuple[Reader, Reader]:
        if form not in self._kept_readers:
            if form in LINE_FORMS:
                readers = known_head(list(self.speakers), form), any_head(form)
            else:
                readers = own_head(form), no_head
            self._kept_readers[form] = readers
        return self._kept_readers[form]

    @cached_property
    def _kept_readers(self) -> dict[str, tuple[Reader, Reader]]:
        return {}

    @cached_property
    def line_forms(self) -> LineForms:
        return LineForms(list(self.speakers))

    def is_label(self, head: Head) -> bool:
        """Whether a name that is not set may be one."""
        return head.label not in self._not_labels and not is_words(head.label)

    def doubt(self, head: Head, line: str) -> Literal["label", "loose"] | None:
        """Whether the head of a line that says little by its form is a label in doubt, or one only if it recurs."""
        if not self.is_label(head):
            return None
        found = label_at_start(line) if head.shape is Shape.PLAIN else None
        return "label" if found and found[1] == head.label else "loose"

    @cached_property
    def _not_labels(self) -> frozenset[str]:
        return frozenset(self.settings.not_labels)

    @cached_property
    def _date(self) -> re.Pattern[str]:
        return re.compile(self.settings.date_pattern)

    @cached_property
    def _interrupted(self) -> re.Pattern[str]:
        return re.compile(self.settings.interrupted_pattern)

    def date_of(self, path: str) -> datetime.date | None:
        """The day in a file's path; None where it has none, or an impossible one.

        By the pattern that is set, in the name alone; without one in all usual ways, in the folders too.
        """
        if not self.settings.date_pattern:
            return date_of_path(path, self.settings.date_order)
        found = self._date.search(path.rsplit("/", 1)[-1])
        try:
            return datetime.date(*(int(found[name]) for name in ("year", "month", "day"))) if found else None
        except (ValueError, TypeError, OverflowError):  # TypeError: of a group that took no part in the match
            return None

    def interrupted(self, path: str) -> bool:
        return bool(self._interrupted.search(path.rsplit("/", 1)[-1].rsplit(".", 1)[0]))


def no_head(line: str) -> None:
    """Where a form knows every head, nothing else may be one."""
