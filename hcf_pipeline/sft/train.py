"""A LoRA adapter from a base and samples: TRL's SFTTrainer and PEFT, loss on the host's words alone.

What the trainer leaves open is settled here: samples that are too long are left out and counted (it would cut off
their end-of-turn), the order of batches is a function of seed and epoch, checkpoints carry hashes, and neither
network nor absolute paths come into it. Runs in a process of its own; the same seed gives the same bytes on a CPU.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hcf_pipeline.errors import DataError
from hcf_pipeline.files import file_sha256, hash_of
from hcf_pipeline.settings import LoraSettings
from hcf_pipeline.sft import checkpoints
from hcf_pipeline.sft.base_model import Device, Quantize, load_base, load_tokenizer, pick_device
from hcf_pipeline.sft.held_out import held_out_loss
from hcf_pipeline.sft.samples import HELD_OUT, TRAIN, SampleReport
from hcf_pipeline.sft.training_log import TrainProgress, write_log

if TYPE_CHECKING:
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import PreTrainedTokenizerBase
    from trl import SFTConfig

ADAPTER_CONFIG = "adapter_config.json"
MAX_LOGGED_STEPS = 200


@dataclass(frozen=True)
class TrainReport:
    """What a reader of the adapter should know of its making."""

    steps: int
    n_samples_seen: int
    share_seen: float  # of the training samples; over 1 when some were seen twice
    n_too_long: int  # of the training samples looked at
    train_loss: float  # nats per token of the host's, mean over the last tenth of the steps
    held_out_loss_base: float | None  # the same samples without the adapter; None where nothing is held out
    held_out_loss: float | None
    n_held_out_samples: int
    tokens_per_s: float  # host tokens
    resumed_from: int | None  # step


def train_adapter(
    base: Path,
    samples: Path,
    lora: LoraSettings,
    quantize: Quantize,
    device: Device,
    work: Path,
    out: Path,
    report: Callable[[TrainProgress], None] = lambda progress: None,
    *,
    base_name: str = "embedded",
) -> TrainReport:
    """Writes a standard PEFT folder with training_log.jsonl and loss.png into `out`.

    Checkpoints go to `work`; called again with the same input, it continues from the newest one there that is whole.
    `base_name` is what adapter_config.json calls the base, in place of the path. Raises DataError when no sample
    fits max_length, ArtifactError for a base that cannot be loaded.
    """
    _stay_offline()
    from datasets import load_from_disk

    from hcf_pipeline.sft.trainer import make_trainer

    run = _run_id(base, samples, lora, quantize)
    tokenizer = load_tokenizer(base)
    splits = load_from_disk(samples, keep_in_memory=True)  # else the trainer caches into the samples' folder
    all_samples = splits[TRAIN]
    wanted = _wanted(all_samples, lora)
    train, n_too_long = _fitting(wanted, tokenizer, lora.max_length)
    if not len(train):
        raise _all_too_long(lora, len(wanted))
    held_out, _ = _fitting(_spread(splits[HELD_OUT], lora.held_out_samples), tokenizer, lora.max_length)
    model = load_base(base, device, quantize)
    resumed = checkpoints.newest(work, run)
    trainer = make_trainer(
        model, tokenizer, train, _config(lora, work, len(train), pick_device(device)), _lora_config(lora), run, report
    )
    trainer.train(resume_from_checkpoint=str(resumed) if resumed else None)
    after = held_out_loss(trainer.model, tokenizer, held_out)
    with trainer.model.disable_adapter():
        before = held_out_loss(trainer.model, tokenizer, held_out)
    _save_adapter(trainer.model, out, base_name)
    losses = write_log(trainer.state.log_history, out, before, after)
    steps = trainer.state.global_step
    n_seen = min(steps * lora.batch_size * lora.gradient_accumulation, round(len(train) * (trainer.state.epoch or 0)))
    tail = losses[-max(1, len(losses) // 10) :]
    return TrainReport(
        steps=steps,
        n_samples_seen=n_seen,
        share_seen=n_seen / max(1, len(all_samples) - n_too_long),
        n_too_long=n_too_long,
        train_loss=sum(tail) / len(tail),
        held_out_loss_base=before,
        held_out_loss=after,
        n_held_out_samples=len(held_out),
        tokens_per_s=trainer.tokens_per_s,
        resumed_from=int(resumed.name.removeprefix(checkpoints.PREFIX)) if resumed else None,
    )


def _stay_offline() -> None:
    """Local folders are all that training reads, and nobody is told of it."""
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    from huggingface_hub import constants

    constants.HF_HUB_DISABLE_TELEMETRY = True


def _run_id(base: Path, samples: Path, lora: LoraSettings, quantize: Quantize) -> str:
    """Names what a checkpoint may be continued with: settings, every file of the base, the samples' version."""
    files = {p.name: file_sha256(p) for p in sorted(base.iterdir()) if p.suffix in (".json", ".safetensors", ".txt")}
    return hash_of([lora.model_dump(mode="json"), quantize, files, SampleReport.load(samples).version])


def _wanted(samples: Dataset, lora: LoraSettings) -> Dataset:
    """As many samples, drawn by the seed, as the capped number of steps can see; all when there is no cap."""
    needed = lora.max_steps * lora.batch_size * lora.gradient_accumulation
    if not needed or needed >= len(samples):
        return samples
    # a tenth more, in place of those that will turn out too long
    return samples.shuffle(seed=lora.seed).select(range(min(len(samples), needed + needed // 10)))


def _spread(samples: Dataset, n: int) -> Dataset:
    """n samples at even distances."""
    return samples if len(samples) <= n else samples.select([i * len(samples) // n for i in range(n)])


def _fitting(samples: Dataset, tokenizer: PreTrainedTokenizerBase, max_length: int) -> tuple[Dataset, int]:
    """The samples of at most max_length tokens, and the number of the others."""
    fits = []
    for n, messages in enumerate(samples["messages"]):
        text = tokenizer.apply_chat_template(messages, tokenize=False)
        if len(tokenizer(text, add_special_tokens=False)["input_ids"]) <= max_length:
            fits.append(n)
    return samples.select(fits), len(samples) - len(fits)


def _lora_config(lora: LoraSettings) -> LoraConfig:
    from peft import LoraConfig

    return LoraConfig(
        task_type="CAUSAL_LM",
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=list(lora.target_modules),
        bias="none",
    )


def _config(lora: LoraSettings, work: Path, n_samples: int, device: str) -> SFTConfig:
    import torch
    from trl import SFTConfig

    per_epoch = -(-n_samples // (lora.batch_size * lora.gradient_accumulation))
    n_steps = lora.max_steps or int(per_epoch * lora.epochs + 1)
    bf16 = device == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return SFTConfig(
        output_dir=str(work),
        assistant_only_loss=True,
        max_length=None,  # the samples are known to fit; the trainer would cut, not leave out
        packing=False,
        num_train_epochs=lora.epochs,
        max_steps=lora.max_steps or -1,
        per_device_train_batch_size=lora.batch_size,
        gradient_accumulation_steps=lora.gradient_accumulation,
        learning_rate=lora.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=round(lora.warmup_share * n_steps),
        gradient_checkpointing=lora.gradient_checkpointing,
        use_cpu=device == "cpu",
        bf16=bf16,
        fp16=device == "cuda" and not bf16,
        logging_steps=max(1, n_steps // MAX_LOGGED_STEPS),
        logging_nan_inf_filter=False,
        disable_tqdm=True,
        save_strategy="steps",
        save_steps=lora.checkpoint_steps,
        save_total_limit=2,
        report_to="none",
        push_to_hub=False,
        dataloader_num_workers=0,
        dataloader_pin_memory=device == "cuda",
        seed=lora.seed,
        data_seed=lora.seed,
    )


def _save_adapter(model: object, out: Path, base_name: str) -> None:
    from peft import PeftModel

    assert isinstance(model, PeftModel)
    model.save_pretrained(str(out), save_embedding_layers=False)
    (out / "README.md").unlink(missing_ok=True)
    file = out / ADAPTER_CONFIG
    config = json.loads(file.read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = base_name
    # PEFT writes a set here, in an order that differs from process to process
    config["target_modules"] = sorted(config["target_modules"])
    file.write_text(json.dumps(config, ensure_ascii=False, indent=2, sort_keys=True), encoding="utf-8")


def _all_too_long(lora: LoraSettings, n: int) -> DataError:
    return DataError(
        zh=f"{n} 个训练样本全都超过 {lora.max_length} 个词元；请调高 [lora] max_length，或调低 [sft] max_chars。",
        en=f"All {n} training samples are longer than {lora.max_length} tokens; raise max_length of [lora], or lower "
        "max_chars of [sft].",
    )
