"""An index is made of segments, and an update in proportion to the change.

What is in the segments of the previous index stays there: those files are linked, not copied. Transcripts that are gone
are marked dead, and new ones make one new segment. Two rules keep the answers quick and the waste small:

- Where `FAN` segments beside the largest are of about one size (within a factor of four), they become one, so there are
  about three for each power of four. A question costs some 0.3 ms more for each (7 segments of 46,000 chunks: 7.3 ms
  for 5.5), a chunk is written again as often as its segment grows fourfold.
- All is built anew once the other segments outgrow `SMALL_SHARE` of the largest one, or its own dead rows `DEAD_SHARE`
  of its live ones: after a fifth of the corpus has changed, at the earliest. So in the long run a changed chunk is
  written some eight times, all told, and a search reads at most a fifth too much.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hcf_pipeline.corpus.parts import Entry, Table
from hcf_pipeline.errors import ArtifactError
from hcf_pipeline.files import file_sha256, files_below, hash_of, link_or_copy
from hcf_pipeline.rag.encode.embed import Embeddings
from hcf_pipeline.rag.index.dense import FLAT_ROWS
from hcf_pipeline.rag.index.segments import write_segment
from hcf_pipeline.rag.index.sidecar import SEGMENTS, SegmentEntry, Sidecar, TranscriptEntry

FAN = 4
SMALL_SHARE = 0.25
DEAD_SHARE = 0.25


@dataclass(frozen=True)
class IndexReport:
    content: str  # a hash over encoder and rows, whatever the segments are
    n_chunks: int
    n_transcripts: int
    n_undated: int  # chunks
    dim: int
    n_bytes: int
    n_segments: int
    n_written: int  # chunks of the segment that is new; the others were there already


def write_index(
    chunks: Path,
    embeddings: Path,
    out: Path,
    previous: Path | None = None,
    flat_rows: int = FLAT_ROWS,
) -> IndexReport:
    """Writes the index of a chunk table into the folder `out`; it answers as one built without `previous` does.

    (But for what a segment of more than `flat_rows` rows does not find, see dense.py.)
    Its encoder is the one that made the vectors in the folder `embeddings`. `previous` is the folder of an intact
    earlier index, whose files are shared where it was made with the same encoder.
    Raises ArtifactError when a chunk's text has no vector in `embeddings`.
    """
    table = Table(chunks)
    vectors = Embeddings.load(embeddings)
    before = _previous(previous, vectors) if previous else ()
    segments, n_new = _match(before, [entry for entry in table.entries if entry.n_rows])
    kept = _kept(segments, n_new)
    stays = {entry.path for segment in kept for entry in segment.transcripts if entry.live}
    entries = [entry for entry in table.entries if entry.n_rows and entry.path not in stays]
    for segment in kept:
        _share(segment, previous, out)
    written = [_write(table, entries, vectors, out, flat_rows)] if entries else []
    sidecar = Sidecar(vectors.encoder, vectors.dim, vectors.scale, (*kept, *written))
    sidecar.save(out)
    live = sidecar.live
    return IndexReport(
        content=sidecar.content,
        n_chunks=sum(entry.n_rows for entry in live),
        n_transcripts=len(live),
        n_undated=sum(entry.n_rows for entry in live if entry.date is None),
        dim=vectors.dim,
        n_bytes=sum(path.stat().st_size for path in files_below(out)),
        n_segments=len(sidecar.segments),
        n_written=sum(segment.n_rows for segment in written),
    )


def _previous(folder: Path, vectors: Embeddings) -> tuple[SegmentEntry, ...]:
    try:
        sidecar = Sidecar.load(folder)
    except ArtifactError:  # another format
        return ()
    return sidecar.segments if (sidecar.encoder, sidecar.dim) == (vectors.encoder, vectors.dim) else ()


def _match(segments: Sequence[SegmentEntry], entries: Sequence[Entry]) -> tuple[list[SegmentEntry], int]:
    """(the segments with what is live now, the chunks of the transcripts that are in none of them).

    A transcript that comes back as it was, lives again.
    """
    wanted = {(entry.path, entry.date, entry.digest): entry.n_rows for entry in entries}
    marked = [
        segment.with_live([wanted.pop((h.path, h.date, h.digest), None) is not None for h in segment.transcripts])
        for segment in segments
    ]
    return marked, sum(wanted.values())


def _kept(segments: Sequence[SegmentEntry], n_new: int) -> list[SegmentEntry]:
    """The segments that stay as they are; what is live in the others goes into the new one, with `n_new` new rows."""
    largest = max(segments, key=lambda segment: segment.n_live, default=None)
    if largest is None or largest.n_dead > DEAD_SHARE * largest.n_live:
        return []
    others = [segment for segment in segments if segment is not largest and segment.n_live]
    if n_new + sum(segment.n_live for segment in others) > SMALL_SHARE * largest.n_live:
        return []
    kept = [segment for segment in others if segment.n_dead <= segment.n_live]
    n_rows = n_new + sum(segment.n_live for segment in others if segment not in kept)
    while n_rows:
        alike = [segment for segment in kept if _tier(segment.n_live) <= _tier(n_rows)]
        if len(alike) < FAN - 1:
            break
        n_rows += sum(segment.n_live for segment in alike)
        kept = [segment for segment in kept if segment not in alike]
    return [segment for segment in segments if segment is largest or segment in kept]


def _tier(n_rows: int) -> int:
    return (n_rows.bit_length() - 1) // 2


def _share(segment: SegmentEntry, previous: Path | None, out: Path) -> None:
    assert previous is not None
    for name in segment.files:
        target = out / SEGMENTS / segment.name / name
        target.parent.mkdir(parents=True, exist_ok=True)
        link_or_copy(previous / SEGMENTS / segment.name / name, target)


def _write(table: Table, entries: Sequence[Entry], vectors: Embeddings, out: Path, flat_rows: int) -> SegmentEntry:
    name = hash_of([vectors.encoder, [(e.path, str(e.date), e.digest) for e in entries]])
    folder = out / SEGMENTS / name
    write_segment(table, {entry.path for entry in entries}, vectors, folder, flat_rows)
    files = {p.relative_to(folder).as_posix(): file_sha256(p) for p in sorted(files_below(folder))}
    return SegmentEntry(name, files, tuple(TranscriptEntry.of(entry) for entry in entries))
