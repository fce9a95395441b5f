"""Text as token ids that control nothing: whatever it spells, it stays words.

A tokenizer finds its added tokens in any text, `<|im_end|>` in a question too. Here they are found no more: a copy of it has
all of them that control something marked as special, and splits what is special.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from hcf_pipeline.lm.defuse import Defuser
from hcf_pipeline.text import well_formed

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase

_WORD = re.compile(r"[\w\s▁]+")  # an added token of letters or spaces is a word or layout, and controls nothing


def control_tokens(tokenizer: PreTrainedTokenizerBase) -> dict[int, str]:
    """Each token that controls something, by its id: special ones, and added ones that are no words (`<tool_call>`)."""
    added = tokenizer.backend_tokenizer.get_added_tokens_decoder()
    found = {n: str(token.content) for n, token in added.items() if token.special or not _WORD.fullmatch(token.content)}
    return found | dict(zip(tokenizer.all_special_ids, tokenizer.all_special_tokens, strict=True))


class OrdinaryText:
    """The ids of one tokenizer for text that is data. Safe to share between threads."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, control: Mapping[int, str]) -> None:
        self._split = _splitting(tokenizer, control)
        self._control = frozenset(control) - {tokenizer.unk_token_id}  # which stands for what is not in the vocabulary
        self._defuse = Defuser(control.values())
        self._encode = inside(self._ids)

    def ids(self, text: str) -> list[int]:
        """The text's ids, as in the middle of a longer one; none of them is a control token's."""
        text = well_formed(text)  # no tokenizer takes another
        ids = self._encode(text)
        if not self._control.isdisjoint(ids):  # a vocabulary that spells a control token by ordinary pieces
            ids = [n for n in self._encode(self._defuse(text)) if n not in self._control]
        return ids

    def _ids(self, text: str) -> list[int]:
        return list(self._split.encode(text, add_special_tokens=False).ids)


def inside(encode: Callable[[str], list[int]]) -> Callable[[str], list[int]]:
    """`encode` for text in the middle of a longer one: without the space that some put before a text's first word."""
    newline = encode("\n")
    if encode("\na") == newline + encode("a"):
        return encode

    def after_a_newline(text: str) -> list[int]:
        ids = encode("\n" + text)
        return ids[len(newline) :] if ids[: len(newline)] == newline else encode(text)

    return after_a_newline


def _splitting(tokenizer: PreTrainedTokenizerBase, control: Mapping[int, str]) -> Tokenizer:
    """A copy, so that nobody's encoding depends on a switch that another thread has thrown."""
    from tokenizers import Tokenizer

    copy = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    copy.no_truncation()
    copy.no_padding()
    added = copy.get_added_tokens_decoder()
    copy.add_special_tokens([added[n] for n in control if n in added])
    copy.encode_special_tokens = True  # as text, that is
    return copy
