"""How a person hands over a Hub token: `hcf login`."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hcf_pipeline.errors import HubError
from hcf_pipeline.hub.errors import explain
from hcf_pipeline.hub.token import Token, plausible
from hcf_pipeline.settings import HubSettings


@dataclass(frozen=True)
class Login:
    user: str
    saved_in: Path
    overridden_by: str | None  # the variable that is set and goes before what was just saved


def login(prompt: Callable[[], str], hub: HubSettings) -> Login:
    """Asks for a token with `prompt`, checks it at the Hub (`HF_ENDPOINT`) and stores it in the user's home.

    Nothing is stored unless the Hub accepts it. Raises HubError when it is empty, refused, or the Hub is out of reach.
    """
    import huggingface_hub
    from huggingface_hub import constants, get_session, hf_raise_for_status

    value = prompt().strip()
    if not value:
        raise HubError(
            zh="没有输入令牌；请到 https://huggingface.co/settings/tokens 新建一个（Read 权限即可），"
            "再运行 hcf login。",
            en="No token was entered; make one at https://huggingface.co/settings/tokens (Read is enough), "
            "then run hcf login again.",
        )
    token = Token("hcf login", plausible(value, "hcf login"))
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
