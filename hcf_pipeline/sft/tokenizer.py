"""The embedded base's tokenizer.

Byte-level BPE with the three ChatML tokens. Chinese has no spaces, so a "word" for BPE would be a whole sentence and
fitting would take minutes, as it takes the square of a word's length: the pre-tokenizer ends a word at each punctuation
mark, after MAX_RUN characters, and after MAX_WORD Latin letters.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from hcf_pipeline.lm.chatml import CHAT_TEMPLATE, END_OF_TEXT, IM_END, SPECIAL_TOKENS

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MAX_RUN = 4  # characters of a word; 8 makes 2% fewer tokens and takes twice as long to fit
MAX_WORD = 24
MAX_SPACES = 8
MIN_FREQUENCY = 2

# Latin words and numbers, then everything else that is no punctuation, then punctuation, each with the spaces before it.
_RUNS = (f"[A-Za-z]{{1,{MAX_WORD}}}", r"\d{1,3}", rf"[^\s\p{{P}}\p{{S}}A-Za-z\d]{{1,{MAX_RUN}}}", r"[\p{P}\p{S}]{1,2}")
_WORDS = "|".join([*(rf"\s{{0,{MAX_SPACES}}}{run}" for run in _RUNS), rf"\s{{1,{MAX_SPACES}}}"])


def fit_tokenizer(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerBase:
    """A tokenizer of at most vocab_size tokens (fewer where the texts don't repeat enough), with our chat template.

    `<|endoftext|>` is 0 and pads; `<|im_end|>` ends a text.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=MIN_FREQUENCY,
        show_progress=False,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(texts, trainer)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=END_OF_TEXT,
        eos_token=IM_END,
        additional_special_tokens=[token for token in SPECIAL_TOKENS if token not in (END_OF_TEXT, IM_END)],
        clean_up_tokenization_spaces=False,
        model_max_length=32_768,
    )
    wrapped.chat_template = CHAT_TEMPLATE
    return wrapped
