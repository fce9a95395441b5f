"""The pair table as training samples: a `datasets` folder in conversational form, by the split of the corpus.

    train, held_out: messages [{role, content}], transcript, date, first_turn, last_turn, n_chars
    fitted_on.npz    the pairs that the training side was made of

Texts are as they were said, control tokens that somebody wrote included: lm/chat_format.py keeps those from controlling.

One pass over the pairs, one broadcast at a time; rows go to Arrow files beside the result, so memory stays at one
batch of rows however long the corpus is. 170,000 pairs take some 10 s.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa

from hcf_pipeline.corpus.fitted import record_fitted_on
from hcf_pipeline.corpus.held_out import transcript_dates
from hcf_pipeline.corpus.tables import read_pairs
from hcf_pipeline.corpus.transcript import CUT_OFF, NOISE_REMOVED, UNKNOWN_LABEL
from hcf_pipeline.files import hash_of
from hcf_pipeline.lm.prompt import Message, build_messages
from hcf_pipeline.settings import SftSettings
from hcf_pipeline.sft.left_out import SHORT, USED, nothing_to_learn
from hcf_pipeline.sft.split import sampled_transcripts
from hcf_pipeline.sft.windows import CUT, windows

TRAIN = "train"
HELD_OUT = "held_out"
REPORT = "report.json"
FORMAT = 2  # of the folder: raise it when something comes to lie in it for the same rows
BATCH_ROWS = 2_000

_MESSAGE = pa.struct([pa.field("role", pa.string()), pa.field("content", pa.string())])
SAMPLE_SCHEMA = pa.schema(
    [
        pa.field("messages", pa.list_(_MESSAGE)),
        pa.field("transcript", pa.string()),
        pa.field("date", pa.date32()),
        pa.field("first_turn", pa.int32()),
        pa.field("last_turn", pa.int32()),
        pa.field("n_chars", pa.int32()),
    ]
)


@dataclass(frozen=True)
class SampleReport:
    """What a reader of the samples should know of their making; the pair counts cover the transcripts taken."""

    version: str
    n_train: int
    n_held_out: int
    n_transcripts_train: int
    n_transcripts_held_out: int
    n_transcripts_not_sampled: int
    held_out_from: str  # the first held-out day, "" when nothing is held out that has a date
    n_pairs_used: int
    n_pairs_cut: int  # of those used: longer than a sample may be
    n_left_out_cut_off: int
    n_left_out_noise: int
    n_left_out_short: int
    n_chars: int  # guest and host, both splits
    n_left_out_unknown_label: int = 0  # reports of before have none

    @staticmethod
    def load(samples: Path) -> SampleReport:
        return SampleReport(**json.loads((samples / REPORT).read_text(encoding="utf-8")))


def write_samples(
    pairs: Path,
    sft: SftSettings,
    held_out: Collection[str],
    system: str,
    out: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[str, SampleReport]:
    """Writes the splits `train` and `held_out` and REPORT into the folder `out`; returns the rows' hash, and the report.

    `held_out` are the transcripts that belong to the second, `system` is the ready system prompt. `sample_ratio` thins
    out the training side alone, so that what is held out stays comparable. `progress` gets transcripts done and all. Raises DataError when no pair can be trained on.
    """
    dates = transcript_dates(pairs)
    held_out = dates.keys() & frozenset(held_out)
    train = sampled_transcripts(dates.keys() - held_out, sft.sample_ratio, sft.seed)
    tally: Counter[str] = Counter()
    n_chars = 0
    scratch = out.with_name(f"{out.name}.arrow")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        with _Rows(scratch / TRAIN) as train_rows, _Rows(scratch / HELD_OUT) as held_out_rows:
            for n_done, (path, date, transcript) in enumerate(read_pairs(pairs), 1):
                if path not in train and path not in held_out:
                    continue
                rows = held_out_rows if path in held_out else train_rows
                for window in windows(transcript, sft, tally):
                    messages = build_messages(system, window.exchanges)
                    rows.add((messages, path, date, window.first_turn, window.last_turn, window.n_chars))
                    n_chars += window.n_chars
                progress(n_done, len(dates))
        if not train_rows.n_rows:
            raise nothing_to_learn(pairs, sft)
        version = hash_of([FORMAT, train_rows.digest(), held_out_rows.digest()])
        _save(scratch, out)
        record_fitted_on(pairs, out, train)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    report = SampleReport(
        version=version,
        n_train=train_rows.n_rows,
        n_held_out=held_out_rows.n_rows,
        n_transcripts_train=len(train),
        n_transcripts_held_out=len(held_out),
        n_transcripts_not_sampled=len(dates) - len(train) - len(held_out),
        held_out_from=min((str(day) for path in held_out if (day := dates[path])), default=""),
        n_pairs_used=tally[USED],
        n_pairs_cut=tally[CUT],
        n_left_out_cut_off=tally[CUT_OFF],
        n_left_out_noise=tally[NOISE_REMOVED],
        n_left_out_unknown_label=tally[UNKNOWN_LABEL],
        n_left_out_short=tally[SHORT],
        n_chars=n_chars,
    )
    (out / REPORT).write_text(json.dumps(asdict(report), ensure_ascii=False, sort_keys=True), encoding="utf-8")
    return version, report


_Row = tuple[list[Message], str, datetime.date | None, int, int, int]


class _Rows:
    """Appends samples to an Arrow stream file, and hashes them."""

    def __init__(self, path: Path) -> None:
        self._writer = pa.ipc.new_stream(path, SAMPLE_SCHEMA)
        self._pending: list[_Row] = []
        self._digest = hashlib.sha256()
        self.n_rows = 0

    def __enter__(self) -> _Rows:
        return self

    def __exit__(self, *_: object) -> None:
        self._flush()
        self._writer.close()

    def add(self, row: _Row) -> None:
        self._pending.append(row)
        self.n_rows += 1
        self._digest.update(json.dumps(row, ensure_ascii=False, default=str).encode())
        if len(self._pending) == BATCH_ROWS:
            self._flush()

    def digest(self) -> str:
        return self._digest.hexdigest()

    def _flush(self) -> None:
        if self._pending:
            columns = zip(*self._pending, strict=True)
            arrays = [pa.array(list(c), t) for c, t in zip(columns, SAMPLE_SCHEMA.types, strict=True)]
            self._writer.write_batch(pa.record_batch(arrays, schema=SAMPLE_SCHEMA))
            self._pending = []


def _save(scratch: Path, out: Path) -> None:
    from datasets import Dataset, DatasetDict, disable_progress_bars

    disable_progress_bars()
    splits = {name: Dataset.from_file(str(scratch / name)) for name in (TRAIN, HELD_OUT)}
    # by default an empty split gets no file at all, and then cannot be loaded
    DatasetDict(splits).save_to_disk(out, num_shards={TRAIN: None, HELD_OUT: 1})
