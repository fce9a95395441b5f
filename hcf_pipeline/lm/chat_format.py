"""How a base writes a conversation as token ids: the same for training and serving, whatever the base.

Read from its tokenizer: the chat template, the tokens that control, and those that end an answer. What the template writes
is encoded with control tokens recognised; what people say is encoded apart, with control tokens split into ordinary pieces.
So no text of a transcript, a guest or a model can open or end a turn, and the ids of an answer that is learnt are those
that follow the ids of the prompt that asks for it.

Some templates tell turns apart by words that any text may hold (`[INST]`, `USER:`). Where no token stands before a
turn, the words that are written round messages are made ordinary in what people say (defuse.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from hcf_pipeline.errors import ArtifactError
from hcf_pipeline.lm.defuse import Defuser
from hcf_pipeline.lm.ordinary import OrdinaryText, control_tokens, inside
from hcf_pipeline.lm.prompt import Message
from hcf_pipeline.lm.template import TWO_TURNS, Slot, Template
from hcf_pipeline.lm.tokenizer import load_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

STOPS_IN = ("generation_config.json", "config.json")  # files of a base that may name tokens at which an answer ends

_BRACKETED = re.compile(r"[<\[]\S*[>\]]")


@dataclass(frozen=True)
class Encoded:
    """A conversation as token ids; `learnt` is true for what the persona says, and for the token that ends it."""

    ids: list[int]
    learnt: list[bool]


@dataclass(frozen=True)
class _Part:
    what: tuple[int, ...] | Slot  # what the template writes, or the place of a message
    learnt: bool


class ChatFormat:
    """Safe to share between threads.

    Raises ArtifactError for a template that cannot be used: it leaves messages out, or ends an answer without a token.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, stops: Collection[int] = ()) -> None:
        self.tokenizer = tokenizer
        self.control = control_tokens(tokenizer)
        self._ordinary = OrdinaryText(tokenizer, self.control)
        self._inside = inside(self._recognised)
        self._template = Template(tokenizer)
        if self._template.fault:
            raise _unusable(tokenizer, self._template.fault)
        self._layouts: dict[tuple[tuple[str, ...], bool], list[_Part]] = {}
        self._lead = self._before_answer()
        self._end = self._after_answer()
        self.stop_ids = sorted({self._end, tokenizer.eos_token_id, tokenizer.pad_token_id, *stops} - {None})
        self._defuse_markers = Defuser(self.markers)

    @property
    def suppressed_ids(self) -> list[int]:
        """What may not stand inside an answer: every control token but those that end it."""
        return sorted(set(self.control) - set(self.stop_ids))

    @cached_property
    def markers(self) -> frozenset[str]:
        """The words by which the template tells turns apart; none where a token opens each of them."""
        before = [text for text, slot in self._before_slots(TWO_TURNS) if slot and text.strip()]
        ends = {self.control.get(n) for n in self.stop_ids}
        opens = [token for token in self.control.values() if token not in ends]
        if all(any(token in text for token in opens) for text in before):
            return frozenset()
        tokens = re.compile("|".join(map(re.escape, sorted(self.control.values(), key=len, reverse=True))))
        lines = [line.strip() for text in before for line in tokens.sub("\n", text).split("\n")]
        words = [word for line in lines for word in _BRACKETED.findall(line)]
        return frozenset(text for text in [*lines, *words] if len(text) > 1)

    def encode(self, messages: Sequence[Message], *, ask: bool = False) -> Encoded:
        """The conversation; with `ask` it ends in what makes the model answer."""
        ids: list[int] = []
        learnt: list[bool] = []
        for part in self._layout(tuple(message["role"] for message in messages), ask):
            new = self._said(messages, part.what) if isinstance(part.what, Slot) else part.what
            ids.extend(new)
            learnt.extend([part.learnt] * len(new))
        return Encoded(ids, learnt)

    def defuse(self, text: str) -> str:
        """The text for a server that gets text alone: control tokens and markers in it are broken."""
        return self._defuse_all(text)

    @cached_property
    def _defuse_all(self) -> Defuser:
        return Defuser([*self.control.values(), *self.markers])

    def _said(self, messages: Sequence[Message], slot: Slot) -> list[int]:
        return self._ordinary.ids(slot.as_written(self._defuse_markers(messages[slot.message]["content"])))

    def _layout(self, roles: tuple[str, ...], ask: bool) -> list[_Part]:
        """What such a conversation is made of; the ids of what the template writes are made once."""
        if (roles, ask) not in self._layouts:
            self._layouts[roles, ask] = self._laid_out(roles, ask)
        return self._layouts[roles, ask]

    def _laid_out(self, roles: tuple[str, ...], ask: bool) -> list[_Part]:
        parts: list[_Part] = []
        answered = False  # whether the last message was an answer
        for text, slot in self._before_slots(roles, ask=ask):
            answers = slot is not None and roles[slot.message] == "assistant"
            lead = self._lead if answers and text.endswith(self._lead) else ""
            ids = self._written(text.removesuffix(lead), first=not parts)
            n_end = ids.index(self._end) + 1 if answered and self._end in ids else 0
            whole = self._written(text, first=not parts)
            leading = whole[len(ids) :] if whole[: len(ids)] == ids else self._written(lead)
            parts += [_Part(ids[:n_end], True), _Part(ids[n_end:], False), _Part(leading, True)]
            if slot:
                parts.append(_Part(slot, answers))
            answered = answers
        return [part for part in parts if part.what]

    def _before_slots(self, roles: Sequence[str], *, ask: bool = False) -> list[tuple[str, Slot | None]]:
        """What the template writes before each message; last what it writes after them, with None."""
        found: list[tuple[str, Slot | None]] = []
        text = ""
        for piece in self._template.pieces(roles, ask=ask):
            if isinstance(piece, Slot):
                found.append((text, piece))
            text = "" if isinstance(piece, Slot) else piece
        return [*found, (text, None)]

    def _before_answer(self) -> str:
        """What stands between the end of a prompt and an answer in a conversation: a space in some, mostly nothing."""
        asks = self._before_slots(TWO_TURNS[:2], ask=True)[-1][0]
        leads = self._before_slots(TWO_TURNS[:3])[-2][0]
        return leads.removeprefix(asks) if leads.startswith(asks) else ""

    def _after_answer(self) -> int:
        ids = self._written(self._before_slots(TWO_TURNS[:3])[-1][0])
        for n in ids:
            if n in self.control:
                return n
        raise _unusable(self.tokenizer, "no token ends an answer")

    def _written(self, text: str, *, first: bool = False) -> tuple[int, ...]:
        if not text:
            return ()
        return tuple(self._recognised(text) if first else self._inside(text))

    def _recognised(self, text: str) -> list[int]:
        encoded = self.tokenizer(text, add_special_tokens=False, split_special_tokens=False)
        return list(encoded["input_ids"])


def load_format(folder: Path) -> ChatFormat:
    """The chat format of a local base, embedded or real. Raises ArtifactError where it has none that can be used."""
    return ChatFormat(load_tokenizer(folder), [n for name in STOPS_IN for n in _stops(folder / name)])


def _stops(file: Path) -> list[int]:
    try:
        given = json.loads(file.read_text(encoding="utf-8")).get("eos_token_id")
    except (OSError, ValueError, AttributeError):
        return []
    return [n for n in (given if isinstance(given, list) else [given]) if isinstance(n, int)]


def _unusable(tokenizer: PreTrainedTokenizerBase, fault: str) -> ArtifactError:
    return ArtifactError(
        zh=f"{tokenizer.name_or_path} 的对话模板不能用（{fault}）；请在 [base] model 里换一个对话模型。",
        en=f"The chat template of {tokenizer.name_or_path} cannot be used ({fault}); choose another chat model as [base] model.",
    )
