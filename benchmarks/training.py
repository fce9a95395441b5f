"""Host tokens a second: our training loop beside a plain transformers Trainer, same base, samples, batch and steps.

The plain one is what a script without further thought does: batches in random order, padded to the longest,
loss on every token. Only the host's tokens count for either: they are what is to be learnt.

    python benchmarks/training.py --corpus data/sample --steps 20
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from hcf_pipeline.corpus.manifest import scan
from hcf_pipeline.corpus.tables import PAIRS, TURNS, write_pair_table, write_turn_table
from hcf_pipeline.corpus.transcript import Grammar
from hcf_pipeline.lm.prompt import system_prompt
from hcf_pipeline.lm.tokenizer import load_tokenizer
from hcf_pipeline.settings import BaseSettings, ChatSettings, CorpusSettings, LoraSettings, SftSettings
from hcf_pipeline.sft.base_model import fit_base, load_base
from hcf_pipeline.sft.samples import TRAIN, write_samples
from hcf_pipeline.sft.train import train_adapter


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, default=Path("data/sample"))
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=8)
    arguments = parser.parse_args()
    lora = LoraSettings(
        r=8, alpha=16, max_steps=arguments.steps, batch_size=arguments.batch_size, gradient_accumulation=1,
        learning_rate=2e-3, max_length=1024, checkpoint_steps=10_000, held_out_samples=0,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        for name in ("tables", "samples", "base", "work", "out", "plain"):
            (root / name).mkdir()
        settings = CorpusSettings()
        write_turn_table(scan(arguments.corpus, settings), Grammar(settings), root / "tables")
        hosts = write_pair_table(root / "tables" / TURNS, root / "tables")[2]
        system = system_prompt(ChatSettings().persona_prompt, next(iter(hosts)))
        pairs = root / "tables" / PAIRS
        write_samples(pairs, SftSettings(max_chars=400), (), system, root / "samples")
        fit_base(pairs, BaseSettings(steps=1), set(), system, root / "base")
        report = train_adapter(root / "base", root / "samples", lora, "none", "cpu", root / "work", root / "out")
        plain = plain_tokens_per_s(root, lora)
    print(f"{arguments.steps} steps of {arguments.batch_size} samples, host tokens a second:")
    print(f"  this trainer            {report.tokens_per_s:8.0f}")
    print(f"  plain Trainer           {plain:8.0f}")
    print(f"  ratio                   {report.tokens_per_s / plain:8.2f}")


def plain_tokens_per_s(root: Path, lora: LoraSettings) -> float:
    from datasets import load_from_disk
    from peft import LoraConfig, get_peft_model
    from transformers import DataCollatorForLanguageModeling, Trainer, TrainingArguments

    tokenizer = load_tokenizer(root / "base")
    n_host_tokens = 0

    class Collator(DataCollatorForLanguageModeling):  # type: ignore[misc]
        def __call__(self, features: list[dict[str, Any]], *args: Any, **kwargs: Any) -> Any:
            nonlocal n_host_tokens
            n_host_tokens += sum(sum(row.pop("assistant_masks")) for row in features)
            return super().__call__(features, *args, **kwargs)

    def encode(sample: dict[str, Any]) -> dict[str, Any]:
        return dict(
            tokenizer.apply_chat_template(sample["messages"], return_dict=True, return_assistant_tokens_mask=True)
        )

    samples = load_from_disk(root / "samples", keep_in_memory=True)[TRAIN]
    needed = lora.max_steps * lora.batch_size
    chosen = samples.shuffle(seed=lora.seed).select(range(min(len(samples), needed)))
    rows = chosen.map(encode, remove_columns=chosen.column_names)
    config = LoraConfig(
        task_type="CAUSAL_LM", r=lora.r, lora_alpha=lora.alpha, lora_dropout=lora.dropout,
        target_modules=list(lora.target_modules),
    )  # fmt: skip
    trainer = Trainer(
        model=get_peft_model(load_base(root / "base", "cpu", "none"), config),
        args=TrainingArguments(
            output_dir=str(root / "plain"), max_steps=lora.max_steps, per_device_train_batch_size=lora.batch_size,
            learning_rate=lora.learning_rate, use_cpu=True, report_to="none", save_strategy="no", disable_tqdm=True,
            remove_unused_columns=False, seed=lora.seed,
        ),
        train_dataset=rows,
        data_collator=Collator(tokenizer, mlm=False),
    )  # fmt: skip
    started = time.monotonic()
    trainer.train()
    return n_host_tokens / (time.monotonic() - started)


if __name__ == "__main__":
    main()
