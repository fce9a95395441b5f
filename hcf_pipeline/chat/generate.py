"""Base model and adapter, generating text piece by piece."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from hcf_pipeline.lm.chat_format import ChatFormat, load_format
from hcf_pipeline.lm.prompt import Message
from hcf_pipeline.machine.quiet import quiet_libraries
from hcf_pipeline.settings import ChatSettings, Sections

if TYPE_CHECKING:
    import torch
    from transformers import LogitsProcessor, PreTrainedModel

WAIT_S = 0.1  # for a turn, between two looks at whether anybody still wants the answer


@dataclass(frozen=True)
class Generator:
    """A language model with its chat format. Safe to share between threads: they take turns at the model."""

    model: PreTrainedModel
    chat_format: ChatFormat
    chat: ChatSettings
    _turn: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def stream(self, messages: Sequence[Message], stop: threading.Event | None = None) -> Iterator[str]:
        """The assistant's text, piece by piece; ends at a token that ends an answer, at max_new_tokens, or soon after `stop` is set.

        The model writes on while the reader pauses, so a slow reader keeps nobody from their turn.
        """
        import torch
        from transformers import LogitsProcessorList, StoppingCriteria, StoppingCriteriaList, TextIteratorStreamer

        halt = stop or threading.Event()
        left = threading.Event()  # the reader has gone

        def unwanted() -> bool:
            return halt.is_set() or left.is_set()

        class Halted(StoppingCriteria):  # type: ignore[misc]
            def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **_: object) -> torch.Tensor:
                return torch.full((input_ids.shape[0],), unwanted(), device=input_ids.device)

        streamer = TextIteratorStreamer(self.chat_format.tokenizer, skip_prompt=True, skip_special_tokens=True)
        failure: list[BaseException] = []

        def work() -> None:
            while not self._turn.acquire(timeout=WAIT_S):
                if unwanted():
                    streamer.end()
                    return
            try:
                if unwanted():
                    streamer.end()
                    return
                prompt = self._fit(messages).to(self.model.device)  # (1, T)
                self.model.generate(
                    input_ids=prompt,
                    attention_mask=torch.ones_like(prompt),
                    streamer=streamer,
                    stopping_criteria=StoppingCriteriaList([Halted()]),
                    logits_processor=LogitsProcessorList(sampling(self.chat, self.model.device)),
                    do_sample=False,  # the processors draw, by a generator of this answer's own
                    max_new_tokens=self.chat.max_new_tokens,
                    repetition_penalty=self.chat.repetition_penalty,
                    pad_token_id=self.chat_format.tokenizer.pad_token_id,
                    eos_token_id=self.chat_format.stop_ids,
                    suppress_tokens=self.chat_format.suppressed_ids,  # no turn of its own inside the answer
                )
            except BaseException as error:
                failure.append(error)
                streamer.end()
            finally:
                self._turn.release()

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        try:
            for piece in streamer:
                if whole := piece.replace("\ufffd", ""):  # a small model may stop inside a character
                    yield whole
        finally:
            left.set()  # a reader who leaves early doesn't leave the model running
            thread.join()
        if failure:
            raise failure[0]

    def _fit(self, messages: Sequence[Message]) -> torch.Tensor:
        """The prompt's token ids, shape (1, T). What is oldest goes first when the context window is too small.

        The system prompt stays; then the earlier exchanges are dropped; a last message that is still too long keeps
        its end, where the question stands.
        """
        import torch

        room = max(1, int(self.model.config.max_position_embeddings) - self.chat.max_new_tokens)
        kept = list(messages)
        while True:
            ids = self.chat_format.encode(kept, ask=True).ids
            if len(ids) <= room or len(kept) <= 2:
                return torch.tensor([ids[-room:]])
            del kept[1:3]


def sampling(chat: ChatSettings, device: torch.device) -> list[LogitsProcessor]:
    """What draws the next token by temperature and nucleus (Holtzman et al. 2020); nothing where the likeliest is wanted.

    The largest of the scores, each with noise of the Gumbel distribution added, is a draw from their softmax (Gumbel-max).
    The noise comes from a generator of its own, seeded by [chat] seed where there is one: torch's global one, which other
    threads share, is neither used nor set.
    """
    import torch
    from transformers import LogitsProcessor, TemperatureLogitsWarper, TopPLogitsWarper

    if chat.temperature == 0:
        return []
    generator = torch.Generator(device=device)
    if chat.seed is None:
        generator.seed()
    else:
        generator.manual_seed(chat.seed)

    class Draw(LogitsProcessor):  # type: ignore[misc]
        def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
            uniform = torch.rand(scores.shape, generator=generator, device=scores.device, dtype=torch.float32)
            return scores.float() - torch.log(-torch.log(uniform.clamp(1e-20, 1 - 1e-7)))

    nucleus = [TopPLogitsWarper(chat.top_p)] if chat.top_p < 1 else []
    return [TemperatureLogitsWarper(float(chat.temperature)), *nucleus, Draw()]


def load_generator(base: Path, adapter: Path, sections: Sections) -> Generator:
    """Base and adapter, as the adapter was judged."""
    quiet_libraries()
    from hcf_pipeline.sft.base_model import load_adapted

    model = load_adapted(base, adapter, sections.chat.device, sections.base.quantize)
    return Generator(model, load_format(base), sections.chat)
