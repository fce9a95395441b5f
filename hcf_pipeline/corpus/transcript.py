"""One transcript's text as turns, whatever form it is in: linear in its length; a second pass over its lines where it
has a speaker whose label is not set.

forms/ finds who opens a turn. A known label does so in every way that people write one; the lines that follow belong to
it, up to the next label. What another speaker says is nobody's: it is counted and reported, and takes a turn number, so
that the turns around it do not follow on. Where the start of a line may be a speaker whom the settings do not know
(labels.py decides), the line and those below it are set aside and the turn before is flagged: attribution fails away from
a speaker, never towards one. Text before the first label is nobody's too. Byte order mark, line endings, colon width and
the spaces round lines don't matter.

Flags say that a turn may not be what was said in full; pairs of such turns are not learnt. A noise line is dropped,
and flags its turn only where words went with it: where the line tells of a failure (`lost_pattern`), or where the turn
held nothing else. Times, page numbers, banners and the like stand between words and carry none.
"""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from hcf_pipeline.corpus.dates import date_in
from hcf_pipeline.corpus.encodings import UTF8, normalized
from hcf_pipeline.corpus.forms.between import times_before_turns
from hcf_pipeline.corpus.forms.choice import form_with_fields, utterances
from hcf_pipeline.corpus.forms.heads import Head, is_strong, is_url, role_of
from hcf_pipeline.corpus.forms.names import JSON, LABEL, LINE_FORMS, WITH_FIELDS
from hcf_pipeline.corpus.forms.recogniser import is_json
from hcf_pipeline.corpus.forms.times import STAMP_BEGINS, Clock, bare_stamp, is_stamp
from hcf_pipeline.corpus.forms.utterance import Utterance
from hcf_pipeline.corpus.front_matter import DATES, TITLES, address, first_of, split
from hcf_pipeline.corpus.furniture import FURNITURE_SIGNS, furniture, without_blocks
from hcf_pipeline.corpus.grammar import Grammar, Side
from hcf_pipeline.corpus.labels import LabelPlace, other_speakers, recurs

NOISE_REMOVED = "noise_removed"  # words of the turn are lost where the transcriber left a line of its own
CUT_OFF = "cut_off"  # the broadcast broke off in this turn
UNKNOWN_LABEL = "unknown_label"  # a label that is not set ends it, and may be a speaker's or words of the turn


FRONT_MATTER, BEFORE, OTHER, NO_SPEAKER = "front matter", "before the first label", "other speaker", "no speaker"
IN_DOUBT, NOISE = "speaker in doubt", "noise"


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
    form: str = LABEL
    sure: float = 1.0  # share of the heads that are written in that form; 1 where it is set, or has fields of its own
    encoding: str = UTF8  # of the file that the text was read from
    left_out: Mapping[str, int] = field(default_factory=dict)  # lines, by why they are in no turn
    chars_left_out: Mapping[str, int] = field(default_factory=dict)  # characters of those that may be speech
    date: datetime.date | None = None  # that the text names: above its dialogue, else beside the times of a chat
    metadata: Mapping[str, str] = field(default_factory=dict)  # title and url of the front matter


def parse_transcript(text: str, grammar: Grammar, *, interrupted: bool = False) -> Transcript:
    """The turns of one transcript, in order. `interrupted` flags the last one as cut off."""
    fields, text, n_lines = split(normalized(text))
    form = grammar.settings.form
    if form == "auto":
        form = form_with_fields(text) or ""
    read = utterances(form, text, grammar.settings.json_fields) if form in WITH_FIELDS else None
    if read is not None:
        transcript = turns_of_utterances(read, grammar, form)
    elif form == JSON or (not form and is_json(text)):
        transcript = Transcript([], 0, len(text), {})
    else:
        transcript = _turns_of_lines(text, grammar, "" if form in WITH_FIELDS else form)
    if interrupted and transcript.turns:
        flag_last(transcript.turns, CUT_OFF)
    if not fields:
        return transcript
    day = date_in(first_of(fields, DATES), grammar.settings.date_order)
    known = {"title": first_of(fields, TITLES), "url": address(fields)}
    return replace(
        transcript,
        date=day or transcript.date,
        metadata={name: value for name, value in known.items() if value},
        left_out={**transcript.left_out, FRONT_MATTER: n_lines},
    )


def _turns_of_lines(text: str, grammar: Grammar, form: str) -> Transcript:
    left_out: Counter[str] = Counter()
    text = without_blocks(text, left_out)
    lines: Sequence[str] = text.split("\n")
    sure = 1.0
    if not form:
        form, sure = grammar.line_forms.find(lines)
    if form == LABEL:
        lines = times_before_turns(lines, grammar.known_head(form), grammar.is_noise)
    places: dict[str, list[LabelPlace]] = {}
    loose: dict[str, list[LabelPlace]] = {}
    heads: dict[str, Head] = {}
    found = _parse(lines, grammar, form, frozenset(), places, loose, heads)
    labels = [turn.label for turn in found.turns]
    others = other_speakers(places, labels) if places else frozenset()
    others |= {label for label, of_label in loose.items() if recurs(of_label)}
    if others:
        found = _parse(lines, grammar, form, others, {}, {}, heads)
    settled = others if grammar.stranger == "guest" else frozenset()  # whoever speaks is known: a guest
    unknown = {
        label: len(of_label)
        for label, of_label in (places | loose).items()
        if (label in others or label in places) and label not in settled
    }
    if found.left_out:
        left_out.update(found.left_out)
    return replace(
        found,
        form=form if form in LINE_FORMS else "own",
        sure=sure,
        left_out=dict(left_out),
        date=_date_of_heading(lines, grammar) or found.date,
        unknown_labels={**found.unknown_labels, **unknown},
    )


def _date_of_heading(lines: Sequence[str], grammar: Grammar) -> datetime.date | None:
    """The day in the first heading, if it stands among the first lines."""
    for line in lines[:20]:
        if line.startswith("#"):
            return date_in(line, grammar.settings.date_order)
    return None


def _parse(  # noqa: PLR0912, PLR0915 (a function call a line would cost a fifth of the speed)
    lines: Iterable[str],
    grammar: Grammar,
    form: str,
    others: frozenset[str],
    places: dict[str, list[LabelPlace]],
    loose: dict[str, list[LabelPlace]],
    heads: dict[str, Head],
) -> Transcript:
    """The turns, where the unknown labels `others` are speakers and all else is words or in doubt.

    `places` is filled: where the lines of each label stand that may be a speaker's; `loose` with those that only
    recurrence makes one; `heads` with those of such lines, which a second pass need not look for.
    """
    known, any_name, speaker_of = grammar.known_head(form), grammar.any_head(form), grammar.speakers.get
    is_noise, stranger, named = grammar.is_noise, grammar.stranger, grammar.speaker
    clock = Clock(grammar.settings.date_order)
    new = tuple.__new__  # a NamedTuple's own constructor would take a fifth of the whole time
    turns: list[Turn] = []
    more: list[str] = []  # further lines of the last turn
    dropped = False  # whether a noise line was dropped from the last turn
    speaking = False  # whether a line without a label belongs to the last turn
    aside = ""  # why it belongs to none, where it does not
    no = n_noise = n_before = n_changes = 0
    unknown = ""  # the unknown label of the line before that has one
    short_names: dict[str, tuple[str, Side | Literal["other"]] | None] = {}  # SP, once Sjors Provoost (SP) has spoken
    left_out: Counter[str] = Counter()
    chars: Counter[str] = Counter()  # of what is left out and may be speech
    strangers: Counter[str] = Counter()
    for raw in lines:
        if not raw or not (line := raw.strip()):
            continue
        name, colon, said = line.partition("：")
        speaker = speaker_of(name) if colon else None
        start_s: float | None = None
        if speaker is None:
            head = heads.get(line) or known(line)  # a half-width colon, a sign or a time beside the name
            noisy = head is None and is_noise(line)
            if head is None and not noisy and (head := any_name(line)):
                heads[line] = head
            if head is not None:
                name, said = head.label, head.text
                if found := named(name):
                    if name != found[0]:
                        short = role_of(name)
                        short_names[short] = found if short_names.get(short, found) == found else None  # None: of two
                    name, speaker = found
                elif found := short_names.get(name):
                    name, speaker = found
                elif name in others or (is_strong(head, form) and grammar.is_label(head)):
                    speaker = stranger
                    if name not in others:
                        strangers[name] += 1
                    elif speaking and stranger == "other":
                        flag_last(turns, UNKNOWN_LABEL)
                elif speaking and not more and not turns[-1].text and (form != LABEL or turns[-1].start_s is not None):
                    pass  # below a name on a line of its own stand that speaker's words, whatever they begin with
                elif in_doubt := grammar.doubt(head, line):
                    if not is_url(said):
                        n_changes += name != unknown
                        unknown = name
                        of_label = (places if in_doubt == "label" else loose).setdefault(name, [])
                        of_label.append(LabelPlace(len(turns), n_changes))
                    if in_doubt == "label":
                        if speaking:
                            flag_last(turns, UNKNOWN_LABEL)
                        if no:
                            speaking, aside = False, IN_DOUBT
                if speaker is not None and head.stamp:
                    start_s = clock.seconds(head.stamp)
        elif said[:1] in STAMP_BEGINS and is_stamp(said) and not is_noise(said):
            start_s, said = clock.seconds(bare_stamp(said)), ""
        if speaker is not None:
            if more or dropped:
                dropped = _close(turns, more, dropped)
            no += 1
            if speaker == "other":
                speaking, aside = False, OTHER
                left_out[OTHER] += 1
                chars[OTHER] += len(said)
                continue
            flags = ""
            if is_noise(said := said.lstrip()):
                n_noise += 1
                flags = NOISE_REMOVED if grammar.is_loss(said) else ""
                said, dropped = "", True
            turns.append(new(Turn, (no, speaker, name, said, flags, start_s)))
            speaking = True
        elif noisy:
            n_noise += 1
            if speaking:
                dropped = True
                if grammar.is_loss(line):
                    flag_last(turns, NOISE_REMOVED)
        elif line[0] in FURNITURE_SIGNS and (kind := furniture(line)):
            left_out[kind] += 1
        elif speaking:
            more.append(line)
        elif aside:
            left_out[aside] += 1
            chars[aside] += len(line)
        else:
            n_before += len(line)
            left_out[BEFORE] += 1
    _close(turns, more, dropped)
    if n_noise:
        left_out[NOISE] += n_noise
    if n_before:
        chars[BEFORE] = n_before
    unset = dict(strangers) if stranger == "other" else {}
    return Transcript(turns, n_noise, n_before, unset, left_out=left_out, chars_left_out=dict(chars), date=clock.day)


def turns_of_utterances(spoken: Iterable[Utterance], grammar: Grammar, form: str) -> Transcript:
    """The turns of a form that says of every utterance whose it is; those of one speaker that follow each other are one."""
    turns: list[Turn] = []
    left_out: Counter[str] = Counter()
    chars: Counter[str] = Counter()
    unknown: Counter[str] = Counter()
    last: str | None = None  # the speaker of the utterance before
    speakers: dict[str, tuple[str, Side | Literal["other"], bool]] = {}  # by label
    parts: list[str] = []
    no = n_noise = n_before = 0
    dropped, is_noise, new = False, grammar.is_noise, tuple.__new__
    for label, text, start_s in spoken:
        if "\n" in text:
            lines = text.split("\n")
            kept = [line for line in lines if line and not is_noise(line)]
            n_lost = sum(map(bool, lines)) - len(kept)
        else:
            lines = [text]
            n_lost = 1 if text and is_noise(text) else 0
            kept = lines if text and not n_lost else []
        n_noise += n_lost
        if (speaker := speakers.get(label)) is None:
            speakers[label] = speaker = _speaker_of_utterance(label, grammar)
        name, side, is_unknown = speaker
        if is_unknown:
            unknown[label] += 1
        elif not label:
            left_out[NO_SPEAKER] += len(kept)
            chars[NO_SPEAKER] += sum(map(len, kept))
        if name != last:
            dropped = _close(turns, parts, dropped)
            no, last = no + 1, name
            if side != "other":
                turns.append(new(Turn, (no, side, name, "", "", start_s)))
        if side == "other":
            if label:
                left_out[OTHER] += len(kept)
                chars[OTHER] += sum(map(len, kept))
            continue
        parts.extend(kept)
        if n_lost:
            dropped = True
            if any(grammar.is_loss(line) for line in lines if line not in kept):
                flag_last(turns, NOISE_REMOVED)
    _close(turns, parts, dropped)
    if n_noise:
        left_out[NOISE] += n_noise
    named = dict(+unknown)
    return Transcript(turns, n_noise, n_before, named, form, left_out=dict(left_out), chars_left_out=dict(chars))


def _speaker_of_utterance(label: str, grammar: Grammar) -> tuple[str, Side | Literal["other"], bool]:
    """The name, its side, and whether it is one that is not set."""
    if label and (found := grammar.speaker(label)):
        return (*found, False)
    side = grammar.stranger if label and label not in grammar.settings.not_labels else "other"
    return label, side, bool(label) and side == "other"


def _close(turns: list[Turn], more: list[str], dropped: bool) -> Literal[False]:
    """Joins further lines to the last turn, and forgets them; a turn of which noise was all there is lost its words."""
    if more:
        no, side, label, said, flags, start_s = turns[-1]
        if said:
            more.insert(0, said)
        # as `_replace` does, in a third of the time: where names stand on lines of their own it is done for each turn
        turns[-1] = tuple.__new__(Turn, (no, side, label, "\n".join(more), flags, start_s))
        more.clear()
    elif dropped and not turns[-1].text:
        flag_last(turns, NOISE_REMOVED)
    return False


def flag_last(turns: list[Turn], flag: str) -> None:
    last = turns[-1]
    if flag not in last.flags:  # no flag is a part of another
        turns[-1] = last._replace(flags=joined_flags(last.flags, flag))


def joined_flags(*flags: str) -> str:
    """Every flag once."""
    return " ".join(sorted({flag for of_turn in flags for flag in of_turn.split()}))
