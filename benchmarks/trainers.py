"""Three trainings of one adapter on the same samples, measured in the same way: ours, a plain Trainer's and stock TRL's.

Only the host's tokens count as useful, for all three: they are what is to be learnt. The first steps warm up and don't
count. The plain one is what a script without further thought does: batches in random order, padded to the longest, loss
on every token. The stock one is TRL's SFTTrainer with assistant_only_loss and otherwise its own settings, gradient
checkpointing among them.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hcf_pipeline.corpus.grammar import Grammar
from hcf_pipeline.corpus.manifest import scan
from hcf_pipeline.corpus.tables import PAIRS, TURNS, read_pairs, write_pair_table, write_turn_table
from hcf_pipeline.lm.chat_format import ChatFormat
from hcf_pipeline.lm.prompt import WORDS, Message, build_messages, system_prompt
from hcf_pipeline.settings import CorpusSettings, LoraSettings, SftSettings
from hcf_pipeline.sft.rows import NOT_LEARNT, labels_of, rows_of
from hcf_pipeline.sft.train import lora_config, trainer_config
from hcf_pipeline.sft.windows import windows

if TYPE_CHECKING:
    from transformers import PreTrainedModel

WARM_UP = 2  # steps

Conversation = list[Message]
Train = Callable[["PreTrainedModel", ChatFormat, Sequence[Conversation], LoraSettings, Path, str], "Measured"]


def pairs_of(corpus: Path, root: Path) -> tuple[Path, str]:
    """The pair table of a corpus, written into `root`, and the system prompt that its host is learnt with."""
    settings, tables = CorpusSettings(), root / "tables"
    tables.mkdir(parents=True)
    write_turn_table(scan(corpus, settings), Grammar(settings), tables)
    hosts = write_pair_table(tables / TURNS, tables)[2]
    return tables / PAIRS, system_prompt(WORDS["zh"].persona, next(iter(hosts)))


def conversations_of(pairs: Path, system: str, chat_format: ChatFormat, n_tokens: int, n: int) -> list[Conversation]:
    """n conversations of at most n_tokens, as long as the corpus makes them; where it has too few they come again."""
    sft = SftSettings(max_chars=max(32, n_tokens * 9 // 10), max_pairs=1_000)
    found: list[Conversation] = []
    for _, _, transcript in read_pairs(pairs):
        for window in windows(transcript, sft, Counter()):
            messages = build_messages(system, window.exchanges)
            if len(chat_format.encode(messages).ids) <= n_tokens:
                found.append(messages)
    if not found:
        raise ValueError(f"no conversation of the corpus has so few tokens as {n_tokens}")
    return (found * (n // len(found) + 1))[:n]


@dataclass(frozen=True)
class Measured:
    host_tokens_per_s: float
    tokens_per_s: float  # the guests' and the layout's too, without padding
    padding: float  # share of what the batches held
    mean_length: float  # tokens of a sample


@dataclass
class _Count:
    """What each batch held, and when each step ended."""

    device: str
    host: list[int] = field(default_factory=list)
    real: list[int] = field(default_factory=list)
    padded: list[int] = field(default_factory=list)
    samples: list[int] = field(default_factory=list)
    ended: list[float] = field(default_factory=list)

    def watch(self, trainer: Any, collate: Callable[[list[dict[str, Any]]], Any]) -> None:
        from transformers import PrinterCallback, TrainerCallback

        count = self

        class Clock(TrainerCallback):  # type: ignore[misc]
            def on_step_end(self, *_: Any, **__: Any) -> None:
                synchronize(count.device)
                count.ended.append(time.monotonic())

        def counted(rows: list[dict[str, Any]]) -> Any:
            batch = collate(rows)
            self.host.append(sum(label != NOT_LEARNT for row in rows for label in row["labels"]))
            self.real.append(sum(len(row["input_ids"]) for row in rows))
            self.padded.append(batch["input_ids"].numel())
            self.samples.append(len(rows))
            return batch

        trainer.data_collator = counted
        trainer.remove_callback(PrinterCallback)  # standard output is the table's
        trainer.add_callback(Clock())

    def measured(self) -> Measured:
        """The loader is a batch ahead, so batches are told by their number."""
        n_steps = len(self.ended)
        counted = slice(WARM_UP, n_steps)
        seconds = self.ended[-1] - self.ended[WARM_UP - 1]
        real = sum(self.real[counted])
        return Measured(
            host_tokens_per_s=sum(self.host[counted]) / seconds,
            tokens_per_s=real / seconds,
            padding=1 - real / sum(self.padded[counted]),
            mean_length=real / sum(self.samples[counted]),
        )


def ours(
    model: PreTrainedModel,
    chat_format: ChatFormat,
    conversations: Sequence[Conversation],
    lora: LoraSettings,
    work: Path,
    device: str,
) -> Measured:
    from hcf_pipeline.sft.trainer import make_trainer

    rows = rows_of([chat_format.encode(messages) for messages in conversations])
    config = trainer_config(lora, work, lora.max_steps, device)
    trainer = make_trainer(model, chat_format.tokenizer, rows, config, lora_config(lora), {}, lambda _: None)
    return _trained(trainer, trainer.data_collator, device)


def plain(
    model: PreTrainedModel,
    chat_format: ChatFormat,
    conversations: Sequence[Conversation],
    lora: LoraSettings,
    work: Path,
    device: str,
) -> Measured:
    from peft import get_peft_model, prepare_model_for_kbit_training
    from transformers import DataCollatorForLanguageModeling, Trainer, TrainingArguments

    if getattr(model, "is_loaded_in_4bit", False):
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    encoded = [chat_format.encode(messages) for messages in conversations]
    rows = [{"input_ids": one.ids, "labels": labels_of(one)} for one in encoded]
    collator = DataCollatorForLanguageModeling(chat_format.tokenizer, mlm=False)
    arguments = TrainingArguments(bf16=device == "cuda", remove_unused_columns=False, **_common(lora, work, device))
    trainer = Trainer(model=get_peft_model(model, lora_config(lora)), args=arguments, train_dataset=rows)
    return _trained(trainer, lambda batch: collator([{"input_ids": row["input_ids"]} for row in batch]), device)


def stock_trl(
    model: PreTrainedModel,
    chat_format: ChatFormat,
    conversations: Sequence[Conversation],
    lora: LoraSettings,
    work: Path,
    device: str,
) -> Measured:
    from datasets import Dataset, disable_progress_bars
    from trl import SFTConfig, SFTTrainer

    disable_progress_bars()
    config = SFTConfig(
        assistant_only_loss=True, max_length=lora.max_length, **({"bf16": False} if device == "cpu" else {}),
        **_common(lora, work, device),
    )  # fmt: skip
    samples = Dataset.from_list([{"messages": messages} for messages in conversations])
    trainer = SFTTrainer(
        model=model,
        args=config,
        train_dataset=samples,
        processing_class=chat_format.tokenizer,
        peft_config=lora_config(lora),
    )
    return _trained(trainer, trainer.data_collator, device)


def _common(lora: LoraSettings, work: Path, device: str) -> dict[str, Any]:
    return {
        "output_dir": str(work), "max_steps": lora.max_steps, "per_device_train_batch_size": lora.batch_size,
        "gradient_accumulation_steps": lora.gradient_accumulation, "learning_rate": lora.learning_rate,
        "use_cpu": device == "cpu", "report_to": "none", "save_strategy": "no", "logging_strategy": "no",
        "disable_tqdm": True, "seed": lora.seed,
    }  # fmt: skip


def _trained(trainer: Any, collate: Callable[[list[dict[str, Any]]], Any], device: str) -> Measured:
    count = _Count(device)
    count.watch(trainer, collate)
    trainer.train()
    return count.measured()


def synchronize(device: str) -> None:
    if device == "cuda":
        import torch

        torch.cuda.synchronize()


def seconds_of(work: Callable[[], object], device: str, *, warm: int, times: int) -> float:
    """How long `work` takes, in the mean."""
    for _ in range(warm):
        work()
    synchronize(device)
    started = time.monotonic()
    for _ in range(times):
        work()
    synchronize(device)
    return (time.monotonic() - started) / times
