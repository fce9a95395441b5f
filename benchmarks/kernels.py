"""One batch through every attention kernel: loss, gradient and time of each, against the plain formula's (MATH)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

from trainers import Conversation, seconds_of

from hcf_pipeline.lm.chat_format import ChatFormat, Encoded
from hcf_pipeline.settings import LoraSettings
from hcf_pipeline.sft.rows import NOT_LEARNT, labels_of
from hcf_pipeline.sft.train import lora_config

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

_Result: TypeAlias = "tuple[float, torch.Tensor]"  # loss, all gradients in a row


def compare(
    base: PreTrainedModel,
    chat_format: ChatFormat,
    conversations: Sequence[Conversation],
    lora: LoraSettings,
    device: str,
    *,
    padded: bool,
) -> str:
    """Which kernel is chosen for the conversations as a batch, and what each of them gives; `padded` to the longest, or cut."""
    import torch
    from peft import get_peft_model
    from torch.nn.attention import SDPBackend, sdpa_kernel

    torch.manual_seed(0)
    model = get_peft_model(base, lora_config(lora)).train()
    batch = _batch(
        [chat_format.encode(messages) for messages in conversations],
        chat_format.tokenizer.pad_token_id,
        device,
        padded=padded,
    )

    def once() -> _Result:
        model.zero_grad(set_to_none=True)
        loss = model(**batch, use_cache=False).loss
        loss.backward()
        gradients = [p.grad.float().flatten() for p in model.parameters() if p.grad is not None]
        return loss.item(), torch.cat(gradients)

    results: dict[str, _Result] = {}
    told: list[str] = []
    for name in ("MATH", "FLASH_ATTENTION", "EFFICIENT_ATTENTION", "CUDNN_ATTENTION"):
        try:
            with sdpa_kernel([getattr(SDPBackend, name)]):
                results[name], again = once(), once()
                seconds = seconds_of(once, device, warm=0, times=2)
        except torch.OutOfMemoryError:
            told.append(f"{name}: out of memory")
            continue
        except RuntimeError as error:
            if "kernel" not in str(error):
                raise
            told.append(f"{name}: not for this batch")
            continue
        result, first = results[name], next(iter(results))
        steady = "repeats bit for bit" if torch.equal(again[1], result[1]) else f"repeats with {_apart(again, result)}"
        apart = f", {_apart(result, results[first])} {first}" if name != first else ""
        told.append(f"{name}: {seconds * 1000:.0f} ms, {steady}{apart}")
    chosen = once()
    alike = [name for name, result in results.items() if result[0] == chosen[0]]
    same = [name for name in alike if torch.equal(results[name][1], chosen[1])] or alike
    return f"chosen: {' or '.join(same) or 'none of these'} (by its results); {'; '.join(told)}"


def _batch(conversations: Sequence[Encoded], pad: int, device: str, *, padded: bool) -> dict[str, torch.Tensor]:
    """Padded to the longest; or cut to the shortest, so that none is."""
    import torch

    lengths = [len(encoded.ids) for encoded in conversations]
    n = max(lengths) if padded else min(lengths)

    def filled(rows: list[list[int]], fill: int) -> torch.Tensor:
        return torch.tensor([[*row[:n], *[fill] * (n - len(row))] for row in rows], device=device)

    return {
        "input_ids": filled([encoded.ids for encoded in conversations], pad),
        "labels": filled([labels_of(encoded) for encoded in conversations], NOT_LEARNT),
        "attention_mask": filled([[1] * length for length in lengths], 0),
    }


def _apart(result: _Result, other: _Result) -> str:
    gradient = (result[1] - other[1]).norm() / other[1].norm()
    return f"loss {abs(result[0] - other[0]):.1g} and gradient {gradient.item():.1g} off"
