"""One transcript's text as turns: one loop over its lines, linear in their length, nothing looked up twice.

A turn is a known label at the start of a line; the lines without a label that follow belong to it. A line that
starts with another label, and what follows it, is nobody's: it is counted and reported, never guessed. The same goes
for text before the first label. Byte order mark, line endings, colon width and the spaces round lines don't matter.
"""

from __future__ import annotations

import datetime
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

from hcf_pipeline.settings import CorpusSettings

Side = Literal["host", "guest"]

NOISE_REMOVED = "noise_removed"  # a line of the transcriber's own was dropped from the turn
CUT_OFF = "cut_off"  # the broadcast broke off in this turn

# What looks like a label: a short name, at most one space in it, no other punctuation; not a clock time nor an address.
UNKNOWN_LABEL = re.compile(
    r"(?=[^：:]*[^\W\d])([\w·・（）()\-]{1,10}(?: [\w·・（）()\-]{1,10})?)[ \t\u3000]*[：:](?!//)"
)


class Turn(NamedTuple):
    no: int  # from 1, in file order
    side: Side
    label: str
    text: str
    flags: str  # names separated by a space


@dataclass(frozen=True)
class Transcript:
    turns: list[Turn]
    n_noise_lines: int
    n_chars_before_first_label: int
    unknown_labels: Mapping[str, int]


@dataclass(frozen=True)
class Grammar:
    """How the transcripts of one corpus are written."""

    settings: CorpusSettings

    @cached_property
    def sides(self) -> dict[str, Side]:
        sides: dict[str, Side] = dict.fromkeys(self.settings.host_labels, "host")
        return sides | dict.fromkeys(self.settings.guest_labels, "guest")

    @cached_property
    def label(self) -> re.Pattern[str]:
        names = "|".join(re.escape(name) for name in sorted(self.sides, key=len, reverse=True))
        return re.compile(rf"({names})[ \t\u3000]*[：:]\s*")

    @cached_property
    def is_noise(self) -> Callable[[str], object]:
        """`match` where every pattern is anchored: a search would walk through each whole line."""
        pattern = re.compile("|".join(f"(?:{p})" for p in self.settings.noise) or r"(?!)")
        return pattern.match if all(p.startswith("^") for p in self.settings.noise) else pattern.search

    @cached_property
    def _date(self) -> re.Pattern[str]:
        return re.compile(self.settings.date_pattern)

    @cached_property
    def _interrupted(self) -> re.Pattern[str]:
        return re.compile(self.settings.interrupted_pattern)

    def date_of(self, path: str) -> datetime.date | None:
        """The date in a file's name; None where it is incomplete or impossible."""
        found = self._date.search(path.rsplit("/", 1)[-1])
        try:
            return datetime.date(*(int(found[name]) for name in ("year", "month", "day"))) if found else None
        except ValueError:
            return None

    def interrupted(self, path: str) -> bool:
        return bool(self._interrupted.search(path.rsplit("/", 1)[-1].rsplit(".", 1)[0]))


def parse_transcript(text: str, grammar: Grammar, *, interrupted: bool = False) -> Transcript:
    """The turns of one transcript, in order. `interrupted` flags the last one as cut off."""
    label_at, side_of, is_noise = grammar.label.match, grammar.sides.get, grammar.is_noise
    new = tuple.__new__  # a NamedTuple's own constructor would take a fifth of the whole time
    turns: list[Turn] = []
    more: list[str] = []  # further lines of the last turn
    speaking = False  # whether a line without a label belongs to the last turn
    unknown: Counter[str] = Counter()
    n_noise = n_before = 0
    if "\r" in text:
        text = text.replace("\r", "\n")
    for raw in text.removeprefix("\ufeff").split("\n"):
        if not raw or not (line := raw.strip()):
            continue
        name, _, said = line.partition("：")
        side = side_of(name)
        if side is None and (found := label_at(line)):  # a half-width colon, or spaces before it
            name, said = found[1], line[found.end() :]
            side = side_of(name)
        if side is not None:
            if more:
                _extend(turns, more)
            flags = ""
            if is_noise(said := said.lstrip()):
                n_noise += 1
                said, flags = "", NOISE_REMOVED
            turns.append(new(Turn, (len(turns) + 1, side, name, said, flags)))
            speaking = True
        elif is_noise(line):
            n_noise += 1
            if speaking:
                turns[-1] = turns[-1]._replace(flags=NOISE_REMOVED)
        elif stranger := UNKNOWN_LABEL.match(line):
            unknown[stranger[1]] += 1
            speaking = False
        elif speaking:
            more.append(line)
        elif not turns and not unknown:
            n_before += len(line)
    _extend(turns, more)
    if interrupted and turns:
        last = turns[-1]
        turns[-1] = last._replace(flags=f"{last.flags} {CUT_OFF}".strip())
    return Transcript(turns, n_noise, n_before, unknown)


def _extend(turns: list[Turn], more: list[str]) -> None:
    """Joins further lines to the last turn, and forgets them."""
    if more:
        said = turns[-1].text
        turns[-1] = turns[-1]._replace(text="\n".join([said, *more] if said else more))
        more.clear()
