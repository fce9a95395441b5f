"""A user's own regular expression, one match for each line that opens a turn, with the groups label, text and time."""

from __future__ import annotations

import re

from hcf_pipeline.corpus.forms.heads import Head, Reader, Shape


def own_head(pattern: str) -> Reader:
    compiled = re.compile(pattern)
    groups = compiled.groupindex

    def read(line: str) -> Head | None:
        found = compiled.match(line)
        if found is None or not (label := (found["label"] or "").strip()):
            return None
        text = found["text"] if "text" in groups else line[found.end() :]
        stamp = found["time"] if "time" in groups else ""
        return Head(label, stamp or "", (text or "").strip(), Shape.TIMED)

    return read
