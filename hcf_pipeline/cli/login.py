"""`hcf login`: asks for the token where nobody sees it."""

from __future__ import annotations

import getpass

from hcf_pipeline.cli.console import Invocation, out


def run_login(call: Invocation) -> None:
    from hcf_pipeline.hub.login import login

    hub = call.settings().sections.hub
    done = login(
        lambda: getpass.getpass(call.say("Hugging Face 令牌（不显示）：", "Hugging Face token (hidden): ")), hub
    )
    out.print(call.say(f"已登录为 {done.user}。", f"Logged in as {done.user}."), markup=False)
    if done.overridden_by:
        variable = done.overridden_by
        out.print(
            call.say(f"注意：环境变量 {variable} 优先于它。", f"Note: the environment's {variable} goes before it."),
            markup=False,
        )
