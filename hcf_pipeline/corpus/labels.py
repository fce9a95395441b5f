"""What stands before a colon at the start of a line: a speaker's label, or words.

Labels that are set are certain. Of any other line start that has the shape of a label, one transcript alone tells only
so much, and the rule is:

* a number, a time, an ordinal, a connective or a clause ("第二：", "下午12：30", "注意：", "我的意思是：") is words;
* what begins a line in two different turns recurs as a speaker does, and is one;
* so does what takes turns with other such labels three times where nobody known speaks: the names of that file are others;
* so is what stands between two turns of one and the same speaker, in a transcript where nobody else follows himself:
  it asked, and got the answer;
* anything else is words, and in doubt.

Limits: a noun that recurs at line starts ("价格：" in two answers) is taken for a speaker, and a speaker with a single
turn that nobody answers for words. Both are reported, neither is learnt from, and settings decide: `guest_labels` or
`other_labels` for speakers, `not_labels` for words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

# A name: at most three words without punctuation, and a letter among them. No clock time, no address (`://`).
_SIGN = r"\u2190-\u2bff\U0001f000-\U0001faff\ufe0f\u200d"  # arrows, symbols, emoji
_WORD = rf"(?:[A-Za-z][A-Za-z.'’\-]{{0,19}}|[\w{_SIGN}@&(（\[][\w{_SIGN}·・.'’@&()（）\[\]\-]{{0,11}})"
_LABEL = re.compile(rf"(?=[^：:]{{0,60}}?[^\W\d_])({_WORD}(?: {_WORD}){{0,2}})[ \t\u3000]*[：:](?!//)")

_BETWEEN_DIGITS = re.compile(r"\d[：:]\d{1,2}(?!\d)")  # a time or a score: 下午12：30, 比分3：2

_NUMERALS = "一二三四五六七八九十百两几"
_CONNECTIVES = (
    "注意 记住 所以 因此 于是 因为 由于 但是 但 不过 然而 可是 而且 并且 或者 如果 假如 比如 例如 譬如 比如说 举例 举个例子 "
    "首先 其次 再次 然后 最后 接着 另外 此外 还有 再有 同时 总之 总的来说 总体来说 综上 总结 小结 结论 结果 原因 理由 "
    "补充 备注 附注 附 说明 解释 提示 提醒 重点 要点 关键 意思 也就是 也就是说 换句话说 换言之 简单说 简单来说 具体来说 "
    "具体 一句话 其中 前者 后者 以上 以下 如下 "
    "note notes nb ps p.s. example for.example e.g. i.e. first firstly second secondly third thirdly next then finally last "
    "so but because and or also however therefore thus summary conclusion result reason important remember"
)
_PLAIN = re.compile(
    rf"第[{_NUMERALS}\d]+\w{{0,2}}|其?(?!(.)\1)[{_NUMERALS}]+(?:是|来|则)?"  # 第一, 第二点, 其三, 一, 二是; not the name 七七
    rf"|.*(?:[{_NUMERALS}\d][点时]半?|\d[分秒年月日元块岁]|月[{_NUMERALS}\d]+[号日])"  # 晚上8点, 3月5号
    r"|.+(?:(?<![解小])说|(?<![提顾])问|喊|曰|写|是|说道|问道)|如下|.+(?:如下|包括)"  # 他跟我说, 结论是; not 解说 nor 提问
    r"|(?:i|he|she|it|we|you|they|this|that|there|what|who|which|here)(?:['’]\w{1,2})? .*"
    # not the names An Nguyen, In Young, Nguyen Van A: the next word of a clause is in small letters
    r"|(?:to|a|an|my|your|his|her|our|their|if|when|why|how|let|let['’]s|in|on|for|with|of|by|from|as|at|not|no) (?-i:[a-z]).*"
    r"|.* (?:said|says?|asks?|asked|is|are|was|were|be|(?-i:that|this|the|a|an|of|to))"
    rf"|{'|'.join(re.escape(word).replace(re.escape('.'), '[ .]') for word in _CONNECTIVES.split())}",
    re.IGNORECASE,
)

MIN_EXCHANGES = 3  # times that an unknown label has to come back after another one, where nobody known speaks between
MIN_TURNS_A_REPEAT = 10  # where a speaker follows himself more often, labels are repeated as it comes


def label_at_start(line: str) -> re.Match[str] | None:
    """The match of what may be an unknown speaker's label at the start of a line, its name in group 1."""
    found = _LABEL.match(line)
    if found is None or _BETWEEN_DIGITS.match(line, found.end(1) - 1) or _is_plain(found[1]):
        return None
    return found


def is_words(name: str) -> bool:
    """Whether what stands where a label stands can be nobody's name: a number, a time, a connective, a clause."""
    return not any(sign.isalpha() or sign > "\u2190" for sign in name) or _is_plain(name)


@lru_cache(maxsize=4096)
def _is_plain(name: str) -> bool:
    """Remembered, for labels recur and the pattern is long."""
    return bool(_PLAIN.fullmatch(name))


class LabelPlace(NamedTuple):
    """Where a line of an unknown label stands."""

    n_turns: int  # of known speakers before it
    n_changes: int  # from one unknown label to another before it


def recurs(places: Sequence[LabelPlace]) -> bool:
    """Whether an unknown label comes back as a speaker does, to judge by the places of its lines."""
    return len({place.n_turns for place in places}) > 1 or len({place.n_changes for place in places}) >= MIN_EXCHANGES


def other_speakers(places: Mapping[str, Sequence[LabelPlace]], labels: Sequence[str]) -> frozenset[str]:
    """Which of the unknown labels of one transcript are speakers.

    `places` has the place of each line of an unknown label; `labels` are the known speakers' of the turns, in order.
    """
    taken = {place.n_turns for of_label in places.values() for place in of_label}
    follows_himself = {n for n, (before, after) in enumerate(pairwise(labels), 1) if before == after}
    takes_turns = len(follows_himself - taken) * MIN_TURNS_A_REPEAT <= len(labels)
    return frozenset(
        label
        for label, of_label in places.items()
        if recurs(of_label) or (takes_turns and not follows_himself.isdisjoint(place.n_turns for place in of_label))
    )
