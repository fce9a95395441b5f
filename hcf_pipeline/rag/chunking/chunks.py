"""The chunk table: runs of consecutive turns, in parts (see corpus/parts.py), one broadcast at a time.

A chunk's text is the words of its turns, one turn after the other. Who says them stands beside the text, never in it:
for each turn its number, its speaker, where its words end and when it begins; a turn's words may hold line breaks, and
any colon is a word's. Where a long turn is cut, each piece has number, speaker and time of the whole turn. The chunk id
names the place by content (transcript, text, and which occurrence of that text there), so an edit elsewhere in the file
leaves it as it is.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from hcf_pipeline.corpus.parts import Made, Table, Wanted, write_table
from hcf_pipeline.corpus.sentences import chars_of
from hcf_pipeline.corpus.tables import turns_of
from hcf_pipeline.corpus.transcript import Turn
from hcf_pipeline.errors import DataError
from hcf_pipeline.rag.chunking.lines import Line, words_of
from hcf_pipeline.rag.chunking.pack import Span, pack_turns
from hcf_pipeline.settings import ChunkSettings

CHUNKS = "chunks"
REVISION = 4
"""Of what a chunk's row holds of given turns. Bump it with any change to that: rows are copied from table to table."""

CHUNK_SCHEMA = pa.schema(
    [
        pa.field("transcript", pa.string(), nullable=False),
        pa.field("date", pa.date32()),
        pa.field("chunk_id", pa.string(), nullable=False),
        pa.field("content_hash", pa.string(), nullable=False),
        pa.field("first_turn", pa.int32(), nullable=False),
        pa.field("last_turn", pa.int32(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("turn_nos", pa.list_(pa.int32()), nullable=False),
        pa.field("ends", pa.list_(pa.int32()), nullable=False),  # in characters, after each turn's last one
        pa.field("speakers", pa.list_(pa.string()), nullable=False),  # the labels, in order of appearance
        pa.field("said_by", pa.list_(pa.int16()), nullable=False),  # each turn's position among the speakers
        pa.field("n_chars", pa.int32(), nullable=False),  # of the turns' words
        pa.field("starts_s", pa.list_(pa.float64())),  # when each turn begins; null where no turn has a time
    ]
)


class Chunk(NamedTuple):
    chunk_id: str
    content_hash: str
    first_turn: int
    last_turn: int
    text: str
    turn_nos: list[int]
    ends: list[int]
    speakers: list[str]
    said_by: list[int]
    n_chars: int
    starts_s: list[float | None] | None = None  # last, as tables and indexes from before have no such column

    @property
    def lines(self) -> tuple[Line, ...]:
        """What each turn says, and who."""
        starts = [0, *[end + 1 for end in self.ends]]
        times = self.starts_s or [None] * len(self.ends)
        spans = zip(self.turn_nos, self.said_by, starts, self.ends, times, strict=False)
        return tuple([Line(no, self.speakers[by], self.text[start:end], at) for no, by, start, end, at in spans])

    def with_lines(self, lines: Sequence[Line]) -> Chunk:
        """The same chunk (by id) with other lines, at least one."""
        return _chunk(self.chunk_id, lines, words_of(lines))


def write_chunk_table(
    turns: Path,
    settings: ChunkSettings,
    out: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
    previous: Path | None = None,
) -> tuple[str, int]:
    """Writes CHUNKS into the folder `out`; returns the rows' hash and their number.

    Only transcripts whose turns or path the table in the artifact folder `previous` doesn't know are read.
    `progress(done, total)` counts transcripts. Raises DataError when not one chunk is left.
    """
    source = Table(turns)

    def make(one: Wanted) -> Made:
        chunks = chunk_transcript(one.path, turns_of(source, one.path), settings)
        return Made(tuple(zip(*chunks, strict=True)), {})

    # chunk ids hold the path
    wanted = [Wanted(e.path, e.date, f"{e.digest} {e.path}") for e in source.entries if e.n_rows]
    table = write_table(CHUNK_SCHEMA, wanted, make, out / CHUNKS, previous and previous / CHUNKS, progress)
    if not table.n_rows:
        raise DataError(
            zh=f"{turns} 里没有可以切分的文字（[chunks] sample_share = {settings.sample_share}）；"
            "请检查文稿，或调大 sample_share。",
            en=f"{turns} holds no text to chunk ([chunks] sample_share = {settings.sample_share}); "
            "check the transcripts, or raise sample_share.",
        )
    return table.version, table.n_rows


def chunk_transcript(path: str, turns: Sequence[Turn], settings: ChunkSettings) -> list[Chunk]:
    """One transcript's chunks, in order; turns without text are passed over, and so is a piece that is white space."""
    turns = [turn for turn in turns if turn.text]
    seen: Counter[str] = Counter()
    chunks: list[Chunk] = []
    max_chars = settings.max_chars * chars_of(turn.text for turn in turns)
    for span in pack_turns(turns, max_chars, settings.overlap_turns):
        lines = _lines(turns, span)
        text = words_of(lines)
        if text.isspace():
            continue
        own = content_hash(text)
        seen[own] += 1
        chunk_id = content_hash(f"{path}\n{own}\n{seen[own]}")[:16]
        if settings.sample_share == 1 or _kept(chunk_id, settings):
            chunks.append(_chunk(chunk_id, lines, text))
    return chunks


def _lines(turns: Sequence[Turn], span: Span) -> list[Line]:
    """The turns of a span, the first and the last as far as it goes; only what is in the span is copied."""
    first, begin, last, end = span
    lines = [Line(turn.no, turn.label, turn.text, turn.start_s) for turn in turns[first : last + 1]]
    if first == last:
        return [lines[0]._replace(text=lines[0].text[begin:end])] if begin or end < len(lines[0].text) else lines
    if begin:
        lines[0] = lines[0]._replace(text=lines[0].text[begin:])
    if end < len(lines[-1].text):
        lines[-1] = lines[-1]._replace(text=lines[-1].text[:end])
    return lines


def _chunk(chunk_id: str, lines: Sequence[Line], text: str) -> Chunk:
    starts_s = [line.start_s for line in lines]
    speakers = {label: n for n, label in enumerate(dict.fromkeys([line.label for line in lines]))}
    return Chunk(
        chunk_id=chunk_id,
        content_hash=content_hash(text),
        first_turn=lines[0].turn,
        last_turn=lines[-1].turn,
        text=text,
        turn_nos=[line.turn for line in lines],
        ends=[end + n for n, end in enumerate(itertools.accumulate([len(line.text) for line in lines]))],
        speakers=list(speakers),
        said_by=[speakers[line.label] for line in lines],
        n_chars=len(text) - len(lines) + 1,
        starts_s=starts_s if any(at is not None for at in starts_s) else None,
    )


def _kept(chunk_id: str, settings: ChunkSettings) -> bool:
    return int(content_hash(f"{settings.seed}\n{chunk_id}")[:16], 16) < settings.sample_share * 2**64


def content_hash(text: str) -> str:
    """32 hex digits of the sha256."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:32]
