"""The index of one chunk table: immutable segments that are searched as if they were one.

    index.json             see sidecar.py
    segments/<name>/       see segments.py; shared with other versions of the index as hard links

Rows are numbered over all segments in turn. Those of dead transcripts have numbers too, but are never found.
"""

from __future__ import annotations

import datetime
from bisect import bisect_right
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hcf_pipeline.errors import ArtifactError
from hcf_pipeline.files import file_sha256
from hcf_pipeline.rag.arrays import Floats, Ids, Mask, Vectors
from hcf_pipeline.rag.chunking.chunks import Chunk
from hcf_pipeline.rag.index.bm25 import LexicalIndex
from hcf_pipeline.rag.index.segments import Segment
from hcf_pipeline.rag.index.sidecar import SEGMENTS, Sidecar, damaged

T = TypeVar("T")

NO_DATE = np.iinfo(np.int32).min
EPOCH = datetime.date(1970, 1, 1)


class Index:
    """An index folder that was found whole; everything is read by memory map, nothing is written."""

    def __init__(
        self, folder: Path, encoder_identity: str | None = None, dim: int | None = None, *, verified: bool = False
    ) -> None:
        """Raises ArtifactError when the folder is damaged, or was made with another encoder than the one given, if one is.

        Every byte is read for that, unless the caller has `verified` the folder.
        """
        sidecar = Sidecar.load(folder)
        self._folder, self._sidecar = folder, sidecar
        if encoder_identity is not None and dim is not None:
            self.require_encoder(encoder_identity, dim)
        if not sidecar.segments:
            raise damaged(folder)
        if not verified:
            _verify(folder, sidecar)
        try:
            self._segments = [
                Segment(folder / SEGMENTS / one.name, len(one.transcripts), one.n_rows) for one in sidecar.segments
            ]
        except (OSError, ValueError, RuntimeError, pa.ArrowInvalid) as error:
            raise damaged(folder) from error
        self.scale = sidecar.scale
        """What cosines are worth, see cosines.py."""
        entries = [transcript for one in sidecar.segments for transcript in one.transcripts]
        sizes = np.array([transcript.n_rows for transcript in entries], dtype=np.int64)
        self._firsts: Ids = np.cumsum(sizes) - sizes
        """The first row of each transcript."""
        self._starts: Ids = np.cumsum([0, *(one.n_rows for one in sidecar.segments)])
        self._starts_list: list[int] = self._starts.tolist()
        self._first_transcripts: Ids = np.cumsum([0, *(len(one.transcripts) for one in sidecar.segments)])
        self.transcripts: Ids = np.repeat(np.arange(len(entries)), sizes)
        """The transcript of each row, as a number."""
        days = [(transcript.date - EPOCH).days if transcript.date else NO_DATE for transcript in entries]
        self.days: npt.NDArray[np.int32] = np.repeat(np.array(days, dtype=np.int32), sizes)
        """The date of each row in days since 1970, or NO_DATE."""
        self.joined: Mask = np.concatenate([segment.joined for segment in self._segments])[:-1]
        """Whether row i + 1 goes on where row i ends; shape (n_rows - 1,)."""
        self.ids: Ids = np.concatenate([segment.ids for segment in self._segments])
        """A number made from the chunk id of each row."""
        self.n_rows = len(self.ids)
        is_live = np.array([transcript.live for transcript in entries], dtype=np.bool_)
        live = np.repeat(is_live, sizes)
        self.live: Mask | None = None if live.all() else live
        """Which rows may be found; None: all."""
        self.n_chunks = int(live.sum())
        self.lexical = LexicalIndex([one.lexical for one in self._segments], _by_segment(live, self._starts))
        """The words of each row."""
        of_transcripts = _by_segment(is_live, self._first_transcripts)
        self.broadcasts = LexicalIndex([one.broadcasts for one in self._segments], of_transcripts)
        """The words of each transcript as a whole."""
        self._entries = entries

    @property
    def live_rows(self) -> Ids:
        """The rows that may be found, in ascending order."""
        return np.arange(self.n_rows) if self.live is None else np.flatnonzero(self.live)

    def require_encoder(self, identity: str, dim: int) -> None:
        """Raises ArtifactError where it was made with another encoder, whose vectors mean something else."""
        made_with = self._sidecar.encoder, self._sidecar.dim
        if made_with != (identity, dim):
            raise _other_encoder(self._folder, made_with, (identity, dim))

    def nearest(self, vector: Vectors, k: int, among: Mask | None) -> Ids:
        """The rows of the k largest inner products, best first; only rows where `among` is true, if given."""
        products: list[Vectors] = []
        rows: list[Ids] = []
        for segment, start in zip(self._segments, self._starts.tolist(), strict=False):
            mask = among if among is None else among[start : start + segment.n_rows]
            if mask is not None and mask.all():
                mask = None
            found, at = segment.nearest(vector, k, mask)
            products.append(found)
            rows.append(at + start)
        best = np.argsort(-np.concatenate(products), kind="stable")[:k]
        nearest: Ids = np.concatenate(rows)[best]
        return nearest

    def vectors(self, rows: Ids) -> Vectors:
        """The unit vectors of some rows, which have to be in ascending order; shape (len(rows), dim)."""
        ends = np.searchsorted(rows, self._starts)
        parts = [
            segment.vectors(rows[first:last] - start)
            for segment, start, first, last in zip(self._segments, self._starts, ends[:-1], ends[1:], strict=False)
            if first < last
        ]
        return np.concatenate(parts)

    def with_neighbours(self, scores: Floats, share: float) -> Floats:
        """Scores of all rows, each with a share of those of the rows that it goes on from and that go on from it."""
        around = scores.copy()
        around[1:] += share * scores[:-1] * self.joined
        around[:-1] += share * scores[1:] * self.joined
        return around

    def place(self, row: int) -> tuple[str, datetime.date | None]:
        """(transcript, date) of one row."""
        entry = self._entries[int(self.transcripts[row])]
        return entry.path, entry.date

    def text(self, row: int) -> str:
        """The text of one row."""
        return self._of_segment(row, Segment.text)

    def row(self, row: int) -> tuple[str, datetime.date | None, Chunk]:
        """(transcript, date, chunk) of one row."""
        return self._of_segment(row, Segment.row)

    def beside(self, row: int) -> tuple[Chunk | None, Chunk | None]:
        """The chunks before and after a row, in its transcript."""
        found: list[Chunk | None] = []
        for other in (row - 1, row + 1):
            here = 0 <= other < self.n_rows and self.transcripts[other] == self.transcripts[row]
            found.append(self.row(other)[2] if here else None)
        return found[0], found[1]

    def _of_segment(self, row: int, read: Callable[[Segment, int, int], T]) -> T:
        number = bisect_right(self._starts_list, row) - 1
        transcript = int(self.transcripts[row])
        return read(
            self._segments[number],
            transcript - int(self._first_transcripts[number]),
            row - int(self._firsts[transcript]),
        )


def _by_segment(live: Mask, starts: Ids) -> list[Mask | None]:
    """What is live of each segment, None where all is; `starts` has one more number than there are segments."""
    return [part if not part.all() else None for part in np.split(live, starts[1:-1])]


def _verify(folder: Path, sidecar: Sidecar) -> None:
    for segment in sidecar.segments:
        for name, digest in segment.files.items():
            file = folder / SEGMENTS / segment.name / name
            if not file.is_file() or file_sha256(file) != digest:
                raise damaged(file)


def _other_encoder(folder: Path, made_with: tuple[str, int], given: tuple[str, int]) -> ArtifactError:
    made, now = ("{}, {}".format(*encoder) for encoder in (made_with, given))
    return ArtifactError(
        zh=f"索引 {folder} 是用另一个检索模型做的（{made} 维，现在的是 {now} 维）；请运行 hcf refresh 重建索引。",
        en=f"The index {folder} was made with another encoder ({made} dimensions; this one is {now}); "
        "run hcf refresh to build it again.",
    )
