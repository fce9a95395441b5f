"""The Hub token: where it comes from.

From the first variable of `[hub] token_env` that is set, else from huggingface_hub's own store in the user's home,
which `hcf login` writes. It is never kept by this project, and a `Token` shows its source wherever it is printed.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field

from hcf_pipeline.errors import HubError
from hcf_pipeline.settings import HubSettings

STORED = "login"


@dataclass(frozen=True)
class Token:
    source: str  # the variable's name, or "login"
    value: str = field(repr=False)


def find_token(hub: HubSettings) -> Token | None:
    """The token that requests carry, or None.

    Raises HubError when what is there cannot be a token: sent as a header it would come back in an error message.
    """
    for name in hub.token_env:
        if value := os.environ.get(name, "").strip():
            return Token(name, plausible(value, name))
    from huggingface_hub import get_token

    value = get_token() or ""
    if not value:
        return None
    known = (name for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN") if os.environ.get(name, "").strip() == value)
    source = next(known, STORED)  # huggingface_hub looks at these two whatever the setting says
    return Token(source, plausible(value, source))


def token_source(hub: HubSettings) -> str | None:
    """The name of the variable that holds the token, "login" for the stored one, None where there is none."""
    token = find_token(hub)
    return token.source if token else None


def plausible(value: str, source: str) -> str:
    """The value, if it could be a token at all; else HubError."""
    if re.fullmatch(r"[!-~]+", value):
        return value
    raise HubError(
        zh=f"{source} 给出的令牌里有空格、换行或非 ASCII 字符，不是 Hub 的令牌；"
        "请重新完整复制（以 hf_ 开头）后再设置。",
        en=f"The token from {source} has spaces, line breaks or non-ASCII characters in it, so it is no Hub token; "
        "copy it again as a whole (it starts with hf_) and set it anew.",
    )
