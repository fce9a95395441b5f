"""Who opens a turn at the start of a line: a name with whatever people put round it, and a time beside it.

    Name: words          **Name:** words       - Name: words       [00:12] Name: words      Name (00:12): words
    【Name】words         <Name> words          Name<tab>words      ### Name                 Name 00:12

Every pattern looks at most at the first hundred characters of a line, so a pass over a file is linear. What a head is
worth is another's question: transcript.py knows the labels that are set, survey.py those that recur.

The patterns are long, and most lines are not worth them: a part that may be absent is tried only where its first sign
stands, what cannot be a head is refused at a glance, and what stands before the words of a line is read once and
remembered, for the same few names open all turns.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from hcf_pipeline.corpus.forms.names import BRACKET, HEADING, LABEL, NAME, NAME_TIME, TAB
from hcf_pipeline.corpus.forms.times import HALF_BEGINS, IS_STAMP, STAMP, bare_stamp, is_stamp

MAX_LABEL = 40


class Shape(StrEnum):
    """What stands round the name, in the order in which it tells of a speaker."""

    PLAIN = "label"  # Name: words
    MARKED = "bold"  # **Name:** words
    TIMED = "time"  # [00:12] Name: words
    BRACKET = "bracket"  # 【Name】words
    TAB = "tab"  # Name<tab>words
    NAME_TIME = "name and time"  # a line of its own: Name 00:12
    HEADING = "heading"  # a line of its own: ### Name
    NAME = "name"  # a line of its own: Name


class Head(NamedTuple):
    label: str
    stamp: str  # "" where no time stands there
    text: str  # the words on the same line
    shape: Shape


_BULLETS = r"(?:(?:[-+•·‣◦>]|\*(?=\s)|\d{1,4}[.)、](?!\d))\s*)*"
_MARK, _UNMARK = r"(?:\*{1,3}|_{1,3}|<(?:strong|b|em|i|u)>)", r"(?:\*{1,3}|_{1,3}|</(?:strong|b|em|i|u)>)+"
_UNTIL = rf"(?:\s*(?:-->|[-–—~至])\s*{STAMP})?"
_TIME_BEFORE = (
    rf"(?:(?=[\s\d\[(（【<{{{HALF_BEGINS}])[\[(（【<{{]?\s*(?P<before>{STAMP}){_UNTIL}\s*[\])）】>}}]?"
    r"[\s,，]*(?:[-–—|]\s*)?)?"
)
_TIME_AFTER = rf"(?=[\s\d,，\[(（【<{HALF_BEGINS}])[\s,，]*[\[(（【<]?\s*(?P<after>{STAMP}){_UNTIL}\s*[\])）】>]?"
_FIRST = r"[^\s:：*_#<>«»|\[\]【】“”\"'‘’。，、,！？!?；;`~.\-—–()（）\\/=+]"
_LATER = r"[^:：\t\n<>【】|“”\"。！？!?；;，,\\=]"
_NAME = rf"(?:{_FIRST}{_LATER}{{0,{MAX_LABEL - 1}}}?)"

_PLAIN = re.compile(rf"{_BULLETS}{_TIME_BEFORE}(?P<label>{_NAME})(?:{_TIME_AFTER})?[ \t\u3000]*[:：](?!//)\s*")
_MARKED = re.compile(
    rf"{_BULLETS}{_TIME_BEFORE}{_MARK}\s*{_TIME_BEFORE.replace('before', 'inside')}(?P<label>{_NAME})"
    rf"(?:{_TIME_AFTER})?\s*(?P<colon>[:：])?\s*{_UNMARK}(?P<role>[ ]?[(（][^()（）:：]{{1,30}}[)）])?"
    rf"(?:{_TIME_AFTER.replace('after', 'behind')})?\s*(?P<colon2>[:：])?\s*"
)
_BRACKET = re.compile(
    rf"{_BULLETS}{_TIME_BEFORE}(?:【(?P<a>[^】\n]{{1,{MAX_LABEL}}})】|\[(?P<b>[^\]\n]{{1,{MAX_LABEL}}})\](?!\()"
    rf"|<(?P<c>[^<>/\n][^<>\n]{{0,{MAX_LABEL}}})>|«(?P<d>[^»\n]{{1,{MAX_LABEL}}})»|《(?P<e>[^》\n]{{1,{MAX_LABEL}}})》(?=\s*[:：]))"
    rf"(?:{_TIME_AFTER})?\s*(?P<colon>[:：])?\s*"
)
_TAB = re.compile(rf"{_TIME_BEFORE}(?P<label>{_NAME})[ ]*(?:\t\s*[\[(]?(?P<after>{STAMP})[\])]?\s*)?\t\s*(?=\S)")
_TIMED_NAME = re.compile(
    rf"{_BULLETS}(?:#{{1,6}}[ \t]+)?{_MARK}?(?:(?P<label>{_NAME}){_UNMARK[:-1]}*{_TIME_AFTER}"
    rf"|{_TIME_BEFORE[:-1]}{_MARK}?(?P<label2>{_FIRST}{_LATER}{{0,{MAX_LABEL - 1}}}))\s*{_UNMARK[:-1]}*$"
)
_HEADING = re.compile(rf"#{{1,6}}[ \t]+{_MARK}?(?P<label>{_NAME})\s*[:：]?\s*{_UNMARK[:-1]}*[ \t:：]*$")
# a line that ends in no sign, colon or mark is a name as a whole, or none: its end is not looked for sign by sign
_ALONE = re.compile(
    rf"{_MARK}?(?P<label>{_FIRST}{_LATER}{{0,{MAX_LABEL - 1}}}+(?<![\s:：*_>])$|{_NAME})\s*[:：]?\s*{_UNMARK[:-1]}*$"
)

_MAY_HAVE_COLON = re.compile(r"[^:：]{0,90}[:：]")
_BETWEEN_DIGITS = re.compile(r"\d[：:]\d{1,2}(?!\d)")  # a time or a score: 下午12：30, 比分3：2
ROLE_ENDS = (")", "）", "]", "］")
_ROLE = re.compile(r"[ ]?(?:[(（][^()（）]*[)）]|\[[^\[\]]*\]|［[^［］]*］)$")

Reader = Callable[[str], Head | None]


def without_role(label: str) -> str:
    """`Ann (host)` is Ann."""
    return _ROLE.sub("", label)


def role_of(label: str) -> str:
    """`host` of `Ann (host)`; "" where nothing stands in brackets."""
    found = _ROLE.search(label)
    return found[0].strip(" ()（）[]［］") if found else ""


def matched_inline_head(line: str) -> Head | None:
    """The head of a stripped line that has a colon, or a name in bold or italics, before its words."""
    if _MAY_HAVE_COLON.match(line) is None:
        return None
    if found := _marked(line):
        return found
    if (found_ := _BRACKET.match(line)) and found_["colon"] and not _is_time(found_):
        return _bracket(line, found_)
    plain = _PLAIN.match(line)
    if plain is None or _BETWEEN_DIGITS.match(line, max(plain.end("label"), plain.end("after")) - 1):
        return None
    label, text = plain["label"].rstrip(), line[plain.end() :]
    stamp = plain["before"] or plain["after"] or ""
    if not stamp and text and is_stamp(text):
        stamp, text = bare_stamp(text), ""  # the words are on the lines below
    return Head(label, stamp, text, Shape.TIMED if stamp else Shape.PLAIN)


# What stands before the words of a line, up to a colon, a tab or a bracket, where the words begin with a letter that no
# time begins with: no pattern here looks beyond that letter. The colon is not one of a time, for no digit follows.
_WORDS = rf"\s*+(?=[^\W\d_{HALF_BEGINS}至])"
_NO_SIGN = r"[^:：\t\[【<«《\n]"  # of those that may close behind that letter
_BEFORE_WORDS = re.compile(
    rf"(?:{_NO_SIGN}{{1,60}}+(?:[:：][*_]{{0,3}}|\t)|[【\[<«][^\[\]【】<>«»《》:：\n]{{1,{MAX_LABEL}}}[】\]>»]){_WORDS}"
)
# A clock and what stands between it and the words, or the end of the line; and what may stand round it
_CLOCK_AND_MORE = re.compile(
    rf"(\d\d?:\d\d(?::\d\d)?)(?![\d:：]|[.,]\d)([^:：\n]{{0,60}}+(?:$|[:：][*_]{{0,3}}{_WORDS}))"
)
_BEFORE_CLOCK = re.compile(rf"{_NO_SIGN}*(?:(?P<open>\[)[^:：\[\]【<«《\n]*)?(?<!\d)")
_BEHIND_CLOCK = re.compile(rf"{_NO_SIGN}*(?:[:：][*_]{{0,3}}\s*)?")
_ZEROS = {len(zeros): zeros for zeros in ("0:00", "00:00", "0:00:00", "00:00:00")}
_new = tuple.__new__  # a NamedTuple's own constructor takes twice the time


def remembering(read: Reader, begins: Collection[str] = ()) -> Reader:
    """The same heads; what stands before the words is read once, with zeros for its time, whatever lines have it.

    `begins` has all signs that a line with a head may begin with; digits may always.
    """

    @lru_cache(maxsize=4096)
    def head_of(before: str) -> tuple[str, Shape, int] | None:
        head = read(line := f"{before}x")
        if head is None or head.stamp or not head.text.endswith("x"):
            return None
        return head.label, head.shape, len(line) - len(head.text)

    @lru_cache(maxsize=4096)
    def timed_head_of(before: str, n_of_clock: int, behind: str) -> tuple[str, str, str, Shape, int] | None:
        around = _BEFORE_CLOCK.fullmatch(before)
        if not (around and _BEHIND_CLOCK.fullmatch(behind) and (not around["open"] or behind.startswith("]"))):
            return None
        zeros, words = _ZEROS[n_of_clock], "x" if ":" in behind or "：" in behind else ""
        head = read(line := f"{before}{zeros}{behind}{words}")
        if head is None or zeros not in head.stamp or not head.text.endswith(words):
            return None
        day, _, half = head.stamp.partition(zeros)
        return head.label, day, half, head.shape, len(line) - len(head.text)

    read_short = lru_cache(maxsize=4096)(read)  # a name on a line of its own

    def read_or_remember(line: str) -> Head | None:
        if begins and line[0] not in begins and not line[0].isdecimal():
            return None
        if found := _BEFORE_WORDS.match(line):
            if known := head_of(found[0]):
                label, shape, begin = known
                return _new(Head, (label, "", line[begin:], shape))
        elif (colon := line.find(":", 1, 60)) > 0:
            begin = colon - 2 if line[colon - 2 : colon].isdecimal() else colon - 1
            found = _CLOCK_AND_MORE.match(line, begin)
            if found and (timed := timed_head_of(line[:begin], len(found[1]), found[2])):
                clock = found[1]
                label, day, half, shape, begin = timed
                return _new(Head, (label, f"{day}{clock}{half}" if day or half else clock, line[begin:], shape))
        return read_short(line) if len(line) <= MAX_LABEL + 8 else read(line)

    return read_or_remember


def _marked(line: str) -> Head | None:
    if not ("*" in line[:60] or "_" in line[:60] or "<" in line[:60]):
        return None
    found = _MARKED.match(line)
    if found is None or not (found["colon"] or found["colon2"] or found["before"] or found["inside"]):
        return None
    stamp = found["before"] or found["inside"] or found["after"] or found["behind"] or ""
    text = line[found.end() :]
    if text and found["behind"] and found["colon"] and line[(at := found.start("behind")) - 1] not in "[(（【<":
        stamp, text = (
            found["before"] or found["inside"] or found["after"] or "",
            line[at:],
        )  # **Ann:** 1:30 is fine for me
    elif not stamp and text and is_stamp(text):
        stamp, text = bare_stamp(text), ""
    return Head(found["label"].rstrip(), stamp, text, Shape.MARKED)


def _is_time(found: re.Match[str]) -> bool:
    return any(value and IS_STAMP.fullmatch(value) for value in found.group("a", "b", "c", "d", "e"))


def _bracket(line: str, found: re.Match[str]) -> Head | None:
    label = next(value for value in found.group("a", "b", "c", "d", "e") if value).strip()
    return Head(label, found["before"] or found["after"] or "", line[found.end() :], Shape.BRACKET) if label else None


def bracket_head(line: str) -> Head | None:
    """Also a name in brackets without a colon."""
    found = _BRACKET.match(line)
    return inline_head(line) if found is None or _is_time(found) else _bracket(line, found)


def tab_head(line: str) -> Head | None:
    """Also a name before a tab."""
    found = _TAB.match(line) if "\t" in line[:90] else None
    if found is None:
        return inline_head(line)
    return Head(found["label"].rstrip(), found["before"] or found["after"] or "", line[found.end() :], Shape.TAB)


def timed_name_head(line: str) -> Head | None:
    """Also a name with a time on a line of its own, and nothing else there."""
    if len(line) < 100 and not IS_STAMP.fullmatch(line) and (found := _TIMED_NAME.match(line)):
        label = (found["label"] or found["label2"]).rstrip(" *_\t")
        return Head(label.rstrip(":：").rstrip(), found["after"] or found["before"] or "", "", Shape.NAME_TIME)
    return inline_head(line)


def heading_head(line: str) -> Head | None:
    """Also a name as a heading."""
    if line[:1] == "#" and len(line) < 100 and (found := _HEADING.match(line)):
        return Head(found["label"].rstrip(" *_"), "", "", Shape.HEADING)
    return timed_name_head(line)


def name_head(line: str) -> Head | None:
    """Also a name that is all there is on a line."""
    if len(line) <= MAX_LABEL + 8 and (found := _ALONE.match(line)):
        return Head(found["label"].rstrip(" *_"), "", "", Shape.NAME)
    return timed_name_head(line)


inline_head = remembering(matched_inline_head)

READERS: dict[str, Reader] = {
    LABEL: inline_head,
    BRACKET: bracket_head,
    TAB: tab_head,
    NAME_TIME: timed_name_head,
    HEADING: heading_head,
    NAME: name_head,
}
SHAPES_OF = {
    BRACKET: {Shape.BRACKET},
    TAB: {Shape.TAB},
    NAME_TIME: {Shape.NAME_TIME},
    HEADING: {Shape.NAME_TIME, Shape.HEADING},
    NAME: {Shape.NAME_TIME, Shape.NAME},
}
_STRONG = frozenset({Shape.MARKED, Shape.TIMED, Shape.BRACKET})


def is_url(text: str) -> bool:
    """Whether a text is an address and no more: `Proposal: https://…` names a page, and is nobody's turn."""
    return text.startswith(("http://", "https://", "<http")) and " " not in text


def is_strong(head: Head, form: str) -> bool:
    """Whether nothing but a speaker is written like that in a file of this form."""
    return head.shape in _STRONG or (head.shape is not Shape.NAME and head.shape in SHAPES_OF.get(form, ()))


_NONE: frozenset[str] = frozenset()
_EDGES = frozenset("0123456789)]）】>[(（*")
_PRECEDES = frozenset("0123456789[(（【<«《{*_-+•·‣◦>")  # what a bullet, a sign or a time before a name begins with
_UP_TO_COLON = re.compile(rf"{_FIRST}{_LATER}{{0,80}}[:：](?!//)(?!(?<=\d[:：])\d\d?(?!\d))|[^:：]{{1,60}}\d[:：]\d\d")
_SHORT = re.compile(rf"{_MARK}?{_FIRST}{_LATER}{{0,{MAX_LABEL + 4}}}[:：]?[*_]*")
_BEGINS: dict[str, frozenset[str]] = {
    BRACKET: frozenset("【[<«《0123456789-*>"),
    HEADING: frozenset("#"),
}
_BEFORE_KNOWN = frozenset(f"[(（*_【<«#{HALF_BEGINS}")  # with digits: what a time or a sign before a name begins with


def known_head(names: Sequence[str], *forms: str) -> Reader:
    """The head of a line that one of these names opens in one of the forms, in the usual ways: quicker than READERS."""
    any_name = "|".join(map(re.escape, sorted(names, key=len, reverse=True)))
    begins = _BEFORE_KNOWN.union(name[0] for name in names)
    quick = re.compile(
        rf"(?:(?=[\d\[(（{HALF_BEGINS}])[\[(（]?(?P<before>{STAMP})[\])）]?[ \t]*(?:-[ ])?)?"
        rf"(?P<mark>\*{{1,3}}|_{{1,2}}|[【\[<«]|\#{{1,6}}[ ](?:\*{{1,3}})?)?(?P<label>{any_name})"
        rf"(?P<inside>[:：])?(?:\*{{1,3}}|_{{1,2}}|[】\]>»])?"
        rf"(?:(?=[ \t\d\[(（{HALF_BEGINS}])[ \t]*[\[(（]?(?P<after>{STAMP})[\])）]?(?=[ \t]*(?:[:：]|$)))?"
        rf"[ \t\u3000]*(?P<colon>[:：])?(?!//)(?(mark)(?:\*{{1,3}}|_{{1,2}})?)\s*"
    )
    shapes = frozenset(shape for form in forms for shape in SHAPES_OF.get(form, ()))

    def read(line: str) -> Head | None:  # noqa: PLR0911 (a way to open a turn each)
        found = quick.match(line)
        if found is None:
            return None
        before, mark, label, inside, after, colon = found.groups()
        stamp, text = before or after or "", line[found.end() :]
        if inside or colon:
            if not stamp and text and is_stamp(text):
                stamp, text = bare_stamp(text), ""
            return Head(label, stamp, text, Shape.TIMED if stamp else Shape.PLAIN)
        if mark and mark[0] in "*_" and before:
            return Head(label, stamp, text, Shape.MARKED)
        if mark and mark in "【[<«" and Shape.BRACKET in shapes:
            return Head(label, stamp, text, Shape.BRACKET)
        if Shape.TAB in shapes and text and "\t" in line[found.end("label") : found.end()]:
            return Head(label, stamp, text, Shape.TAB)
        if text:
            return None
        if stamp and Shape.NAME_TIME in shapes:
            return Head(label, stamp, "", Shape.NAME_TIME)
        if mark and mark[0] == "#" and Shape.HEADING in shapes:
            return Head(label, stamp, "", Shape.HEADING)
        return Head(label, stamp, "", Shape.NAME) if Shape.NAME in shapes else None

    return remembering(read, begins)


def any_head(form: str) -> Reader:
    """The head of a line that any name may open in this form. Lines that cannot be one are refused at a glance."""
    reader, shapes = remembering(READERS[form]), SHAPES_OF.get(form, set())
    times, names, tabs = Shape.NAME_TIME in shapes, Shape.NAME in shapes, Shape.TAB in shapes
    begins = _BEGINS.get(form, _NONE)

    def read(line: str) -> Head | None:
        first = line[0]
        if (
            first in begins
            or (times and len(line) < 100 and (first in _EDGES or line[-1] in _EDGES))
            or (names and len(line) <= MAX_LABEL + 8 and _SHORT.fullmatch(line))
            or (tabs and "\t" in line[:90])
        ):
            return reader(line)
        if ":" not in line and "：" not in line:  # of most lines: a look that needs no copy
            return None
        if (":" in line[:90] or "：" in line[:90]) and (first in _PRECEDES or _UP_TO_COLON.match(line)):
            return inline_head(line)
        return None

    return read
