"""What of a corpus is not read, in lines that `hcf check` and `hcf refresh` end with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from hcf_pipeline.cli.console import Invocation
from hcf_pipeline.cli.words import refusal
from hcf_pipeline.corpus.endings import include_for, other_endings
from hcf_pipeline.corpus.manifest import Refused
from hcf_pipeline.few import listed
from hcf_pipeline.settings import Settings

N_NAMED = 5


def files_left_out(call: Invocation, settings: Settings, quarantined: Sequence[Refused]) -> Iterator[str]:
    """How many files are not read and why, and how many no pattern of [corpus] include admits."""
    if quarantined:
        reasons = Counter(refusal(one.reason, call.lang) for one in quarantined)
        named = listed([f"{reason} {count}" for reason, count in reasons.most_common()], call.lang, N_NAMED)
        first = quarantined[0].file
        yield call.say(
            f"有 {len(quarantined)} 个文件没有用上：{named}（例如 {first}）；hcf status 逐个列出，hcf turns 文件 可以细看",
            f"{len(quarantined)} files are left out: {named} (such as {first}); hcf status lists them, hcf turns FILE shows one",
        )
    if others := other_endings(settings.corpus_path, settings.sections.corpus.include):
        named = listed([f"{ending} {count}" for ending, count in others], call.lang, N_NAMED)
        wanted = include_for(settings.corpus_path, settings.sections.corpus.include)
        zh, en = (
            (
                f"若是文稿，请写 [corpus] include = {wanted}",
                f"if they are transcripts, write include = {wanted} under [corpus]",
            )
            if wanted
            else ("[corpus] include 决定看哪些", "[corpus] include says which are")
        )
        yield call.say(
            f"别的后缀的文件没有看：{named}（{zh}）", f"files of other endings are not looked at: {named} ({en})"
        )


def lines_left_out(call: Invocation, left_out: Mapping[str, int]) -> str:
    """The kinds of lines that are in no turn, with their number; "" where all are."""
    kinds = [f"{_LINES.get(kind, kind) if call.lang == 'zh' else kind} {n}" for kind, n in left_out.items()]
    named = listed(kinds, call.lang, 8)
    return call.say(f"没有放进发言的行：{named}", f"lines in no turn: {named}") if left_out else ""


_LINES = {
    "front matter": "文件头",
    "before the first label": "第一个称呼之前",
    "other speaker": "别的说话人",
    "no speaker": "没有写明说话人",
    "speaker in doubt": "说话人存疑",
    "noise": "杂讯",
    "heading": "标题",
    "table": "表格",
    "ruler": "分隔线",
    "image": "图片",
    "comment": "注释",
    "code block": "代码块",
    "control characters": "控制字符（个）",
}
