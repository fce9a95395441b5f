"""`hcf login`: asks for the token where nobody sees it."""

from __future__ import annotations

from hcf_pipeline.cli.console import Invocation, out
from hcf_pipeline.cli.reader import read_secret
from hcf_pipeline.text import one_line


def run_login(call: Invocation) -> None:
    from hcf_pipeline.hub.login import login

    hub = call.settings(file_optional=True).sections.hub
    prompt = call.say("Hugging Face 令牌（不显示）：", "Hugging Face token (hidden): ")
    done = login(lambda: read_secret(prompt), hub)
    user = one_line(done.user)
    out.print(call.say(f"已登录为 {user}。", f"Logged in as {user}."))
    if done.overridden_by:
        variable = done.overridden_by
        out.print(
            call.say(f"注意：环境变量 {variable} 优先于它。", f"Note: the environment's {variable} goes before it.")
        )
