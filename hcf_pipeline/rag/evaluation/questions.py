"""Questions to judge retrieval by: the guests' own, from held-out broadcasts, and files of questions with their dates.

A guest's question is asked of an index that doesn't hold it: its words are taken out of the chunks, so that the answer
has to be found by what the host says and by what stands around.
"""

from __future__ import annotations

import datetime
import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hcf_pipeline.corpus.pairs import pair_turns
from hcf_pipeline.corpus.parts import Entry, Made, Table, Wanted, write_table
from hcf_pipeline.corpus.tables import turns_of
from hcf_pipeline.errors import SettingsError, UserError
from hcf_pipeline.files import hash_of
from hcf_pipeline.jsonl import read_objects
from hcf_pipeline.rag.chunking.chunks import CHUNK_SCHEMA, Chunk
from hcf_pipeline.rag.encode.embed import write_embeddings
from hcf_pipeline.rag.encode.encoder import Encoder
from hcf_pipeline.rag.encode.vector_cache import VectorCache
from hcf_pipeline.rag.index.sidecar import Sidecar
from hcf_pipeline.rag.index.terms import normalise
from hcf_pipeline.rag.index.writer import write_index

N_QUESTIONS = 300  # by which a weight is told from another; 150 leave twice the doubt
MIN_CHARS = 12  # that are compared: 你好 asks nothing
MAX_CHARS = 200
MIN_ANSWER_CHARS = 20
ASKS = re.compile(r"[？?吗呢]|什么|怎么|为什么|多少|哪|几[个块年天岁]|如何|是不是|能不能|可以不")


@dataclass(frozen=True)
class Question:
    """One question and what would be right: a transcript, or every transcript of a date; neither where none is."""

    text: str
    transcript: str | None = None
    date: datetime.date | None = None
    turn: int | None = None  # the guest's, where it was asked in the corpus
    asked: datetime.date | None = None  # the day from which 去年 is meant
    other_dates: frozenset[datetime.date] = frozenset()  # of broadcasts that are as right as that of `date`

    @property
    def is_answerable(self) -> bool:
        return self.transcript is not None or self.date is not None

    def is_right(self, transcript: str, date: datetime.date | None) -> bool:
        if self.transcript is not None:
            return transcript == self.transcript
        return date == self.date or date in self.other_dates


def guest_questions(turns: Path, transcripts: Collection[str], n: int = N_QUESTIONS) -> list[Question]:
    """At most n questions that guests asked in some transcripts and got an answer to.

    Each is drawn by its own hash, so that one broadcast more or less changes few of them.
    """
    table = Table(turns)
    dates = {entry.path: entry.date for entry in table.entries}
    found: dict[str, Question] = {}
    for path in sorted(transcripts):
        turns_here = turns_of(table, path)
        of_turn = {turn.no: turn.text for turn in turns_here}
        for pair in pair_turns(turns_here):
            text = pair.guest_text
            if of_turn[pair.first_turn] != text:  # said in several turns
                continue
            if not MIN_CHARS <= len(normalise(text)) <= MAX_CHARS or len(pair.host_text) < MIN_ANSWER_CHARS:
                continue
            if ASKS.search(text):
                found.setdefault(text, Question(text, path, turn=pair.first_turn, asked=dates[path]))
    return sorted(found.values(), key=lambda q: hashlib.sha256(q.text.encode("utf-8")).digest())[:n]


def read_questions(file: Path) -> list[Question]:
    """The questions of a JSON Lines file: `question`, and `date` (YYYY-MM-DD, null where the corpus has no answer; a list of them
    where any of some days is right).

    `asked` may say on which day a question was asked, from which 去年 is meant.

    Raises SettingsError with the line that is wrong.
    """
    found: list[Question] = []
    try:
        rows = list(read_objects(file))
    except UserError as error:
        raise SettingsError(zh=f"[retrieval] questions：{error.zh}", en=f"[retrieval] questions: {error.en}") from error
    for where, row in rows:
        try:
            given = row.get("date")
            date, *others = [_day(day) for day in (given if isinstance(given, list) and given else [given])]
            asked = _day(row.get("asked"))
            text = row["question"]
            if not isinstance(text, str) or not text.strip():
                raise ValueError(text)
        except (ValueError, KeyError, TypeError) as error:
            raise SettingsError(
                zh=f'{where} 应是一个 JSON 对象，含有 "question" 和 "date"（YYYY-MM-DD、它们的列表，或 null），也可以有 "asked"（YYYY-MM-DD）。',
                en=f'{where} has to be a JSON object with a "question" and a "date" (YYYY-MM-DD, a list of them, or null), '
                'and perhaps the day it was "asked" (YYYY-MM-DD).',
            ) from error
        found.append(Question(text, date=date, asked=asked, other_dates=frozenset(day for day in others if day)))
    return found


def _day(value: object) -> datetime.date | None:
    """Raises ValueError or TypeError for what is no day."""
    if not value:
        return None
    if not isinstance(value, str):
        raise TypeError(value)
    return datetime.date.fromisoformat(value)


def index_without(
    questions: Sequence[Question], chunks: Path, encoder: Encoder, cache: VectorCache, index: Path, out: Path
) -> Path:
    """The folder of an index like `index`, in which the turns don't stand in which the questions were asked.

    Made as an update of `index`, so it costs what the transcripts of the questions cost. `out` is an empty folder.
    """
    without = without_questions(chunks, questions, out / "chunks")
    for name in ("embeddings", "index"):
        (out / name).mkdir()
    write_embeddings(without, encoder, cache, out / "embeddings", scale=Sidecar.load(index).scale)
    write_index(without, out / "embeddings", out / "index", index)
    return out / "index"


def without_questions(chunks: Path, questions: Sequence[Question], out: Path) -> Path:
    """A chunk table like the one in the folder `chunks`, less the turns in which the questions were asked."""
    asked: dict[str, set[int]] = {}
    for question in questions:
        if question.transcript is not None and question.turn is not None:
            asked.setdefault(question.transcript, set()).add(question.turn)
    table = Table(chunks)

    def make(one: Wanted) -> Made:
        rows = [Chunk(*row) for row in zip(*_columns(table, one.path), strict=True)]
        kept = [chunk for row in rows if (chunk := _without(row, asked[one.path]))]
        return Made(tuple(zip(*kept, strict=True)), {})

    wanted = [Wanted(e.path, e.date, _key(e, asked)) for e in table.entries]
    return write_table(CHUNK_SCHEMA, wanted, make, out, chunks).folder


def _columns(table: Table, path: str) -> list[list[object]]:
    names = CHUNK_SCHEMA.names[2:]
    rows = table.rows(path, names)
    return [rows[name].to_pylist() for name in names]


def _key(entry: Entry, asked: Mapping[str, set[int]]) -> str:
    return hash_of([entry.key, sorted(asked[entry.path])]) if entry.path in asked else entry.key


def _without(chunk: Chunk, turns: Collection[int]) -> Chunk | None:
    """The chunk without some turns; None where nothing is left."""
    if not set(chunk.turn_nos) & set(turns):
        return chunk
    kept = [line for line in chunk.lines if line.turn not in turns]
    return chunk.with_lines(kept) if "".join(line.text for line in kept).strip() else None
