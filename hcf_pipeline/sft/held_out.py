"""How well a model foretells the host's words in samples that it has not seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel

    from hcf_pipeline.lm.chat_format import ChatFormat


def held_out_loss(model: PreTrainedModel, chat_format: ChatFormat, samples: Dataset) -> float | None:
    """Mean negative log-likelihood, nats per token, over the host's words and their end-of-turn; None without samples.

    One sample at a time: nothing is padded, and logits are made at the host's positions only.
    """
    import torch

    model.eval()
    total, n_tokens = 0.0, 0
    for messages in samples["messages"]:
        encoded = chat_format.encode(messages)
        ids = torch.tensor([encoded.ids], device=model.device)
        targets = torch.tensor(encoded.learnt).nonzero().flatten()
        with torch.no_grad():
            logits = model(input_ids=ids, logits_to_keep=(targets - 1).to(model.device), use_cache=False).logits
        wanted = ids[0, targets.to(model.device)]
        total += torch.nn.functional.cross_entropy(logits[0].float(), wanted, reduction="sum").item()
        n_tokens += len(targets)
    return total / n_tokens if n_tokens else None
