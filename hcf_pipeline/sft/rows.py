"""Samples as the trainer takes them: token ids, and a label where something is learnt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from hcf_pipeline.errors import DataError
from hcf_pipeline.lm.chat_format import ChatFormat, Encoded
from hcf_pipeline.settings import LoraSettings

if TYPE_CHECKING:
    from datasets import Dataset

NOT_LEARNT = -100  # as torch's losses have it


def to_learn(samples: Dataset, chat_format: ChatFormat, lora: LoraSettings) -> tuple[Dataset, int]:
    """(rows of at most max_length tokens, how many longer samples were met): all, or as many as max_steps can see.

    Those are drawn by the seed. Raises DataError where none fits.
    """
    needed = lora.max_steps * lora.batch_size * lora.gradient_accumulation
    if needed and needed < len(samples):
        samples = samples.shuffle(seed=lora.seed)
    fitting: list[Encoded] = []
    n_too_long = 0
    for messages in samples["messages"]:
        encoded = chat_format.encode(messages)
        if len(encoded.ids) > lora.max_length:
            n_too_long += 1
            continue
        fitting.append(encoded)
        if len(fitting) == needed:
            break
    if not fitting:
        raise _all_too_long(lora, n_too_long)
    return rows_of(fitting), n_too_long


def rows_of(conversations: Sequence[Encoded]) -> Dataset:
    """A row of `input_ids` and `labels` for each conversation."""
    from datasets import Dataset

    kind = pa.list_(pa.int64())
    ids = pa.array([encoded.ids for encoded in conversations], kind)
    return Dataset(pa.table({"input_ids": ids, "labels": pa.array(map(labels_of, conversations), kind)}))


def labels_of(encoded: Encoded) -> list[int]:
    """The ids that are learnt, NOT_LEARNT in the place of the others."""
    return [n if learnt else NOT_LEARNT for n, learnt in zip(encoded.ids, encoded.learnt, strict=True)]


def that_fit(samples: Dataset, chat_format: ChatFormat, max_length: int) -> Dataset:
    """The samples of at most max_length tokens."""
    lengths = [len(chat_format.encode(messages).ids) for messages in samples["messages"]]
    return samples.select([n for n, length in enumerate(lengths) if length <= max_length])


def _all_too_long(lora: LoraSettings, n: int) -> DataError:
    return DataError(
        zh=f"{n} 个训练样本全都超过 {lora.max_length} 个词元；请调高 [lora] max_length，或调低 [sft] max_chars。",
        en=f"All {n} training samples are longer than {lora.max_length} tokens; raise max_length of [lora], or lower "
        "max_chars of [sft].",
    )
