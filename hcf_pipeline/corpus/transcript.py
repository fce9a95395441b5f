"""One transcript's text as turns: one loop over its lines, linear in their length; a second one where it has a
speaker whose label is not set.

A turn is a known label with its colon at the start of a line; the lines that follow belong to it, up to the next
label. What another speaker says is nobody's: it is counted and reported, and takes a turn number, so that the turns
around it do not follow on. labels.py decides whether the start of a line is an unknown speaker or words of the turn.
Text before the first label is nobody's too. Byte order mark, line endings, colon width and the spaces round lines
don't matter.

Flags say that a turn may not be what was said in full; pairs of such turns are not learnt. A noise line is dropped,
and flags its turn only where words went with it: where the line tells of a failure (`lost_pattern`), or where the turn
held nothing else. Times, page numbers, banners and the like stand between words and carry none.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, NamedTuple

from hcf_pipeline.corpus.labels import label_at_start, other_speakers
from hcf_pipeline.corpus.patterns import Matcher, found_by
from hcf_pipeline.settings import EVERYBODY, CorpusSettings

Side = Literal["host", "guest"]

NOISE_REMOVED = "noise_removed"  # words of the turn are lost where the transcriber left a line of its own
CUT_OFF = "cut_off"  # the broadcast broke off in this turn
UNKNOWN_LABEL = "unknown_label"  # a label that is not set begins a line of the turn, or ends it


class Turn(NamedTuple):
    no: int  # from 1, in file order; the turns of other speakers take a number each
    side: Side
    label: str
    text: str
    flags: str  # names in alphabetical order, separated by a space
    start_s: float | None = None  # seconds from the file's beginning, where the form has times


@dataclass(frozen=True)
class Transcript:
    turns: list[Turn]
    n_noise_lines: int
    n_chars_before_first_label: int
    unknown_labels: Mapping[str, int]  # lines that begin with one, whether it is a speaker or words


@dataclass(frozen=True)
class Grammar:
    """How the transcripts of one corpus are written."""

    settings: CorpusSettings

    @cached_property
    def sides(self) -> dict[str, Side]:
        sides: dict[str, Side] = dict.fromkeys(self.settings.host_labels, "host")
        return sides | {label: "guest" for label in self.settings.guest_labels if label != EVERYBODY}

    @cached_property
    def speakers(self) -> dict[str, Side | Literal["other"]]:
        """Whose turn each label opens that is set."""
        speakers: dict[str, Side | Literal["other"]] = dict.fromkeys(self.settings.other_labels, "other")
        speakers.update(self.sides)
        return speakers

    def with_guests(self, labels: Iterable[str]) -> Grammar | None:
        """The grammar in which these speakers are guests; None where not everybody is one."""
        if EVERYBODY not in self.settings.guest_labels:
            return None
        guests = sorted({*self.settings.guest_labels, *labels})
        return Grammar(self.settings.model_copy(update={"guest_labels": guests}))

    @cached_property
    def label(self) -> re.Pattern[str]:
        names = "|".join(re.escape(name) for name in sorted(self.speakers, key=len, reverse=True))
        return re.compile(rf"({names})[ \t\u3000]*[：:]\s*")

    @cached_property
    def is_noise(self) -> Matcher:
        return found_by(self.settings.noise)

    @cached_property
    def is_loss(self) -> Matcher:
        """Whether words were lost where this noise line stands."""
        return found_by([self.settings.lost_pattern])

    def unknown_label(self, line: str) -> str | None:
        """What may be the label of a speaker whom the settings do not know."""
        found = label_at_start(line)
        return found[1] if found and found[1] not in self._not_labels else None

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
        """The date in a file's name; None where it is incomplete, impossible, or not written in digits."""
        found = self._date.search(path.rsplit("/", 1)[-1])
        try:
            return datetime.date(*(int(found[name]) for name in ("year", "month", "day"))) if found else None
        except (ValueError, TypeError, OverflowError):  # TypeError: of a group that took no part in the match
            return None

    def interrupted(self, path: str) -> bool:
        return bool(self._interrupted.search(path.rsplit("/", 1)[-1].rsplit(".", 1)[0]))


def parse_transcript(text: str, grammar: Grammar, *, interrupted: bool = False) -> Transcript:
    """The turns of one transcript, in order. `interrupted` flags the last one as cut off."""
    if "\r" in text:
        text = text.replace("\r", "\n")
    lines = text.removeprefix("\ufeff").split("\n")
    places: dict[str, list[int]] = {}
    transcript = _parse(lines, grammar, frozenset(), places)
    if places and (others := other_speakers(places, [turn.label for turn in transcript.turns])):
        guests = grammar.with_guests(others)
        transcript = _parse(lines, guests or grammar, frozenset() if guests else others, {})
        if guests:
            places = {label: found for label, found in places.items() if label not in others}
    if interrupted and transcript.turns:
        _flag(transcript.turns, CUT_OFF)
    return replace(transcript, unknown_labels={label: len(found) for label, found in places.items()})


def _parse(  # noqa: PLR0912 (a function call a line would cost a fifth of the speed)
    lines: Iterable[str], grammar: Grammar, others: frozenset[str], places: dict[str, list[int]]
) -> Transcript:
    """The turns, where the unknown labels `others` are speakers and all else is words.

    `places` is filled: for each unknown label, how many turns stand before each of its lines.
    """
    label_at, speaker_of, is_noise = grammar.label.match, grammar.speakers.get, grammar.is_noise
    new = tuple.__new__  # a NamedTuple's own constructor would take a fifth of the whole time
    turns: list[Turn] = []
    more: list[str] = []  # further lines of the last turn
    dropped = False  # whether a noise line was dropped from the last turn
    speaking = False  # whether a line without a label belongs to the last turn
    no = n_noise = n_before = 0
    for raw in lines:
        if not raw or not (line := raw.strip()):
            continue
        name, colon, said = line.partition("：")
        speaker = speaker_of(name) if colon else None
        if speaker is None and (found := label_at(line)):  # a half-width colon, or spaces before it
            name, said = found[1], line[found.end() :]
            speaker = speaker_of(name)
        if speaker is not None:
            if more or dropped:
                dropped = _close(turns, more, dropped)
            no += 1
            if speaker == "other":
                speaking = False
                continue
            flags = ""
            if is_noise(said := said.lstrip()):
                n_noise += 1
                flags = NOISE_REMOVED if grammar.is_loss(said) else ""
                said, dropped = "", True
            turns.append(new(Turn, (no, speaker, name, said, flags, None)))
            speaking = True
        elif is_noise(line):
            n_noise += 1
            if speaking:
                dropped = True
                if grammar.is_loss(line):
                    _flag(turns, NOISE_REMOVED)
        else:
            unknown = grammar.unknown_label(line)
            if unknown:
                places.setdefault(unknown, []).append(len(turns))
                if speaking:
                    _flag(turns, UNKNOWN_LABEL)
            if unknown in others:
                no += 1
                speaking = False
            elif speaking:
                more.append(line)
            elif not no:
                n_before += len(line)
    _close(turns, more, dropped)
    return Transcript(turns, n_noise, n_before, {})


def _close(turns: list[Turn], more: list[str], dropped: bool) -> Literal[False]:
    """Joins further lines to the last turn, and forgets them; a turn of which noise was all there is lost its words."""
    if more:
        said = turns[-1].text
        turns[-1] = turns[-1]._replace(text="\n".join([said, *more] if said else more))
        more.clear()
    elif dropped and not turns[-1].text:
        _flag(turns, NOISE_REMOVED)
    return False


def _flag(turns: list[Turn], flag: str) -> None:
    last = turns[-1]
    if flag not in last.flags.split():
        turns[-1] = last._replace(flags=joined_flags(last.flags, flag))


def joined_flags(*flags: str) -> str:
    """Every flag once."""
    return " ".join(sorted({flag for of_turn in flags for flag in of_turn.split()}))
