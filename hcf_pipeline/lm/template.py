"""What a chat template writes round messages: it is rendered with a mark in the place of each message's text.

So a template never sees what people say, and nothing that they say changes what it writes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TWO_TURNS = ("system", "user", "assistant", "user", "assistant")

_EDGE = "\u2003"  # a space that templates don't write: it is gone where one strips a message
_MARK = re.compile(f"({_EDGE}?)\ue000(\\d+)\ue000({_EDGE}?)")
_BEFORE_USER = "\n\n"  # between a system prompt and the first message that it is put into


@dataclass(frozen=True)
class Slot:
    """The place of a message's text."""

    message: int
    strips_left: bool
    strips_right: bool

    def as_written(self, text: str) -> str:
        """The text as the template would write it."""
        text = text.lstrip() if self.strips_left else text
        return text.rstrip() if self.strips_right else text


Piece: TypeAlias = str | Slot


class Template:
    """Where it knows no system prompt, or moves it behind other messages, that is put before the first guest's words."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self._folds_system = False
        self.fault = self._fault()  # of the template; "" for none
        if self.fault:
            self._folds_system = True
            self.fault = self._fault()

    def pieces(self, roles: Sequence[str], *, ask: bool = False) -> list[Piece]:
        """What stands before, between and after the messages' texts, with their places; with `ask` the answer's beginning too."""
        marks = [f"{_EDGE}\ue000{n}\ue000{_EDGE}" for n in range(len(roles))]
        messages = [{"role": role, "content": mark} for role, mark in zip(roles, marks, strict=True)]
        if self._folds_system and [*roles[:2]] == ["system", "user"]:
            messages[:2] = [{"role": "user", "content": marks[0] + _BEFORE_USER + marks[1]}]
        rendered = self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=ask)
        pieces: list[Piece] = []
        end = 0
        for mark in _MARK.finditer(rendered):
            pieces += [rendered[end : mark.start()], Slot(int(mark[2]), not mark[1], not mark[3])]
            end = mark.end()
        return [piece for piece in [*pieces, rendered[end:]] if piece]

    def _fault(self) -> str:
        from jinja2 import TemplateError

        try:
            pieces = self.pieces(TWO_TURNS)
        except TemplateError as error:
            return str(error)
        order = [piece.message for piece in pieces if isinstance(piece, Slot)]
        return "" if order == [*range(len(TWO_TURNS))] else f"messages come out as {order}"
