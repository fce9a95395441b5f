"""SRT, WebVTT and ASS: cues with times. A speaker stands in `<v Name>`, in ASS's Name field, or as a label in the text.

Read here and not by a library (none was measured yet): what is wanted of a cue is its speaker, which stands in the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from hcf_pipeline.corpus.forms.heads import inline_head
from hcf_pipeline.corpus.forms.times import CLOCK, seconds
from hcf_pipeline.corpus.forms.utterance import Utterance
from hcf_pipeline.corpus.labels import is_words

_ARROW = re.compile(rf"^[ \t]*(?P<start>{CLOCK})[ \t]*-->[ \t]*{CLOCK}[^\n]*$", re.MULTILINE)
_VOICE = re.compile(r"<v(?:\.[^ >\n]*)?[ \t]+([^>\n]{1,80})>")
_TAG = re.compile(
    r"</?(?:[bicuv]|ruby|rt|lang|font)(?:[. ][^<>\n]{0,200})?>|<\d[\d:.]*>|\{\\[^{}\n]{0,200}\}", re.IGNORECASE
)
_COUNTER = re.compile(r"\n[ \t]*\n[^\n]*\s*\Z")  # an empty line and the number or name of the next cue
_NOT_CUES = re.compile(r"\n[ \t]*\n(?:NOTE|STYLE|REGION)\b.*", re.DOTALL)
_COLON = re.compile(r"(?:>>+[ \t]*)?([^:：]{1,60})[:：](?!//)(?!(?<=\d[:：])\d\d(?!\d))\s*")


def is_cues(text: str) -> bool:
    head = text[:2000].lstrip()
    return head.startswith("WEBVTT") or bool(_ARROW.search(text[:2000]))


def is_ass(text: str) -> bool:
    return "[Script Info]" in text[:2000] or "\nDialogue:" in text[:20_000]


def read_cues(text: str) -> Iterator[Utterance]:
    """The cues of an SRT or WebVTT file; one with two speakers is two."""
    found = list(_ARROW.finditer(text))
    ends = [one.start() for one in found[1:]] + [len(text)]
    for arrow, end in zip(found, ends, strict=True):
        body = text[arrow.end() : end]
        if end < len(text) and (counter := _COUNTER.search(body)):
            body = body[: counter.start()]
        if "NOTE" in body or "STYLE" in body or "REGION" in body:
            body = _NOT_CUES.sub("", body)
        yield from _spoken(body.strip(), seconds(arrow["start"]))


def _spoken(body: str, start_s: float) -> Iterator[Utterance]:
    if "<v" in body:
        parts = _VOICE.split(body)  # text, name, text, name, text …
        if before := _plain(parts[0]):
            yield Utterance("", before, start_s)
        for name, said in zip(parts[1::2], parts[2::2], strict=True):
            yield Utterance(name.strip(), _plain(said), start_s)
        return
    lines: list[str] = []
    label = ""
    for raw in (_plain(body) if "<" in body or "{" in body else body).split("\n"):
        line = raw.strip()
        found = _COLON.match(line)
        if found and (name := _label(found[1])):
            if lines or label:
                yield Utterance(label, "\n".join(lines), start_s)
            label, lines = name, [said] if (said := line[found.end() :]) else []
        elif line:
            lines.append(line)
    if lines or label:
        yield Utterance(label, "\n".join(lines), start_s)


@lru_cache(maxsize=4096)
def _label(before_colon: str) -> str:
    """The name that stands before a colon; "" where it is none. Remembered, for the same few names recur."""
    head = inline_head(before_colon + ": x")
    return head.label if head and head.text == "x" and not is_words(head.label) else ""


def _plain(body: str) -> str:
    return "\n".join(line for raw in _TAG.sub("", body).split("\n") if (line := raw.strip()))


def read_ass(text: str) -> Iterator[Utterance]:
    """The Dialogue lines of an ASS or SSA file, in the order of its [Events] Format."""
    fields = ["Layer", "Start", "End", "Style", "Name", "MarginL", "MarginR", "MarginV", "Effect", "Text"]
    in_events = False
    for line in text.split("\n"):
        if line.startswith("["):
            in_events = line.startswith("[Events]")
        elif line.startswith("Format:") and in_events:
            fields = [field.strip() for field in line[7:].split(",")]
        elif line.startswith("Dialogue:"):
            values = line[9:].split(",", len(fields) - 1)
            if len(values) < len(fields):
                continue
            cue = dict(zip(fields, values, strict=True))
            start_s = seconds(cue.get("Start", "0:00").strip())
            words = _plain(cue.get("Text", "").replace("\\N", "\n").replace("\\n", "\n").replace("\\h", " "))
            name = (cue.get("Name") or cue.get("Actor") or "").strip()
            if name:
                yield Utterance(name, words, start_s)
            else:
                yield from _spoken(words, start_s)
