"""The JSON of speech recognisers: a list of segments with a speaker, a beginning and words.

WhisperX and Whisper with diarization write `{"segments": [{"start": 0.5, "text": "…", "speaker": "SPEAKER_00"}]}`,
FunASR `{"sentence_info": [{"start": 500, "text": "…", "spk": 0}]}` with milliseconds; others are like one of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from hcf_pipeline.corpus.forms.times import IS_STAMP, bare_stamp, seconds
from hcf_pipeline.corpus.forms.utterance import Utterance
from hcf_pipeline.files import parsed_json

SPEAKER_FIELDS = ("speaker", "spk", "speaker_id", "speaker_label", "speaker_name", "name", "role", "label")
TEXT_FIELDS = ("text", "transcript", "sentence", "content", "words_text", "utterance")
START_FIELDS = (
    "start",
    "start_time",
    "begin",
    "begin_time",
    "start_s",
    "start_ms",
    "offset",
    "bg",
    "time",
    "timestamp",
)
LISTS = (
    "segments",
    "sentence_info",
    "sentences",
    "utterances",
    "results",
    "monologues",
    "transcript",
    "data",
    "result",
)
SINGLE_WORDS = frozenset({"words", "word_segments", "tokens", "chars", "timestamp"})
NESTED = frozenset({list, dict})
MAX_DEPTH = 4
MANY_SECONDS = 86_400  # of a recording: where a start is more, and none has a fraction, they are milliseconds
MILLISECONDS = frozenset({"bg", "start_ms", "begin_time"})


def is_json(text: str) -> bool:
    head = text[:200].lstrip()
    return head.startswith("{") or (head.startswith("[") and head[1:].lstrip()[:1] in ("{", ""))


def read_segments(text: str, fields: Sequence[str] = ()) -> list[Utterance] | None:
    """The segments of a recogniser; None where the text is other JSON, or none.

    `fields` names the speaker, the beginning and the words, where they have names of their own.
    """
    try:
        document = parsed_json(text)
    except ValueError:
        document = _lines(text)
    speaker, start, words = fields or ("", "", "")
    segments = _segments(document, words or None, 0)
    if segments is None:
        return None
    names = list(dict.fromkeys(key for segment in segments[:50] for key in segment))
    speaker = speaker or next((name for name in SPEAKER_FIELDS if name in names), "")
    start = start or next((name for name in START_FIELDS if name in names), "")
    words = words or next(name for name in TEXT_FIELDS if name in names)
    unit = _unit(segments, start)
    return list(_utterances(segments, speaker, start, words, unit))


def _lines(text: str) -> object:
    """JSON Lines: a segment on each."""
    try:
        return [parsed_json(line) for line in text.split("\n") if line.strip()]
    except ValueError:
        return None


def _segments(document: object, words: str | None, depth: int) -> list[dict[str, object]] | None:
    """The list of segments in a document, wherever it lies."""
    if isinstance(document, list):
        found = [one for one in document if isinstance(one, dict) and _has_words(one, words)]
        if found and len(found) * 2 > len(document):
            inner = [segments for one in found if (segments := _in_lists(one, words, depth))]
            return [segment for segments in inner for segment in segments] if inner else found
        inner = (
            [segments for one in document[:1000] if (segments := _segments(one, words, depth + 1))]
            if depth < MAX_DEPTH
            else []
        )
        return [segment for segments in inner for segment in segments] or None
    if isinstance(document, dict):
        return _in_lists(document, words, depth)
    return None


def _in_lists(document: dict[str, object], words: str | None, depth: int) -> list[dict[str, object]] | None:
    if depth >= MAX_DEPTH or NESTED.isdisjoint(map(type, document.values())):
        return None
    ordered = [*(name for name in LISTS if name in document), *(name for name in document if name not in LISTS)]
    for name in ordered:
        value = document[name]
        if (
            isinstance(value, (list, dict))
            and name not in SINGLE_WORDS
            and (found := _segments(value, words, depth + 1))
        ):
            return found
    return None


def _has_words(segment: dict[str, object], words: str | None) -> bool:
    return str in map(type, map(segment.get, (words,) if words else TEXT_FIELDS))


def _unit(segments: Sequence[dict[str, object]], start: str) -> float:
    """Seconds of one unit of the starts."""
    if start in MILLISECONDS:
        return 0.001
    starts = [value for segment in segments if isinstance(value := segment.get(start), (int, float))]
    whole = all(isinstance(value, int) for value in starts)
    if not whole or not starts:
        return 1.0
    gaps = sorted(after - before for before, after in pairwise(starts))
    return 0.001 if max(starts) > MANY_SECONDS or (gaps and gaps[len(gaps) // 2] >= 500) else 1.0


def _utterances(
    segments: Sequence[dict[str, object]], speaker: str, start: str, words: str, unit: float
) -> Iterator[Utterance]:
    for segment in segments:
        said, who, began = segment.get(words), segment.get(speaker), segment.get(start)
        if not isinstance(said, str):
            continue
        label = "" if who is None or isinstance(who, (dict, list, bool)) else str(who).strip()
        start_s: float | None = None
        if isinstance(began, (int, float)) and not isinstance(began, bool):
            start_s = round(began * unit, 3)
        elif isinstance(began, str):
            if IS_STAMP.fullmatch(began.strip()):
                start_s = seconds(bare_stamp(began))
            else:
                try:
                    start_s = float(began.rstrip("s")) * unit
                except ValueError:
                    start_s = None
        if "\n" in said:
            said = "\n".join([line for raw in said.split("\n") if (line := raw.strip())])
        yield Utterance(label, said.strip(), start_s)
