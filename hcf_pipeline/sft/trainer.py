"""SFTTrainer with our order of batches, sealed checkpoints, and the loss computed where there are labels.

Imported late, by train.py: trl alone takes some ten seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hcf_pipeline.sft import checkpoints
from hcf_pipeline.sft.sampler import LengthGroupedSampler

if TYPE_CHECKING:
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import PreTrainedModel, PreTrainedTokenizerBase
    from trl import SFTConfig

    from hcf_pipeline.sft.training_log import TrainProgress


def make_trainer(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    train: Dataset,
    config: SFTConfig,
    lora: LoraConfig,
    run: checkpoints.Run,
    report: Callable[[TrainProgress], None],
) -> Any:
    """An SFTTrainer for rows of token ids and labels; `tokens_per_s` after training is that of the host's tokens."""
    import torch
    from transformers import PrinterCallback, TrainerCallback
    from trl import SFTTrainer

    from hcf_pipeline.sft.training_log import TrainProgress

    class Trainer(SFTTrainer):  # type: ignore[misc]
        tokens_per_s = 0.0
        _n_host_tokens = 0
        _started = 0.0

        def create_model_card(self, *args: object, **kwargs: object) -> None:
            """None in checkpoints: nobody reads it there, and it names local paths."""

        def _get_train_sampler(self, train_dataset: Any = None) -> Any:
            lengths = [len(ids) for ids in (train_dataset or self.train_dataset)["input_ids"]]
            return LengthGroupedSampler(lengths, config.per_device_train_batch_size, config.seed)

        def _save_checkpoint(self, model: Any, trial: Any) -> None:
            super()._save_checkpoint(model, trial)
            checkpoint = Path(config.output_dir) / f"{checkpoints.PREFIX}{self.state.global_step}"
            checkpoints.seal(checkpoint, run)

        def compute_loss(
            self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            self._n_host_tokens += int((inputs["labels"][:, 1:] != -100).sum())
            if self.args.device.type != "cpu":
                return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
            return _loss_at_labels(model, inputs, num_items_in_batch)

        def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
            self.tokens_per_s = self._n_host_tokens / max(time.monotonic() - self._started, 1e-9)
            super().log(logs, start_time)

    class Report(TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            trainer._started = time.monotonic()

        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **kwargs: Any) -> None:
            if "loss" in logs:
                report(TrainProgress(state.global_step, state.max_steps, logs["loss"], trainer.tokens_per_s))

    def _loss_at_labels(model: Any, inputs: Any, n_tokens: Any) -> torch.Tensor:
        """Next-token loss; the vocabulary is only computed where there is a label.

        TRL does so on a GPU; on a CPU it projects every position, with entropy and accuracy besides.
        """
        causal = model.get_base_model()
        hidden = causal.base_model(
            input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], use_cache=False
        ).last_hidden_state[:, :-1]
        labels = inputs["labels"][:, 1:]
        at = labels != -100
        logits = causal.get_output_embeddings()(hidden[at])
        loss = torch.nn.functional.cross_entropy(logits.float(), labels[at], reduction="sum")
        mean: torch.Tensor = loss / (at.sum() if n_tokens is None else n_tokens)
        return mean

    trainer = Trainer(
        model=model,
        args=config,
        train_dataset=train,
        processing_class=tokenizer,
        peft_config=lora,
    )
    # TRL narrows the adapter of a 4-bit base to bfloat16, where small updates get lost; an older GPU's gradient scaler
    # refuses it altogether.
    for parameter in trainer.model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    trainer.remove_callback(PrinterCallback)  # standard output is the caller's
    trainer.add_callback(Report())
    return trainer
