"""What a GPU gives: loading, training, attention kernels, resuming and generating, on a Qwen1.5-4B-shaped model of random weights.

    python benchmarks/gpu.py --out gpu.md

Ends within eight minutes. Each line of its Markdown table is printed, and added to --out, as soon as it is known, the most
important first; a step that fails, runs out of memory or of its own time leaves a line that says so, and the next one
begins. --small does all of it with a tiny model on the CPU in half a minute, to see whether it still runs.

It needs no network and no weights: the model is made on the device and written as sharded safetensors, its tokenizer is the
embedded one fitted to data/sample, its vocabulary padded to Qwen's 151,936. On a machine that has torch, transformers,
peft and accelerate and nothing else of ours (no Dagster, no FAISS, no typer), bring the rest as wheels of that machine's
Python (`pip download --no-deps --only-binary=:all: --python-version 3.12 --platform manylinux_2_28_x86_64 -d wheels NAME`):
pydantic, pydantic-core, annotated-types, typing-inspection, datasets, dill, multiprocess, xxhash, trl, bitsandbytes, and
transformers, tokenizers and huggingface_hub where those that are there are older than constraints.txt says. Then

    pip install --no-index --no-deps --target site wheels/*.whl
    PYTHONPATH=$PWD:$PWD/site python benchmarks/gpu.py --out gpu.md

What one of these is missing for is a line too. "Share of peak" is model FLOPs utilisation: tokens a second, without padding,
times (4 N + 6 L h T), over the rate of an 8192³ bfloat16 matrix product measured on the same chip. N are the weights that a
token is multiplied with (all but the input embedding), 2 N of them forward and 2 N for the gradients that pass through a
frozen base (its own weights get none, or it were 6 N; the adapter's own work is under 1 %); 6 L h T is causal attention over
T tokens (the mean length), L layers, h wide. What checkpointing computes again, and what is computed for padding, counts
for nothing.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import math
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kernels import compare
from table import Table, free
from trainers import (
    WARM_UP,
    Conversation,
    Train,
    conversations_of,
    ours,
    pairs_of,
    plain,
    seconds_of,
    stock_trl,
    synchronize,
)

from hcf_pipeline.corpus.tables import read_pairs
from hcf_pipeline.lm.chat_format import ChatFormat, load_format
from hcf_pipeline.machine.quiet import quiet_libraries
from hcf_pipeline.settings import LoraSettings, SftSettings
from hcf_pipeline.sft.base_model import half_precision, load_adapted, load_base, pick_device
from hcf_pipeline.sft.samples import write_samples
from hcf_pipeline.sft.tokenizer import fit_tokenizer
from hcf_pipeline.sft.train import lora_config, train_adapter

if TYPE_CHECKING:
    import torch
    from transformers import Qwen2Config

STARTED = time.monotonic()
TOTAL_S = 470  # of the eight minutes
ADAPTER = "adapter_model.safetensors"
LIBRARIES = ("torch", "transformers", "peft", "trl", "bitsandbytes", "accelerate", "datasets")
KILLED = """
import sys
from pathlib import Path
from hcf_pipeline.settings import LoraSettings
from hcf_pipeline.sft.train import train_adapter
base, samples, work, out, quantize, device, lora = sys.argv[1:]
train_adapter(Path(base), Path(samples), LoraSettings.model_validate_json(lora), quantize, device, Path(work), Path(out),
              lambda at: print(at.step, flush=True))
"""


@dataclass(frozen=True)
class Size:
    hidden: int
    intermediate: int
    layers: int
    short_layers: int  # of the model that kernels and resuming are tried on
    heads: int
    n_vocabulary: int
    n_tokenizer: int
    lengths: tuple[int, int]  # tokens of a sample
    batches: tuple[int, int]
    steps: int
    matmul: int
    generated: int
    prompt: int


QWEN_4B = Size(2560, 6912, 40, 4, 20, 151_936, 4000, (1024, 2048), (4, 2), 10, 8192, 96, 256)
SMALL = Size(64, 128, 2, 2, 4, 1536, 1000, (160, 320), (2, 2), 4, 256, 8, 16)


@dataclass
class Bench:
    size: Size
    device: str
    root: Path
    table: Table
    peak_flops: float = field(default=math.nan)

    @property
    def base(self) -> Path:
        return self.root / "base"

    @property
    def short(self) -> Path:
        return self.root / "short"

    @cached_property
    def pairs(self) -> tuple[Path, str]:
        return pairs_of(Path(__file__).parents[1] / "data" / "sample", self.root)

    @cached_property
    def chat_format(self) -> ChatFormat:
        return load_format(self.short)

    @cached_property
    def quantize(self) -> str:
        """4 bits, as a GPU is trained with; without bitsandbytes none."""
        return "4bit" if importlib.util.find_spec("bitsandbytes") else "none"

    def run(self) -> None:
        table, (first, second) = self.table, self.size.lengths
        table.head()
        table.step("machine", self.device, 30, self.machine)
        table.step("random weights", "made on the device, written in shards", 90, self.make)
        for quantize, how in (("4bit", "NF4, double quantization"), ("none", "unquantized")):
            table.step("load the base", how, 60, lambda q=quantize: self.load(q))  # type: ignore[misc]
        self.train(first, self.size.batches[0])
        table.step("attention kernels", "samples of one length", 40, lambda: self.kernels(padded=False))
        table.step("attention kernels", "a padded batch", 40, lambda: self.kernels(padded=True))
        table.step("resume after kill -9", f"{self.size.short_layers} layers", 90, self.resume)
        for quantize, merged in (("none", True), ("none", False), ("4bit", False)):
            how = f"adapter {'merged' if merged else 'beside it'}, {'NF4' if quantize == '4bit' else 'unquantized'}"
            table.step("generate", how, 60, lambda q=quantize, m=merged: self.generate(q, merged=m))  # type: ignore[misc]
        self.train(second, self.size.batches[1])

    def machine(self) -> str:
        import torch

        name, memory = "CPU", ""
        if self.device == "cuda":
            found = torch.cuda.get_device_properties(0)
            name, memory = found.name, f", {found.total_memory / 1e9:.0f} GB, CUDA {torch.version.cuda}"
        n, dtype = self.size.matmul, half_precision(self.device)
        left, right = (torch.randn(n, n, device=self.device, dtype=dtype) for _ in range(2))
        seconds = seconds_of(lambda: left @ right, self.device, warm=3, times=10)
        self.peak_flops = 2 * n**3 / seconds
        versions = ", ".join(f"{library} {_version(library) or 'missing'}" for library in LIBRARIES)
        return (
            f"{name}{memory}, Python {sys.version.split()[0]}, {versions}; {n}³ {str(dtype).removeprefix('torch.')} product: "
            f"{self.peak_flops / 1e12:.3g} TFLOP/s"
        )

    def make(self) -> str:
        pairs, _ = self.pairs
        texts = [
            text for *_, found in read_pairs(pairs) for pair in found for text in (pair.guest_text, pair.host_text)
        ]
        tokenizer = fit_tokenizer(texts, self.size.n_tokenizer)
        told: list[str] = []
        for folder, layers in ((self.short, self.size.short_layers), (self.base, self.size.layers)):
            tokenizer.save_pretrained(folder)
            started = time.monotonic()
            n = _write_random(folder, self.size, layers, self.device, tokenizer.eos_token_id, tokenizer.pad_token_id)
            told.append(f"{layers} layers: {n / 1e6:,.1f} million in {time.monotonic() - started:.1f} s")
            free()
        return "; ".join(told)

    def load(self, quantize: str) -> str:
        started = time.monotonic()
        model = load_base(self.base, self.device, quantize)  # type: ignore[arg-type]
        synchronize(self.device)
        seconds = time.monotonic() - started
        dtype = str(model.dtype).removeprefix("torch.")
        held = sum(p.numel() * p.element_size() for p in model.parameters())
        return f"{seconds:.1f} s, weights {_size(held)} ({dtype} where not quantized), peak {_peak_memory(self.device)}"

    def train(self, n_tokens: int, batch_size: int) -> None:
        ways: tuple[tuple[str, Train], ...] = (
            ("this trainer", ours),
            ("stock TRL", stock_trl),
            ("plain Trainer", plain),
        )
        for name, train in ways:
            how = f"{name}, batches of {batch_size}"
            self.table.step(
                f"train, {n_tokens} tokens", how, 60, lambda t=train: self._trained(t, n_tokens, batch_size)
            )  # type: ignore[misc]

    def _trained(self, train: Train, n_tokens: int, batch_size: int) -> str:
        steps = self.size.steps + WARM_UP
        lora = _lora(max_steps=steps, batch_size=batch_size, max_length=n_tokens)
        conversations = self._conversations(n_tokens, steps * batch_size)
        model = load_base(self.base, self.device, self.quantize)  # type: ignore[arg-type]
        free()
        found = train(model, self.chat_format, conversations, lora, self.root / "work" / train.__name__, self.device)
        flops = found.tokens_per_s * _flops_per_token(model.config, found.mean_length)
        return (
            f"{found.host_tokens_per_s:.0f} host tokens/s, {found.tokens_per_s:.0f} tokens/s, {flops / self.peak_flops:.1%} of peak, "
            f"{found.padding:.0%} padding, mean {found.mean_length:.0f} tokens, peak {_peak_memory(self.device)}"
            f" ({'NF4' if self.quantize == '4bit' else 'unquantized'})"
        )

    def _conversations(self, n_tokens: int, n: int) -> list[Conversation]:
        pairs, system = self.pairs
        return conversations_of(pairs, system, self.chat_format, n_tokens, n)

    def kernels(self, *, padded: bool) -> str:
        conversations = self._conversations(self.size.lengths[0], 4)
        model = load_base(self.short, self.device, "none")
        return compare(model, self.chat_format, conversations, _lora(dropout=0.0), self.device, padded=padded)

    def resume(self) -> str:
        """One training undisturbed, one killed after its checkpoint and gone on with."""
        pairs, system = self.pairs
        samples = self.root / "samples"
        write_samples(pairs, SftSettings(max_chars=self.size.lengths[0] // 2), (), system, samples)
        lora = _lora(max_steps=6, batch_size=2, max_length=self.size.lengths[0], checkpoint_steps=3)
        folders = {name: (self.root / f"work-{name}", self.root / f"out-{name}") for name in ("whole", "killed")}
        for work, _ in folders.values():
            work.mkdir()
        work, out = folders["killed"]
        command = [
            sys.executable,
            "-c",
            KILLED,
            *map(str, (self.short, samples, work, out, self.quantize, self.device)),
        ]
        with subprocess.Popen([*command, lora.model_dump_json()], stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            try:
                for line in child.stdout:
                    if line.strip() == "4":
                        break
            finally:
                child.kill()
        if not list(work.glob("checkpoint-*")):
            return "the training that was to be killed left no checkpoint"
        resumed_from = None
        for name, (work, out) in folders.items():
            report = train_adapter(self.short, samples, lora, self.quantize, self.device, work, out)  # type: ignore[arg-type]
            resumed_from = report.resumed_from if name == "killed" else None
        return f"resumed from step {resumed_from} of 6: {_difference(*(out / ADAPTER for _, out in folders.values()))}"

    def generate(self, quantize: str, *, merged: bool) -> str:
        import torch
        from peft import PeftModel

        adapter = self._adapter()
        if merged or quantize == "4bit":
            model = load_adapted(self.base, adapter, self.device, quantize)  # type: ignore[arg-type]
        else:
            model = PeftModel.from_pretrained(load_base(self.base, self.device, "none"), str(adapter)).eval()
        told: list[str] = []
        for n in (1, 16):
            prompt = torch.randint(3, self.size.n_tokenizer // 2, (n, self.size.prompt), device=self.device)

            def write(n_new: int, prompt: torch.Tensor = prompt) -> None:
                model.generate(
                    input_ids=prompt, attention_mask=torch.ones_like(prompt), do_sample=False, min_new_tokens=n_new,
                    max_new_tokens=n_new, pad_token_id=0,
                )  # fmt: skip

            write(4)
            seconds = seconds_of(lambda w=write: w(self.size.generated), self.device, warm=0, times=1)  # type: ignore[misc]
            told.append(f"{n * self.size.generated / seconds:.0f} tokens/s at batch {n}")
        return f"{', '.join(told)}, peak {_peak_memory(self.device)}"

    def _adapter(self) -> Path:
        from peft import get_peft_model

        folder = self.root / "adapter"
        if not (folder / ADAPTER).is_file():
            config = lora_config(_lora())
            config.init_lora_weights = False  # a fresh one would add nothing
            get_peft_model(load_base(self.base, self.device, "none"), config).save_pretrained(str(folder))
            free()
        return folder


def _write_random(folder: Path, size: Size, layers: int, device: str, eos: int, pad: int) -> int:
    """Writes a Qwen2 with random weights; returns how many there are."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    config = Qwen2Config(
        vocab_size=size.n_vocabulary, hidden_size=size.hidden, intermediate_size=size.intermediate,
        num_hidden_layers=layers, num_attention_heads=size.heads, num_key_value_heads=size.heads,
        max_position_embeddings=32_768, tie_word_embeddings=False, bos_token_id=None, eos_token_id=eos, pad_token_id=pad,
    )  # fmt: skip
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(half_precision(device))
    try:
        with torch.device(device):
            model = Qwen2ForCausalLM(config)
    finally:
        torch.set_default_dtype(before)
    model.save_pretrained(folder, max_shard_size="2GB")
    return sum(p.numel() for p in model.parameters())


def _flops_per_token(config: Qwen2Config, length: float) -> float:
    """Of a training step with a frozen base, for a token of a sample so long; the formula stands at the top."""
    h, layers = config.hidden_size, config.num_hidden_layers
    n_weights = layers * (4 * h * h + 3 * h * config.intermediate_size) + h * config.vocab_size
    return 4 * n_weights + 6 * layers * h * length


def _lora(**changed: Any) -> LoraSettings:
    return LoraSettings.model_validate(
        {"gradient_accumulation": 1, "checkpoint_steps": 10_000, "held_out_samples": 0, "max_steps": 1} | changed
    )


def _difference(one: Path, other: Path) -> str:
    from safetensors.torch import load_file

    if one.read_bytes() == other.read_bytes():
        return "the very same bytes"
    weights, others = load_file(one), load_file(other)
    largest = max((weights[name] - others[name]).abs().max().item() for name in weights)
    norm = math.sqrt(sum(weight.float().norm().item() ** 2 for weight in weights.values()))
    apart = math.sqrt(sum((weights[name] - others[name]).float().norm().item() ** 2 for name in weights))
    return f"not the same bytes: {largest:.1e} at most, {apart / norm:.1e} of the norm"


def _peak_memory(device: str) -> str:
    if device == "cuda":
        import torch

        return _size(torch.cuda.max_memory_allocated())
    import psutil

    return f"{_size(psutil.Process().memory_info().rss)} of the process"


def _size(n_bytes: float) -> str:
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.1f} MB"


def _version(library: str) -> str:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="a tiny model: does all of it still run?")
    parser.add_argument("--out", type=Path, help="a Markdown file for the table, written line by line")
    arguments = parser.parse_args()
    os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1", "TOKENIZERS_PARALLELISM": "false"}
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")  # Trainer and TRL would split a batch among several
    quiet_libraries()
    device = "cpu" if arguments.small else pick_device("auto")
    table = Table(arguments.out, STARTED + TOTAL_S)
    with tempfile.TemporaryDirectory() as scratch:
        Bench(SMALL if arguments.small else QWEN_4B, device, Path(scratch), table).run()


if __name__ == "__main__":
    main()
