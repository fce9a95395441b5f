"""A question that is only about a time: 2024年3月5日聊了什么, what did he talk about last week, 聊了什么 with --since.

It has no words to search with. overview.py tells what the time was about; where chunks are asked for (`hcf retrieve`), it is
asked with the words that set that time apart (telling.py).

Whether it asks for nothing else is told by all of its words being among few: what is left beside the words for the time and
the names of the hosts has to be made of those below. 为什么, 多少, who, or any noun of its own, makes it a question like others.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from hcf_pipeline.rag.index.terms import normalise
from hcf_pipeline.rag.search.periods import Mention

_TALK = "讨论|介绍|分享|发生|聊|说|讲|谈|播|提|扯"
_SUMMARY = "总结|概括|概述|回顾|梳理|归纳|摘要|概要|要点|重点|内容|话题|主题"
_BROADCAST = "直播间|直播|节目|播客|文字稿|文稿"
_THINGS = "东西|事情|问题|事"  # are asked for with a verb of speaking alone: 有什么问题 asks for more
_CHINESE_FILLER = (
    "主播|他|她|你|您|大家|我们|我|什么|甚么|啥|哪些|哪|些|关于|方面|主要|具体|一共|到底|究竟|大概|大致|分别|全部|所有|"
    "从|自|请|帮|给|把|对|告诉|想|知道|看看|一下|做|个|下|有|是|都|在|里面|里|中|上|时候|时|期间|当|那|这|整|每|各|"
    "一|天|场|次|期|集|晚|日|的|了|过|到|起|来着|呢|吗|啊|呀|吧|嘛|和|与|还|也"
)
_CHINESE = re.compile(f"(?:{_TALK}|{_SUMMARY}|{_BROADCAST}|{_THINGS}|{_CHINESE_FILLER})*")
_CHINESE_BARE = re.compile(f"(?:{_BROADCAST}|的|那|这|当|[天场次期集晚]|里|中|上|有|了|吗|呢)*")


def _words(listed: str) -> frozenset[str]:
    return frozenset(listed.split())


_ENGLISH_ASKS = _words("what which anything everything something all")
_ENGLISH_TALK = _words(
    "talk talks talked talking say says said saying discuss discusses discussed discussing speak spoke spoken speaking cover "
    "covers covered covering mention mentioned tell told happen happens happened going"
)
_ENGLISH_SUMMARY = _words("summary summarize summarise summarized recap overview highlights gist rundown")
_ENGLISH_TOPICS = _words("topic topics subject subjects theme themes content contents points")
_ENGLISH_BROADCAST = _words(
    "show shows stream streams livestream livestreams episode episodes broadcast broadcasts podcast podcasts transcript "
    "transcripts"
)
_ENGLISH_FILLER = _words(
    "did do does was were is are has have had been be s re ve d he she they you we i it his her their your our me us the a an "
    "of on in at during for from to and about with that this these those there then please can could would give show list want "
    "know main key big any some host hosts streamer everyone people up so far earlier over through"
)
_ENGLISH = _ENGLISH_ASKS | _ENGLISH_TALK | _ENGLISH_SUMMARY | _ENGLISH_TOPICS | _ENGLISH_BROADCAST | _ENGLISH_FILLER
_ENGLISH_BARE = _ENGLISH_BROADCAST | {"the", "on", "in", "of", "from", "that", "s"}
_ABOUT_IT = re.compile(r"\b(?:about|of|on|with|to) (?:it|that|this|these|those|you|me|us|everyone|people)\s*$")
_ENGLISH_WORD = re.compile("[a-z]+")


def asks_only_when(text: str, mentions: Sequence[Mention], names: Sequence[str] = ()) -> bool:
    """Whether a text asks for nothing but what was said, beside its words for a time and the names of who says it.

    A time alone, or a broadcast of it (上周的直播), asks for that.
    """
    rest, at = "", 0
    for mention in mentions:
        rest += text[at : mention.start] + "\n"
        at = mention.end
    rest = _without_names(rest + text[at:], names)
    compared = normalise(rest).replace("\n", "")
    if not compared:
        return bool(mentions)
    if compared.isascii():
        return _asks_in_english(rest.lower(), bare=bool(mentions))
    if not _CHINESE.fullmatch(compared):
        return False
    if mentions and _CHINESE_BARE.fullmatch(compared):
        return True
    talks = bool(re.search(_TALK, re.sub(_BROADCAST, "", compared)))
    summary = bool(re.search(_SUMMARY, compared))
    asks = bool(re.search("什么|甚么|啥|哪些|些|吗", compared))
    return (talks and asks) or (summary and not re.search(_THINGS, compared))


def _asks_in_english(rest: str, *, bare: bool) -> bool:
    words = _ENGLISH_WORD.findall(rest)
    if not set(words) <= _ENGLISH or any(c.isdigit() for c in rest):
        return False
    if bare and set(words) <= _ENGLISH_BARE:
        return True
    said = set(words)
    if _ABOUT_IT.search(" ".join(words)):  # what was said before, in a conversation
        return False
    asks = bool(said & _ENGLISH_ASKS)
    about = asks and "about" in said and bool(said & (_ENGLISH_BROADCAST | {"it"}))
    topics = bool(said & _ENGLISH_TOPICS) and bool(said & (_ENGLISH_ASKS | {"list", "give", "show"}))
    return bool(said & _ENGLISH_SUMMARY) or (asks and bool(said & _ENGLISH_TALK)) or about or topics


def _without_names(text: str, names: Sequence[str]) -> str:
    """Without the hosts' names; of a name of several words without each of them."""
    for name in names:
        text = re.sub(re.escape(name), "\n", text, flags=re.IGNORECASE)
        for part in re.findall(r"[A-Za-z]{3,}", name):
            text = re.sub(rf"\b{part}\b", "\n", text, flags=re.IGNORECASE)
    return text
