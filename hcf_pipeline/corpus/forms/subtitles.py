"""SRT, WebVTT and ASS: cues with times. A speaker stands in `<v Name>`, in ASS's Name field, or as a label in the text.

Read here and not by a library, for none keeps what is wanted of a cue, its speaker: pysubs2 1.8 drops `<v Name>`, joins the
voices of a cue, reads NOTE blocks as words and knows no SRT without hours or milliseconds; webvtt-py 0.6 keeps the first voice
of a cue alone; srt 3.5 refuses a file for one bad arrow. All are slower (benchmarks/forms.py shows by how much).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from html import unescape

from hcf_pipeline.corpus.forms.heads import inline_head
from hcf_pipeline.corpus.forms.times import CLOCK, seconds
from hcf_pipeline.corpus.forms.utterance import Utterance
from hcf_pipeline.corpus.labels import is_words

_CUE_CLOCK = rf"{CLOCK}(?:(?<=[.,]\d{{3}})\d{{1,6}})?"  # some write more digits of a second than three
_ARROW = re.compile(  # `->` where nothing else stands on the line: 12:30 -> 13:00 may begin what somebody says
    rf"^[ \t]*({_CUE_CLOCK})[ \t]*-(?:->[ \t]*{_CUE_CLOCK}[^\n]*|>[ \t]*{_CUE_CLOCK}[ \t]*$)", re.MULTILINE
)
_VOICE = re.compile(r"<v(?:\.[^ >\n]*)?[ \t]+([^>\n]{1,80})>")
_ONE_VOICE = re.compile(r"<v(?:\.[^ >\n]*)?[ \t]+([^>\n]{1,80})>([^<{&\n]*)(?:</v>)?")  # of most cues with voices
_TAG = re.compile(
    r"</?(?:[bicuv]|ruby|rt|lang|font)(?:[. ][^<>\n]{0,200})?>|<\d[\d:.]*>|\{\\[^{}\n]{0,200}\}", re.IGNORECASE
)
_ENTITY = re.compile(r"&(?:amp|lt|gt|nbsp|quot|#39);")  # that WebVTT writes, and what converts it leaves in SRT
_NOT_CUES = re.compile(r"\n[ \t]*\n(?:NOTE|STYLE|REGION)\b.*", re.DOTALL)
_new = tuple.__new__  # a NamedTuple's own constructor takes twice the time
_COLON = re.compile(r"(?:>>+[ \t]*)?([^:：]{1,60}+)[:：](?!//)(?!(?<=\d[:：])\d\d(?!\d))\s*")


def is_cues(text: str) -> bool:
    head = text[:2000].lstrip()
    return head.startswith("WEBVTT") or bool(_ARROW.search(text[:2000]))


def is_ass(text: str) -> bool:
    return "[Script Info]" in text[:2000] or "\nDialogue:" in text[:20_000]


def read_cues(text: str) -> Iterator[Utterance]:
    """The cues of an SRT or WebVTT file; one with two speakers is two."""
    may_have_notes = "NOTE" in text or "STYLE" in text or "REGION" in text
    for clock, body in _cues(text):
        said = _NOT_CUES.sub("", body) if may_have_notes else body
        yield from _spoken(said.strip(), seconds(clock))


def _cues(text: str) -> Iterator[tuple[str, str]]:
    """When each cue begins, and what follows up to the next one.

    The lines with times are looked for by their arrow: an expression would be tried at every character.
    """
    clock, begin, number = "", 0, ""
    at = text.find("->")
    while at >= 0:
        found = _ARROW.match(text, text.rfind("\n", 0, at) + 1)
        if found:
            body, number = _without_number(text[begin : found.start()], number)
            if clock:
                yield clock, body
            clock, begin = found[1], found.end()
        end_of_line = text.find("\n", at)
        at = text.find("->", end_of_line) if end_of_line >= 0 else -1
    if clock:
        yield clock, text[begin:]


def _without_number(body: str, before: str) -> tuple[str, str]:
    """What stands between two lines with times, without the number or the name of the cue below; and that.

    It is the last line, where an empty one stands above it; or where it goes on from the number `before`.
    """
    above, newline, last = body.rstrip().rpartition("\n")
    if not newline or above.rstrip(" \t").endswith("\n"):
        return above, last
    goes_on = len(before) < 9 and before.isdecimal() and last.strip() == str(int(before) + 1)
    return (above, last.strip()) if goes_on else (body, "")


def _spoken(body: str, start_s: float) -> list[Utterance]:
    """What is said in a cue: by one speaker, by several, or by none that it names."""
    if "<v" in body:
        if one := _ONE_VOICE.fullmatch(body):
            return [_new(Utterance, (one[1].strip(), one[2].strip(), start_s))]
        parts = _VOICE.split(body)  # text, name, text, name, text …
        spoken = [Utterance("", before, start_s)] if (before := _plain(parts[0])) else []
        names_and_texts = zip(parts[1::2], parts[2::2], strict=True)
        return spoken + [Utterance(name.strip(), _plain(said), start_s) for name, said in names_and_texts]
    spoken = []
    lines: list[str] = []
    label = ""
    for raw in (_plain(body) if "<" in body or "{" in body or "&" in body else body).split("\n"):
        line = raw.strip()
        found = _COLON.match(line)
        if found and (name := _label(found[1])):
            if lines or label:
                spoken.append(Utterance(label, "\n".join(lines), start_s))
            label, lines = name, [said] if (said := line[found.end() :]) else []
        elif line:
            lines.append(line)
    if lines or label:
        spoken.append(_new(Utterance, (label, "\n".join(lines), start_s)))
    return spoken


@lru_cache(maxsize=4096)
def _label(before_colon: str) -> str:
    """The name that stands before a colon; "" where it is none. Remembered, for the same few names recur."""
    head = inline_head(before_colon + ": x")
    return head.label if head and head.text == "x" and not is_words(head.label) else ""


def _plain(body: str) -> str:
    text = _TAG.sub("", body) if "<" in body or "{" in body else body
    if "&" in text:
        text = _ENTITY.sub(lambda entity: unescape(entity[0]).replace("\xa0", " "), text)
    return "\n".join([line for raw in text.split("\n") if (line := raw.strip())]) if "\n" in text else text.strip()


def read_ass(text: str) -> Iterator[Utterance]:
    """The Dialogue lines of an ASS or SSA file, in the order of its [Events] Format."""
    fields = ["Layer", "Start", "End", "Style", "Name", "MarginL", "MarginR", "MarginV", "Effect", "Text"]
    at = {field: n for n, field in enumerate(fields)}
    in_events = False
    for line in text.split("\n"):
        if line.startswith("["):
            in_events = line.startswith("[Events]")
        elif line.startswith("Format:") and in_events:
            fields = [field.strip() for field in line[7:].split(",")]
            at = {field: n for n, field in enumerate(fields)}
        elif line.startswith("Dialogue:"):
            values = line[9:].split(",", len(fields) - 1)
            if len(values) < len(fields):
                continue
            start_s = seconds(values[at["Start"]].strip() if "Start" in at else "0:00")
            text = values[at["Text"]] if "Text" in at else ""
            words = _plain(text.replace("\\N", "\n").replace("\\n", "\n").replace("\\h", " "))
            name = (
                (values[at["Name"]] if "Name" in at else "") or (values[at["Actor"]] if "Actor" in at else "")
            ).strip()
            if name:
                yield Utterance(name, words, start_s)
            else:
                yield from _spoken(words, start_s)
