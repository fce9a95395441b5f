"""A LoRA adapter from a base and samples: TRL's SFTTrainer and PEFT, loss on the host's words alone.

What the trainer leaves open is settled here: samples that are too long are left out and counted (it would cut off
their end-of-turn), the order of batches is a function of seed and epoch, checkpoints carry hashes and what they depend
on, one GPU is used, and neither network nor absolute paths come into it. Runs in a process of its own; on one kind of
CPU the same input, seed and number of threads give the same bytes.
"""

from __future__ import annotations

import gc
import json
import math
import os
from collections.abc import Callable, Collection
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from hcf_pipeline.files import file_sha256, hash_of
from hcf_pipeline.lm.chat_format import ChatFormat, load_format
from hcf_pipeline.machine.threads import processor, threads, wanted_threads
from hcf_pipeline.settings import LoraSettings
from hcf_pipeline.sft import checkpoints
from hcf_pipeline.sft.base_model import (
    Device,
    Quantize,
    half_precision,
    is_quantized,
    load_adapted,
    load_base,
    pick_device,
)
from hcf_pipeline.sft.held_out import held_out_loss
from hcf_pipeline.sft.rows import that_fit, to_learn
from hcf_pipeline.sft.samples import HELD_OUT, TRAIN, SampleReport
from hcf_pipeline.sft.training_log import TrainProgress, write_log

if TYPE_CHECKING:
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from trl import SFTConfig

ADAPTER_CONFIG = "adapter_config.json"
MAX_LOGGED_STEPS = 200
REVISION = 2  # of how an adapter is trained: raise it when the same run would give other weights
LIBRARIES = ("torch", "transformers", "peft", "trl", "accelerate", "bitsandbytes", "tokenizers")
NO_WEIGHT = {"enabled", "checkpoint_steps", "held_out_samples"}  # settings of [lora] that change none


@dataclass(frozen=True)
class TrainReport:
    """What a reader of the adapter should know of its making."""

    steps: int
    n_samples_seen: int
    share_seen: float  # of the training samples; over 1 when some were seen twice
    n_too_long: int  # of the training samples looked at
    train_loss: float  # nats per token of the host's, mean over the last tenth of the steps
    held_out_loss_base: float | None  # the same samples without the adapter; None where nothing is held out
    held_out_loss: float | None  # of the model as it is served: merged, where the base isn't quantized
    n_held_out_samples: int  # that it was judged by
    n_left_out: int  # held-out samples of transcripts that base or adapter had seen: nothing is judged by them
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
    say: Callable[[str], None] = lambda line: None,
    *,
    base_name: str = "embedded",
    base_revision: str | None = None,
    left_out: Collection[str] = (),
    n_threads: int = 0,
) -> TrainReport:
    """Writes a standard PEFT folder with training_log.jsonl and loss.png into `out`.

    Checkpoints go to `work`; called again with the same input, it continues from the newest one there that is whole.
    `base_name` (and `base_revision`, of the Hub) is what adapter_config.json calls the base, in place of the path; `left_out` are held-out transcripts
    that nothing is judged by; `n_threads` is as [run] threads; `say` gets lines for the log. Raises DataError when no
    sample fits max_length, ArtifactError for a base that cannot be loaded.
    """
    _stay_offline()
    from datasets import load_from_disk

    from hcf_pipeline.sft.trainer import make_trainer

    number, target = wanted_threads(n_threads), pick_device(device)
    with threads(number):
        chat_format = load_format(base)
        splits = load_from_disk(samples, keep_in_memory=True)  # else the trainer caches into the samples' folder
        train, n_too_long = to_learn(splits[TRAIN], chat_format, lora)
        n_fitting = len(splits[TRAIN]) - n_too_long
        unseen = _without(splits[HELD_OUT], left_out)
        judged = that_fit(_spread(unseen, lora.held_out_samples), chat_format, lora.max_length)
        config = trainer_config(lora, work, steps_for(n_fitting, lora), target)
        if one_gpu(config):
            say("Several GPUs are visible; training uses the first of them (CUDA_VISIBLE_DEVICES chooses another).")
        run = what_counts(base, samples, lora, quantize, device, number)
        resumed = checkpoints.newest(work, run, say)
        model = load_base(base, device, quantize)
        if not is_quantized(quantize, target):
            model = model.to(trains_in(target))
        trainer = make_trainer(model, chat_format.tokenizer, train, config, lora_config(lora), run, report)
        trainer.train(resume_from_checkpoint=str(resumed) if resumed else None)
        _save_adapter(trainer.model, out, base_name, base_revision)
        state, tokens_per_s = trainer.state, trainer.tokens_per_s
        del model, trainer
        before, after = _losses(base, out, device, quantize, chat_format, judged)
    losses = write_log(state.log_history, out, before, after)
    n_seen = min(state.global_step * lora.batch_size * lora.gradient_accumulation, round(len(train) * state.epoch))
    tail = losses[-max(1, len(losses) // 10) :]
    return TrainReport(
        steps=state.global_step,
        n_samples_seen=n_seen,
        share_seen=n_seen / max(1, n_fitting),
        n_too_long=n_too_long,
        train_loss=sum(tail) / len(tail),
        held_out_loss_base=before,
        held_out_loss=after,
        n_held_out_samples=len(judged),
        n_left_out=len(splits[HELD_OUT]) - len(unseen),
        tokens_per_s=tokens_per_s,
        resumed_from=checkpoints.step_of(resumed) if resumed else None,
    )


def what_counts(
    base: Path, samples: Path, lora: LoraSettings, quantize: Quantize, device: Device, n_threads: int
) -> checkpoints.Run:
    """All that the weights depend on, by name: a checkpoint may be continued where it is the same."""
    files = {p.name: file_sha256(p) for p in sorted(base.iterdir()) if p.suffix in (".json", ".safetensors", ".txt")}
    target = pick_device(device)
    settings = {f"[lora] {k}": json.dumps(v) for k, v in lora.model_dump(mode="json", exclude=NO_WEIGHT).items()}
    return settings | {
        "revision": str(REVISION),
        "base": hash_of(files),
        "samples": SampleReport.load(samples).version,
        "quantization": "4bit" if is_quantized(quantize, target) else "none",
        "device": _device_name(target),
        "threads": str(n_threads),
        **{name: _version(name) for name in LIBRARIES},
    }


def _device_name(device: str) -> str:
    """The kind of device: results of another one are others."""
    import torch

    return f"cuda {torch.cuda.get_device_name()}" if device == "cuda" else f"{device} {processor()}"


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:  # bitsandbytes, on a Mac
        return "none"


def steps_for(n_samples: int, lora: LoraSettings) -> int:
    """Optimizer steps: as many as `epochs` over the samples take, at most max_steps."""
    per_epoch = math.ceil(n_samples / (lora.batch_size * lora.gradient_accumulation))
    steps = math.ceil(per_epoch * lora.epochs)
    return min(steps, lora.max_steps) if lora.max_steps else steps


def trains_in(device: str) -> torch.dtype:
    """The float in which unquantized weights are trained.

    float16 needs its gradients scaled, which the trainer does on CUDA alone: there would be nan on MPS.
    """
    import torch

    return torch.float32 if device == "mps" else half_precision(device)


def one_gpu(config: SFTConfig) -> bool:
    """Makes the trainer use one GPU; whether there are more.

    Left alone it splits each batch among all that it sees, as another batch size with other results.
    """
    several = bool(config.n_gpu > 1)
    if several:
        config._n_gpu = 1
    return several


def _losses(
    base: Path, adapter: Path, device: Device, quantize: Quantize, chat_format: ChatFormat, samples: Dataset
) -> tuple[float | None, float | None]:
    """The held-out loss of the base alone and with its adapter, each loaded as it is served; None without samples.

    One after the other, and after the trainer is gone: each may take most of the memory. (bitsandbytes packs 4-bit
    weights anew when a CPU first reads them, and they can't be trained any more: so the base isn't judged beforehand.)
    """
    if not len(samples):
        return None, None
    _free_memory()
    before = held_out_loss(load_base(base, device, quantize), chat_format, samples)
    _free_memory()
    return before, held_out_loss(load_adapted(base, adapter, device, quantize), chat_format, samples)


def _free_memory() -> None:
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _stay_offline() -> None:
    """Local folders are all that training reads, and nobody is told of it."""
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    from huggingface_hub import constants

    constants.HF_HUB_DISABLE_TELEMETRY = True


def _without(samples: Dataset, transcripts: Collection[str]) -> Dataset:
    kept = [n for n, transcript in enumerate(samples["transcript"]) if transcript not in transcripts]
    return samples.select(kept)


def _spread(samples: Dataset, n: int) -> Dataset:
    """n samples at even distances."""
    return samples if len(samples) <= n else samples.select([i * len(samples) // n for i in range(n)])


def lora_config(lora: LoraSettings) -> LoraConfig:
    """The adapter as PEFT's configuration."""
    from peft import LoraConfig

    return LoraConfig(
        task_type="CAUSAL_LM",
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=list(lora.target_modules),
        bias="none",
    )


def trainer_config(lora: LoraSettings, work: Path, n_steps: int, device: str) -> SFTConfig:
    """The training as TRL's configuration; checkpoints go to `work`."""
    import torch
    from trl import SFTConfig

    bf16 = device == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return SFTConfig(
        output_dir=str(work),
        max_length=None,  # the samples are known to fit; the trainer would cut, not leave out
        packing=False,
        max_steps=n_steps,
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


def _save_adapter(model: object, out: Path, base_name: str, base_revision: str | None) -> None:
    from peft import PeftModel

    assert isinstance(model, PeftModel)
    model.save_pretrained(str(out), save_embedding_layers=False)
    (out / "README.md").unlink(missing_ok=True)
    file = out / ADAPTER_CONFIG
    config = json.loads(file.read_text(encoding="utf-8"))
    config["base_model_name_or_path"], config["revision"] = base_name, base_revision
    # PEFT writes a set here, in an order that differs from process to process
    config["target_modules"] = sorted(config["target_modules"])
    file.write_text(json.dumps(config, ensure_ascii=False, indent=2, sort_keys=True), encoding="utf-8")
