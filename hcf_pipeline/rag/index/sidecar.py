"""index.json: what an index was made with, its segments and their checksums, and which transcripts are live."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from hcf_pipeline.corpus.parts import Entry
from hcf_pipeline.errors import ArtifactError
from hcf_pipeline.files import hash_of

SIDECAR = "index.json"
SEGMENTS = "segments"
FORMAT = 6
"""Of all files of an index, and of what they hold of given chunks and vectors: bump it when the terms (terms.py), the
postings or the rows change. It is the revision of `faiss_index`, too: segments of another format are never taken over."""


class TranscriptEntry(NamedTuple):
    """One transcript of a segment, in the order of its rows."""

    path: str
    date: datetime.date | None
    digest: str  # of its chunk rows
    n_rows: int
    live: bool  # a dead one is in the files, but nothing of it is found or counted

    @staticmethod
    def of(entry: Entry) -> TranscriptEntry:
        return TranscriptEntry(entry.path, entry.date, entry.digest, entry.n_rows, True)


@dataclass(frozen=True)
class SegmentEntry:
    """One segment of an index."""

    name: str  # of its folder in SEGMENTS
    files: Mapping[str, str]  # sha256 by path under that folder
    transcripts: tuple[TranscriptEntry, ...]

    @property
    def n_rows(self) -> int:
        return sum(entry.n_rows for entry in self.transcripts)

    @property
    def n_live(self) -> int:
        return sum(entry.n_rows for entry in self.transcripts if entry.live)

    @property
    def n_dead(self) -> int:
        return self.n_rows - self.n_live

    def with_live(self, live: Sequence[bool]) -> SegmentEntry:
        entries = tuple(entry._replace(live=is_live) for entry, is_live in zip(self.transcripts, live, strict=True))
        return replace(self, transcripts=entries)


@dataclass(frozen=True)
class Sidecar:
    encoder: str
    dim: int
    segments: tuple[SegmentEntry, ...]

    @property
    def live(self) -> list[TranscriptEntry]:
        return [entry for segment in self.segments for entry in segment.transcripts if entry.live]

    @property
    def content(self) -> str:
        """20 hex digits over what the index answers with, whatever its segments are."""
        rows = sorted((entry.path, str(entry.date), entry.digest) for entry in self.live)
        return hash_of([FORMAT, self.encoder, self.dim, rows])

    def save(self, folder: Path) -> None:
        live = self.live
        written = {
            "format": FORMAT,
            "encoder": self.encoder,
            "dim": self.dim,
            "n_chunks": sum(entry.n_rows for entry in live),
            "n_transcripts": len(live),
            "segments": [
                {
                    "name": segment.name,
                    "files": dict(segment.files),
                    "transcripts": [
                        (entry.path, entry.date and entry.date.isoformat(), *entry[2:]) for entry in segment.transcripts
                    ],
                }
                for segment in self.segments
            ],
        }
        (folder / SIDECAR).write_text(json.dumps(written, ensure_ascii=False), encoding="utf-8")

    @staticmethod
    def load(folder: Path) -> Sidecar:
        """Raises ArtifactError where it is missing, damaged, or of another format."""
        try:
            raw = json.loads((folder / SIDECAR).read_text(encoding="utf-8"))
            if (found := int(raw["format"])) != FORMAT:
                raise _other_format(folder / SIDECAR, found)
            segments = tuple(
                SegmentEntry(str(s["name"]), dict(s["files"]), tuple(_entry_of(*row) for row in s["transcripts"]))
                for s in raw["segments"]
            )
            return Sidecar(str(raw["encoder"]), int(raw["dim"]), segments)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise damaged(folder / SIDECAR) from error


def _entry_of(path: str, date: str | None, digest: str, n_rows: int, live: bool) -> TranscriptEntry:
    return TranscriptEntry(path, datetime.date.fromisoformat(date) if date else None, digest, n_rows, live)


def _other_format(path: Path, found: int) -> ArtifactError:
    return ArtifactError(
        zh=f"索引 {path} 是另一个版本的程序写的（格式 {found}，这个版本读 {FORMAT}）；请运行 hcf refresh，生成并发布能读的。",
        en=f"The index {path} was written by another version of this program (format {found}, this one reads {FORMAT}); "
        "run hcf refresh to build and release one that it can read.",
    )


def damaged(path: Path) -> ArtifactError:
    return ArtifactError(
        zh=f"索引不完整或已损坏（{path}）；请运行 hcf refresh 重建索引。",
        en=f"The index is incomplete or damaged ({path}); run hcf refresh to build it again.",
    )
