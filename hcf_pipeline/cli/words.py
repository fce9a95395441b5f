"""Words of the domain in both languages, for what code keeps in English."""

from __future__ import annotations

from hcf_pipeline.corpus import tables, walk
from hcf_pipeline.errors import Lang

STATES = {
    "fresh": (("新", "fresh"), "green"),
    "stale": (("过期", "stale"), "yellow"),
    "missing": (("没有", "missing"), "red"),
    "off": (("关闭", "off"), "dim"),
}

_REFUSALS = {
    walk.LINK_OUT: "链接指向文稿目录之外",
    walk.LINK_LOOP: "链接成环",
    walk.LINK_BROKEN: "链接已断",
    walk.UNREADABLE: "读不了",
    walk.NAME_NOT_UTF8: "文件名不是 UTF-8 编码",
    tables.UNKNOWN_ENCODING: "不是 UTF-8、UTF-16、GB18030、Big5 中的任何一种编码",
    tables.NO_SPEAKERS: "里面没有写明是谁说的",
    tables.EMPTY: "空文件",
    tables.NO_TURN: "没有一行以已知称呼开头",
    tables.TOO_LARGE: "文件太大",
}


def refusal(reason: str, lang: Lang) -> str:
    """Why a file was left out."""
    if lang == "en":
        return reason
    for known, words in _REFUSALS.items():
        if reason.startswith(known):
            return words + reason.removeprefix(known)
    return reason
