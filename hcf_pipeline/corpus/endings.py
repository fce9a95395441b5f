"""Which endings transcripts have, and which files of a folder no pattern of [corpus] include admits."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from hcf_pipeline.corpus.walk import any_of
from hcf_pipeline.files import files_below

ENDINGS = ("md", "markdown", "txt", "srt", "vtt", "ass", "ssa", "json", "jsonl")


def other_endings(folder: Path, include: Sequence[str]) -> tuple[tuple[str, int], ...]:
    """How many files of each ending no pattern admits, hidden ones apart."""
    endings = Counter(file.suffix.lower() or file.name for file, admitted in _files(folder, include) if not admitted)
    return tuple(endings.most_common())


def include_for(folder: Path, include: Sequence[str]) -> str:
    """What `[corpus] include` has to be so that what may be transcripts is read too, as TOML; "" where nothing more may be."""
    more: Counter[str] = Counter()
    own: Sequence[str] = ()
    for file, admitted in _files(folder, include):
        if admitted:
            own = include
        elif file.suffix[1:].lower() in ENDINGS:
            more[f"*{file.suffix}"] += 1
    return json.dumps([*own, *(pattern for pattern, _ in more.most_common())], ensure_ascii=False) if more else ""


def _files(folder: Path, include: Sequence[str]) -> Iterator[tuple[Path, bool]]:
    """Every file that is not hidden, and whether a pattern admits it by its name or its path."""
    included, hidden, begins = any_of(include), f"{os.sep}.", len(str(folder))
    for file in files_below(folder):
        inside = str(file)[begins:]
        if hidden not in inside:
            path = inside.lstrip(os.sep).replace(os.sep, "/")
            yield file, bool(included.match(file.name) or included.match(path))
