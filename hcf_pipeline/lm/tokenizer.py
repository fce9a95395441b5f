"""How the tokenizer of a local base is loaded, embedded or real."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

from hcf_pipeline.errors import ArtifactError
from hcf_pipeline.lm.chatml import CHAT_TEMPLATE, END_OF_TEXT, IM_END, SPECIAL_TOKENS

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def load_tokenizer(path: Path) -> PreTrainedTokenizerBase:
    """The tokenizer in a folder: with our ChatML template where it has ChatML's tokens, else with its own template.

    Raises ArtifactError where the folder holds none, one without a chat template, or one that only Python code can run.
    """
    from transformers import AutoTokenizer

    try:
        if not path.is_dir():  # else it would be taken for the name of a model of the Hub
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise ArtifactError(
            zh=f"{path} 里没有可用的分词器（{error}）；请用 hcf refresh 重新生成或下载基座模型。",
            en=f"There is no usable tokenizer in {path} ({error}); build or download the base again with hcf refresh.",
        ) from error
    if not tokenizer.is_fast:
        raise ArtifactError(
            zh=f"{path} 里没有 tokenizer.json（{type(tokenizer).__name__}）；请在 [base] model 里换一个带 tokenizer.json 的对话模型。",
            en=f"There is no tokenizer.json in {path} ({type(tokenizer).__name__}); choose a chat model that has one as "
            "[base] model.",
        )
    if set(SPECIAL_TOKENS) <= tokenizer.get_vocab().keys():
        tokenizer.chat_template = CHAT_TEMPLATE
        tokenizer.pad_token = END_OF_TEXT
        tokenizer.eos_token = IM_END
    elif not tokenizer.chat_template:
        raise ArtifactError(
            zh=f"{path} 的分词器没有对话模板，也没有 ChatML 的 {' '.join(SPECIAL_TOKENS)}，不是对话模型；请在 [base] model 里换一个对话模型（名字里常带 Chat 或 Instruct）。",
            en=f"The tokenizer in {path} has neither a chat template nor ChatML's {' '.join(SPECIAL_TOKENS)}, so it is not of a "
            "chat model; choose one as [base] model (its name often says Chat or Instruct).",
        )
    elif tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "right"
    return tokenizer
