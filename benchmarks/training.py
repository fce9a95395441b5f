"""Host tokens a second: our training loop beside a plain transformers Trainer and stock TRL, same base, samples and steps.

Only the host's tokens count for each: they are what is to be learnt. trainers.py says what the three do.

    python benchmarks/training.py --corpus data/sample --steps 20
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from trainers import WARM_UP, conversations_of, ours, pairs_of, plain, stock_trl

from hcf_pipeline.lm.chat_format import load_format
from hcf_pipeline.settings import BaseSettings, LoraSettings
from hcf_pipeline.sft.base_model import fit_base, load_base


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, default=Path("data/sample"))
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=500, help="of a sample, at most")
    arguments = parser.parse_args()
    lora = LoraSettings(
        r=8, alpha=16, max_steps=arguments.steps + WARM_UP, batch_size=arguments.batch_size, gradient_accumulation=1,
        learning_rate=2e-3, max_length=arguments.tokens, checkpoint_steps=10_000,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        pairs, system = pairs_of(arguments.corpus, root)
        base = root / "base"
        base.mkdir()
        fit_base(pairs, BaseSettings(steps=1), set(), system, base)
        chat_format = load_format(base)
        n = lora.max_steps * lora.batch_size
        conversations = conversations_of(pairs, system, chat_format, arguments.tokens, n)
        print(f"{arguments.steps} steps of {lora.batch_size} samples, host tokens a second:")
        rates: dict[str, float] = {}
        for name, train in (("this trainer", ours), ("plain Trainer", plain), ("stock TRL", stock_trl)):
            model = load_base(base, "cpu", "none")
            found = train(model, chat_format, conversations, lora, root / name, "cpu")
            rates[name] = found.host_tokens_per_s
            print(f"  {name:20} {found.host_tokens_per_s:8.0f}   {found.padding:4.0%} padding", flush=True)
    print(f"  ratio to the plain   {rates['this trainer'] / rates['plain Trainer']:8.2f}")


if __name__ == "__main__":
    main()
