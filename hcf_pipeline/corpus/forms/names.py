"""What the forms are called, in `[corpus] form` and wherever one is told."""

from __future__ import annotations

from typing import Final

AUTO: Final = "auto"  # each file is looked at
LABEL: Final = "label"
BRACKET: Final = "bracket"
TAB: Final = "tab"
NAME_TIME: Final = "name_time"
HEADING: Final = "heading"
NAME: Final = "name"
CUES: Final = "subtitles"
ASS: Final = "ass"
JSON: Final = "json"

LINE_FORMS: Final = (LABEL, BRACKET, TAB, NAME_TIME, HEADING, NAME)
WITH_FIELDS: Final = (CUES, ASS, JSON)  # that name the speaker in a field of its own
FORMS: Final = (AUTO, *LINE_FORMS, *WITH_FIELDS)
