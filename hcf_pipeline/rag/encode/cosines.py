"""What a cosine is worth. Each encoder has a scale of its own: texts that have nothing to do with each other have cosines around
0 with one, and around 0.86 with another, whose best and worst lie within a tenth. So what a random question gets against
random chunks is measured where the vectors are made, and cosines are told in multiples of that.

A random question is a sentence of the corpus, encoded as a question is: on 421 broadcasts such sentences scatter as guests'
questions and as those that other people wrote do (standard deviations 0.075, 0.074, 0.073; turns as a whole 0.094).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from hcf_pipeline.corpus.parts import Table
from hcf_pipeline.corpus.sentences import sentences
from hcf_pipeline.files import number_of
from hcf_pipeline.rag.arrays import Floats, Vectors, spread
from hcf_pipeline.rag.encode.vector_file import Hashes

N_TRANSCRIPTS = 32  # that are looked at, by the hash of their path: an edit elsewhere changes nothing
N_CHUNKS = 8  # of each, evenly spread
N_QUESTIONS = 128  # of all, each a sentence of another chunk
MIN_CHARS = 6  # of a sentence that may be a question
LEAST_SD = 1e-3  # of cosines that differ at all
SPAN = 13.4
"""Standard deviations that count as 1: by chance the best of some 10,000 chunks scores 0.3, and where the encoder knows
its matter an answer 0.2 to 0.5, as it does by words."""


@dataclass(frozen=True)
class CosineScale:
    """Mean and standard deviation of the cosines of random questions and random chunks."""

    mean: float
    sd: float

    def scores(self, cosines: Floats) -> Floats:
        """0 for what is no nearer than a random chunk, 1 for `SPAN` standard deviations more."""
        scores: Floats = np.maximum((cosines - np.float32(self.mean)) / np.float32(SPAN * self.sd), np.float32(0))
        return scores


NO_SCALE = CosineScale(0.0, 1 / SPAN)  # cosines as they are: where there are no two texts to compare


def cosine_scale(
    table: Table, encode_queries: Callable[[Sequence[str]], Vectors], vectors: Callable[[Hashes], Vectors]
) -> CosineScale:
    """The scale of an encoder on a chunk table, by at most N_TRANSCRIPTS × N_CHUNKS texts; the same for the same rows.

    `vectors` are those of the chunks, by content hash.
    """
    entries = sorted((entry for entry in table.entries if entry.n_rows), key=lambda entry: number_of(entry.path))
    chosen = {entry.path: spread(entry.n_rows, N_CHUNKS) for entry in entries[:N_TRANSCRIPTS]}
    texts: list[str] = []
    hashes: list[bytes] = []
    owners: list[int] = []
    for number, (entry, (hash_column, text_column)) in enumerate(table.read(["content_hash", "text"], chosen)):
        for row in chosen[entry.path].tolist():
            texts.append(text_column[row].as_py().strip())
            hashes.append(hash_column[row].as_py().encode())
            owners.append(number)
    if len(texts) < 2:
        return NO_SCALE
    owner = np.array(owners)
    asked = np.arange(0, len(texts), len(texts) // min(N_QUESTIONS, len(texts)))
    cosines = encode_queries([_question(texts[at]) for at in asked.tolist()]) @ vectors(np.array(hashes)).T
    apart = owner[asked, None] != owner[None, :] if len(chosen) > 1 else asked[:, None] != np.arange(len(texts))
    if (sd := float(cosines[apart].std())) < LEAST_SD:
        return NO_SCALE
    return CosineScale(round(float(cosines[apart].mean()), 3), round(sd, 4))


def _question(text: str) -> str:
    """One sentence of a text, drawn by its hash; the whole text where it has none that is long enough."""
    found = [one for part in sentences(text) if len(one := part.strip()) >= MIN_CHARS] or [text]
    return found[number_of(text) % len(found)]
