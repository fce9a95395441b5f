"""The base model: the embedded one fitted to the corpus, and how any base is loaded for training and serving.

A base is a local folder (config.json, safetensors, tokenizer). Snapshots of real models are fetched elsewhere.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from hcf_pipeline.corpus.held_out import transcript_dates
from hcf_pipeline.corpus.tables import read_pairs
from hcf_pipeline.errors import ArtifactError, DataError
from hcf_pipeline.lm.chat_format import ChatFormat, load_format
from hcf_pipeline.lm.chatml import END_OF_TEXT
from hcf_pipeline.lm.prompt import Exchange, build_messages
from hcf_pipeline.machine.quiet import quiet_libraries
from hcf_pipeline.machine.threads import threads, wanted_threads
from hcf_pipeline.settings import BaseSettings, SftSettings
from hcf_pipeline.sft.left_out import nothing_to_learn
from hcf_pipeline.sft.pretrain import Ids, bigrams, model_config, new_model, pretrain, start_from, steps_for
from hcf_pipeline.sft.tokenizer import fit_tokenizer
from hcf_pipeline.sft.windows import windows

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

Device = Literal["auto", "cpu", "cuda", "mps"]
Quantize = Literal["auto", "4bit", "none"]

MAX_CHARS = 2_000_000  # of the corpus that tokenizer and model see: more than the default steps can use
MIN_TOKENS = 64


@dataclass(frozen=True)
class BaseReport:
    """What a reader of the embedded base should know of its making."""

    n_tokens: int  # of the vocabulary
    n_parameters: int
    transcripts: tuple[str, ...]  # seen; the others were held out, or left out for time
    n_chars: int
    n_training_tokens: int
    steps: int
    loss: float  # nats per token, mean over the last tenth of the steps


def fit_base(
    pairs: Path,
    base: BaseSettings,
    held_out: Collection[str],
    system: str,
    out: Path,
    progress: Callable[[int, int, float], None] = lambda done, total, loss: None,
    *,
    n_threads: int = 0,
) -> BaseReport:
    """Writes a small Qwen2 with its tokenizer into the folder `out`, both fitted to the pair table.

    It sees up to MAX_CHARS characters of whole broadcasts, none of `held_out`, laid out as ChatML conversations with
    the system prompt. `progress` gets pretraining steps done, all of them, and the loss; `n_threads` is as [run]
    threads. The same input, seed and number of threads give the same bytes on one kind of processor. Raises DataError
    where there is nothing to fit anything to, or too little.
    """
    quiet_libraries()
    with threads(wanted_threads(n_threads)):
        return _fit(pairs, base, held_out, system, out, progress)


def _fit(
    pairs: Path,
    base: BaseSettings,
    held_out: Collection[str],
    system: str,
    out: Path,
    progress: Callable[[int, int, float], None],
) -> BaseReport:
    import torch

    conversations, transcripts = _conversations(pairs, held_out, base.seed)
    if not conversations:
        raise nothing_to_learn(pairs, SftSettings())
    texts = [text for conversation in conversations for text in conversation]
    fitted = fit_tokenizer(texts, base.vocab_size)
    config = model_config(len(fitted), base, eos=fitted.eos_token_id, pad=fitted.pad_token_id)
    config.save_pretrained(out)
    fitted.save_pretrained(out)
    # as all others load it: transformers splits words in Qwen's way, not as they were fitted
    chat_format = load_format(out)
    n_tokens = len(chat_format.tokenizer)
    ids = _stream(chat_format, conversations, system)
    if len(ids) < MIN_TOKENS:
        raise DataError(
            zh=f"{pairs} 里的问答太少（{len(ids)} 个词元），连最小的模型也训练不了；请加入更多文稿。",
            en=f"{pairs} holds too little to fit even the smallest model to ({len(ids)} tokens); add transcripts.",
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(base.seed)
        model = new_model(config)
        start_from(model, bigrams(ids, n_tokens, base.hidden_size - 1))
        loss = pretrain(model, ids, base, progress)
    model.config.name_or_path = ""
    model.save_pretrained(out, safe_serialization=True)
    return BaseReport(
        n_tokens=n_tokens,
        n_parameters=sum(p.numel() for p in model.parameters()),
        transcripts=transcripts,
        n_chars=sum(map(len, texts)),
        n_training_tokens=len(ids),
        steps=steps_for(len(ids), base),
        loss=loss,
    )


def _conversations(pairs: Path, held_out: Collection[str], seed: int) -> tuple[list[list[str]], tuple[str, ...]]:
    """Conversations (guest, host, guest, host …) of up to MAX_CHARS characters, and the transcripts they come from.

    Which transcripts are taken goes by a hash of their names: spread over the whole time, and mostly the same ones
    after others were added.
    """
    order = sorted(
        (path for path in transcript_dates(pairs) if path not in held_out),
        key=lambda path: hashlib.sha256(f"{seed}:{path}".encode()).digest(),
    )
    rank = {path: n for n, path in enumerate(order)}
    # One streaming pass; the buffer holds the best-ranked transcripts that fit the limit.
    taken: dict[str, list[list[str]]] = {}
    sizes: dict[str, int] = {}
    for path, _, transcript in read_pairs(pairs):
        if path not in rank:
            continue
        found = list(windows(transcript, SftSettings(), Counter()))
        taken[path] = [[text for exchange in window.exchanges for text in exchange] for window in found]
        sizes[path] = sum(window.n_chars for window in found)
        while len(taken) > 1 and sum(sizes.values()) > MAX_CHARS:
            worst = max(taken, key=rank.__getitem__)
            del taken[worst], sizes[worst]
    kept = sorted(taken, key=rank.__getitem__)
    return [conversation for path in kept for conversation in taken[path]], tuple(kept)


def _stream(chat_format: ChatFormat, conversations: Iterable[list[str]], system: str) -> Ids:
    """All conversations as one row of token ids, each followed by <|endoftext|>."""
    end = int(chat_format.tokenizer.convert_tokens_to_ids(END_OF_TEXT))
    rows: list[Ids] = []
    for texts in conversations:
        exchanges = [Exchange(*pair) for pair in zip(texts[::2], texts[1::2], strict=True)]
        rows.append(np.asarray([*chat_format.encode(build_messages(system, exchanges)).ids, end], dtype=np.int32))
    return np.concatenate(rows or [np.zeros(0, dtype=np.int32)])


def pick_device(device: Device) -> str:
    """The device that "auto" means on this machine."""
    import torch

    if device != "auto":
        return device
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def is_quantized(quantize: Quantize, device: str) -> bool:
    """Whether a base is loaded in 4 bits: when asked for (on a CPU too), or with "auto" where CUDA is there."""
    return quantize == "4bit" or (quantize == "auto" and device == "cuda")


def load_base(path: Path, device: Device = "auto", quantize: Quantize = "auto") -> PreTrainedModel:
    """The causal language model in a local folder, ready on its device, in eval mode.

    4-bit NF4 with double quantization where `is_quantized` says so; otherwise bfloat16 on CUDA that supports it,
    float16 on older CUDA and on MPS, float32 on a CPU. Reads safetensors only and runs no code from the folder.
    Raises ArtifactError when the folder holds no such model.
    """
    quiet_libraries()
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    target = pick_device(device)
    dtype = half_precision(target)
    config = None
    if is_quantized(quantize, target):
        config = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
        )
    try:
        model = AutoModelForCausalLM.from_pretrained(
            path,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=dtype,
            device_map=target,
            quantization_config=config,
        )
    except (OSError, ValueError) as error:
        raise ArtifactError(
            zh=f"{path} 里没有可用的 safetensors 模型（{error}）；请用 hcf refresh 重新生成或下载基座模型。",
            en=f"There is no usable safetensors model in {path} ({error}); build or download the base again with "
            "hcf refresh.",
        ) from error
    return model.eval()


def load_adapted(base: Path, adapter: Path, device: Device = "auto", quantize: Quantize = "auto") -> PreTrainedModel:
    """The base with its adapter as both serve, in eval mode: merged where the weights aren't quantized.

    An unmerged adapter costs a quarter of the speed; and where weights are rounded, what is merged is another model.
    """
    from peft import PeftModel

    model = PeftModel.from_pretrained(load_base(base, device, quantize), str(adapter), is_trainable=False)
    return model.eval() if is_quantized(quantize, pick_device(device)) else model.merge_and_unload().eval()


def half_precision(device: str) -> torch.dtype:
    """The narrowest float that the device computes well in."""
    import torch

    if device == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    return torch.float16 if device == "mps" else torch.float32
