"""A question that is only about a time: 2024年3月5日聊了什么, 聊了什么 with --since and --until.

It has no words to search with, so it is asked with those of that time: the pairs of characters that are told of then, and
hardly ever else. By them the chunks are ranked and the quotations chosen, as for any question.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from hcf_pipeline.rag.arrays import Ids
from hcf_pipeline.rag.index.bm25 import LexicalIndex, QueryTerms
from hcf_pipeline.rag.index.terms import normalise
from hcf_pipeline.rag.search.dates import Mention

N_TERMS = 24
MOST_ROWS = 400  # chunks of the time that are looked at, evenly spread

_CHINESE = re.compile(
    r"[在那这当]?(?:[一的]?[天场次期晚日])?(?:的)?(?:直播|节目|播客|文稿)?[里中上时]?(?:主播|他|她|你|大家)?(?:都|主要|具体|一共|到底|在)*"
    r"(?:[聊说說讲講谈談播提]|讨论|討論|提到)[到过過了起的]*(?:一?些|哪些|了)?(?:哪些|啥|什么|什麼|甚么|些什么)(?:内容|內容|话题|話題|东西|主题|事情|事|问题)?"
    r"[呢吗啊呀来着]*"
)
_ENGLISH = re.compile(
    r"what(?:did|does|do)(?:he|she|they|you|we|it)?(?:talk|speak|say|discuss|tell|cover)s?(?:about)?(?:on|in|at|during)?"
    r"|what(?:was|is)(?:said|discussed|told|(?:talked|spoken)about)(?:on|in|at|during)?"
    r"|(?:on|in|during)what(?:did|was)(?:he|she|they)?(?:talk|say|discuss|said|discussed)(?:about)?"
)


def asks_only_when(text: str, mentions: Sequence[Mention], names: Sequence[str] = ()) -> bool:
    """Whether a text asks for nothing but what was said, beside its words for a time and the names of who says it."""
    rest, at = "", 0
    for mention in mentions:
        rest += text[at : mention.start]
        at = mention.end
    rest = normalise(rest + text[at:]).replace("\n", "")
    for name in names:
        rest = rest.replace(normalise(name), "")
    return bool(_CHINESE.fullmatch(rest) or _ENGLISH.fullmatch(rest))


def telling_terms(lexical: LexicalIndex, rows: Ids, texts: Sequence[str]) -> QueryTerms:
    """The pairs of characters that tell most of some texts: often there, and in few others. `rows` are theirs, ascending."""
    found = lexical.ask("\n".join(texts))
    often = lexical.counts(found.matches, rows).sum(axis=0)
    worth = np.where(found.is_pair, np.log1p(np.maximum(often - 1, 0)) * found.idf, 0.0)
    if not worth.any():  # nothing is said twice
        worth = np.where(found.is_pair, found.idf, 0.0)
    terms = np.sort(found.terms[np.argsort(-worth, kind="stable")[:N_TERMS]])
    return QueryTerms(terms, lexical.idf(terms), lexical.find(terms))
