"""The chunk table: runs of consecutive turns, in parts (see corpus/parts.py), one broadcast at a time.

A chunk's text is its turns as "label：text", one after the other; where a long turn is cut, each piece has the label.
`turn_nos` holds the turn number of each line of the text, for a turn may have several. The chunk id names the place by
content (transcript, text, and the how-manieth of that text there), so an edit elsewhere in the file leaves it as it is.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from hcf_pipeline.corpus.parts import Made, Table, Wanted, write_table
from hcf_pipeline.corpus.tables import turns_of
from hcf_pipeline.corpus.transcript import Turn
from hcf_pipeline.errors import DataError
from hcf_pipeline.rag.pack import pack_turns
from hcf_pipeline.settings import ChunkSettings

CHUNKS = "chunks"
COLON = "："

CHUNK_SCHEMA = pa.schema(
    [
        pa.field("transcript", pa.string(), nullable=False),
        pa.field("date", pa.date32()),
        pa.field("chunk_id", pa.string(), nullable=False),
        pa.field("content_hash", pa.string(), nullable=False),
        pa.field("first_turn", pa.int32(), nullable=False),
        pa.field("last_turn", pa.int32(), nullable=False),
        pa.field("speakers", pa.string(), nullable=False),  # labels in order of appearance, separated by a space
        pa.field("text", pa.string(), nullable=False),
        pa.field("turn_nos", pa.list_(pa.int32()), nullable=False),
        pa.field("n_chars", pa.int32(), nullable=False),  # of the turns' text, labels apart
    ]
)


class Chunk(NamedTuple):
    chunk_id: str
    content_hash: str
    first_turn: int
    last_turn: int
    speakers: str
    text: str
    turn_nos: list[int]
    n_chars: int


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
    """One transcript's chunks, in order; turns without text are passed over."""
    turns = [turn for turn in turns if turn.text]
    lines = [f"{turn.label}{COLON}{turn.text}" for turn in turns]
    line_nos = [[turn.no] * (turn.text.count("\n") + 1) for turn in turns]
    seen: Counter[str] = Counter()
    chunks: list[Chunk] = []
    for first, begin, last, end in pack_turns(turns, settings.max_chars, settings.overlap_turns):
        inside = turns[first : last + 1]
        if begin or end < len(turns[last].text):
            pieces = [(turn, turn.text) for turn in inside]
            if end < len(turns[last].text):
                pieces[-1] = (turns[last], turns[last].text[:end])
            pieces[0] = (turns[first], pieces[0][1][begin:])
            text = "\n".join([f"{turn.label}{COLON}{piece}" for turn, piece in pieces])
            nos = [turn.no for turn, piece in pieces for _ in range(piece.count("\n") + 1)]
            n_chars = sum(len(piece) for _, piece in pieces)
        else:
            text = "\n".join(lines[first : last + 1])
            nos = [no for of_turn in line_nos[first : last + 1] for no in of_turn]
            n_chars = sum(len(turn.text) for turn in inside)
        own = content_hash(text)
        seen[own] += 1
        chunk_id = content_hash(f"{path}\n{own}\n{seen[own]}")[:16]
        if settings.sample_share < 1 and not _kept(chunk_id, settings):
            continue
        speakers = " ".join(dict.fromkeys([turn.label for turn in inside]))
        chunks.append(Chunk(chunk_id, own, inside[0].no, inside[-1].no, speakers, text, nos, n_chars))
    return chunks


def _kept(chunk_id: str, settings: ChunkSettings) -> bool:
    return int(content_hash(f"{settings.seed}\n{chunk_id}")[:16], 16) < settings.sample_share * 2**64


def content_hash(text: str) -> str:
    """32 hex digits of the sha256."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:32]
