"""How a corpus is read, in lines that `hcf check` and `hcf refresh` share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from hcf_pipeline.cli.console import Invocation
from hcf_pipeline.cli.left_out import lines_left_out
from hcf_pipeline.settings import Settings

if TYPE_CHECKING:
    from hcf_pipeline.corpus.plausible import Reading


def reading_words(call: Invocation, reading: Reading, left_out: Mapping[str, int]) -> str:
    """What share of the text has a speaker, how the turns alternate, and which lines are in none."""
    share, changes = reading.spoken_share, reading.alternation
    words = call.say(
        f"发言：{share:.0%} 的文字有说话人，相邻两次发言换人的占 {changes:.0%}",
        f"turns: {share:.0%} of the text has a speaker, {changes:.0%} of neighbouring turns change sides",
    )
    rest = lines_left_out(call, left_out)
    return words + (call.say("；", "; ") + rest if rest else "")


def read_wrongly(call: Invocation, worst: str) -> str:
    """What to do where a person should look; `worst` is the transcript to look at."""
    file = worst or call.say("文件", "FILE")
    return call.say(
        f"；可能没有读对：请用 hcf turns {file} 看看是怎样读的，再写明 [corpus] 的 form 和称呼，或运行 hcf init",
        f"; it may be read wrongly: see how with hcf turns {file}, then set form and labels of [corpus], or run hcf init",
    )


def too_little_spoken(call: Invocation, settings: Settings) -> str:
    """Why a refresh would stop."""
    least = settings.sections.release.min_spoken
    return call.say(
        f"；少于 [release] min_spoken = {least}，不会发布，若是有意的请调小它",
        f"; that is less than [release] min_spoken = {least}, so nothing is released: lower it if it is meant so",
    )
