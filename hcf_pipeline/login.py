"""The Hub token: where it comes from, and how a person hands one over.

It comes from the first variable of `[hub] token_env` that is set, else from huggingface_hub's own store in the user's
home, which `login` writes. It is never kept by this project, and a `Token` shows its source wherever it is printed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from hcf_pipeline.errors import HubError
from hcf_pipeline.settings import HubSettings

STORED = "login"


@dataclass(frozen=True)
class Token:
    source: str  # the variable's name, or "login"
    value: str = field(repr=False)


@dataclass(frozen=True)
class Login:
    user: str
    saved_in: Path
    overridden_by: str | None  # the variable that is set and goes before what was just saved


def find_token(hub: HubSettings) -> Token | None:
    """The token that requests carry, or None.

    Raises HubError when what is there cannot be a token: sent as a header it would come back in an error message.
    """
    for name in hub.token_env:
        if value := os.environ.get(name, "").strip():
            return Token(name, _plausible(value, name))
    from huggingface_hub import get_token

    value = get_token() or ""
    if not value:
        return None
    known = (name for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN") if os.environ.get(name, "").strip() == value)
    source = next(known, STORED)  # huggingface_hub looks at these two whatever the setting says
    return Token(source, _plausible(value, source))


def token_source(hub: HubSettings) -> str | None:
    """The name of the variable that holds the token, "login" for the stored one, None where there is none."""
    token = find_token(hub)
    return token.source if token else None


def login(prompt: Callable[[], str], hub: HubSettings) -> Login:
    """Asks for a token with `prompt`, checks it at the Hub (`HF_ENDPOINT`) and stores it in the user's home.

    Nothing is stored unless the Hub accepts it. Raises HubError when it is empty, refused, or the Hub is out of reach.
    """
    import huggingface_hub
    from huggingface_hub import constants, get_session, hf_raise_for_status

    from hcf_pipeline.hub_errors import explain

    value = prompt().strip()
    if not value:
        raise HubError(
            zh="没有输入令牌；请到 https://huggingface.co/settings/tokens 新建一个（Read 权限即可），"
            "再运行 hcf login。",
            en="No token was entered; make one at https://huggingface.co/settings/tokens (Read is enough), "
            "then run hcf login again.",
        )
    token = Token("hcf login", _plausible(value, "hcf login"))
    try:
        # Asked here first because huggingface_hub's own whoami waits without a time limit.
        answer = get_session().get(
            f"{constants.ENDPOINT}/api/whoami-v2",
            headers={"authorization": f"Bearer {token.value}"},
            timeout=constants.HF_HUB_ETAG_TIMEOUT,
        )
        hf_raise_for_status(answer)
        user = str(answer.json()["name"])
        huggingface_hub.login(token=token.value)
    except Exception as error:
        raise explain(error, token=token) from None
    overriding = next((name for name in hub.token_env if os.environ.get(name, "").strip()), None)
    return Login(user, Path(constants.HF_TOKEN_PATH), overriding)


def _plausible(value: str, source: str) -> str:
    if re.fullmatch(r"[!-~]+", value):
        return value
    raise HubError(
        zh=f"{source} 给出的令牌里有空格、换行或非 ASCII 字符，不是 Hub 的令牌；"
        "请重新完整复制（以 hf_ 开头）后再设置。",
        en=f"The token from {source} has spaces, line breaks or non-ASCII characters in it, so it is no Hub token; "
        "copy it again as a whole (it starts with hf_) and set it anew.",
    )
