"""Which days a question speaks of: 2024年5月, 去年年底, 上个月, 三个月前, 最近.

Only words that name a time outright count; 现在 and 以后 do not, nor durations (工作十年). Relative words are meant from a
reference day; 最近 and its kin, and a month without its year, from the newest broadcast where that is older: nobody means
the weeks since, or a March that there is nothing of.
"""

from __future__ import annotations

import calendar
import datetime
import re
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

Span: TypeAlias = tuple[datetime.date | None, datetime.date | None]  # first and last day, both inclusive
EVER: Span = (None, None)

RECENT_DAYS = 60  # 最近
THESE_DAYS = 14  # 这几天
AGO_SHARE = 6  # 两年前 is meant to a sixth of two years, either way


class Period(NamedTuple):
    """Both days inclusive."""

    since: datetime.date
    until: datetime.date

    @property
    def is_short(self) -> bool:
        """A day or a week."""
        return (self.until - self.since).days < 7


class _Now(NamedTuple):
    today: datetime.date
    newest: datetime.date  # the last day up to today that there may be a broadcast of


def periods_in(question: str, today: datetime.date, newest: datetime.date | None = None) -> list[Period]:
    """The periods that a question names, in the order of its words; none where it names none.

    `newest` is the day of the newest broadcast. A month without its year is the last one up to that day.
    """
    now = _Now(today, min(today, newest or today))
    found: list[Period] = []
    for words in _EXPRESSION.finditer(question):
        rule = next(name for name in _RULES if words[name] is not None)
        period = _RULES[rule](words, now)
        if period:
            found.append(period)
    return found


_DIGITS = {c: n for n, c in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2, "半": 0.5}
_N = "(?:[0-9]{1,3}|[一二三四五六七八九]?十[一二三四五六七八九]?|[零〇一二两三四五六七八九]{1,3})"
_YEAR_WORDS = {"今年": 0, "本年": 0, "去年": 1, "上一年": 1, "前年": 2, "大前年": 3}
_DAY_WORDS = {"今天": 0, "今晚": 0, "昨天": 1, "昨晚": 1, "前天": 2, "大前天": 3}
_PARTS = {
    "上半年": (1, 6),
    "下半年": (7, 12),
    "年初": (1, 2),
    "年中": (5, 8),
    "年底": (11, 12),
    "年末": (11, 12),
    "春天": (3, 5),
    "夏天": (6, 8),
    "秋天": (9, 11),
    "冬天": (11, 12),
}
_PART = "|".join(_PARTS)
_EXPRESSION = re.compile(
    rf"""
    (?P<day>(?:(?P<y1>(?:19|20)\d\d)[年\-/.]|(?P<r1>大前年|今年|去年|前年)的?)?(?P<m1>{_N})[月\-/.](?P<d1>{_N})[日号])
  | (?P<iso>(?<!\d)(?P<y2>(?:19|20)\d\d)[\-/.](?P<m2>\d\d?)(?:[\-/.](?P<d2>\d\d?))?(?!\d))
  | (?P<month>(?:(?P<y3>(?:19|20)\d\d|(?<!\d)\d\d|[一二][零〇九][零〇一二三四五六七八九]{{2}})年|(?P<r3>大前年|今年|去年|前年)的?)?
      (?<!\d)(?P<m3>1[0-2]|[1-9]|十[一二]?|[一二三四五六七八九])月份?(?![一二三四五六七八九十\d]*[日号]|天(?!气)))
  | (?P<part>(?:(?P<y4>(?:19|20)\d\d|(?<!\d)\d\d)年?|(?P<r4>大前年|今年|去年|前年)的?)?(?P<p4>{_PART}))
  | (?P<year>(?P<y5>(?:19|20)\d\d|[一二][零〇九][零〇一二三四五六七八九]{{2}})年(?!级)|(?P<r5>大前年|今年|去年|前年|上一年))
  | (?P<ago>(?P<n6>{_N}|半)(?:个)?(?P<u6>年|月|星期|周|礼拜|天)(?:以|之)?前)
  | (?P<last>(?:最近|近|过去|这)(?:的)?(?P<n7>{_N}|半|几)(?:个)?(?P<u7>年|月|星期|周|礼拜|天)(?!前))
  | (?P<this>(?P<w8>这个?|本|上上个?|上个?)(?P<u8>月|星期|周|礼拜)(?![一二三四五六日天末]))
  | (?P<name>大前天|前天|昨天|昨晚|今天|今晚)
  | (?P<recent>最近|近期|近来|前段时间|前一阵|前阵子|这阵子|这段时间|这几天|刚刚播的|上一场|上次直播)
    """,
    re.VERBOSE,
)
_UNIT_DAYS = {"年": 365.25, "月": 30.44, "星期": 7.0, "周": 7.0, "礼拜": 7.0, "天": 1.0}


def _number(text: str) -> float:
    if text.isdecimal():
        return int(text)
    if text == "几":
        return 3
    if "十" in text:
        tens, _, ones = text.partition("十")
        return (_DIGITS[tens] if tens else 1) * 10 + (_DIGITS[ones] if ones else 0)
    if len(text) > 1:
        return int("".join(str(_DIGITS.get(c, c)) for c in text))
    return _DIGITS[text]


def _year(written: str | None, word: str | None, now: _Now) -> int | None:
    if word:
        return now.today.year - _YEAR_WORDS[word]
    if written is None:
        return None
    year = int(_number(written))
    return year + 2000 if year < 100 else year


def _months(year: int, first: int, last: int) -> Period | None:
    if not (1 <= first <= last <= 12 and 1 <= year <= 9999):
        return None
    return Period(datetime.date(year, first, 1), datetime.date(year, last, calendar.monthrange(year, last)[1]))


def _day(words: re.Match[str], now: _Now) -> Period | None:
    year = _year(words["y1"], words["r1"], now)
    month, day = int(_number(words["m1"])), int(_number(words["d1"]))
    try:
        found = datetime.date(year or now.newest.year, month, day)
        if year is None and found > now.newest:
            found = found.replace(year=now.newest.year - 1)
    except ValueError:
        return None
    return Period(found, found)


def _iso(words: re.Match[str], _: _Now) -> Period | None:
    year, month = int(words["y2"]), int(words["m2"])
    if words["d2"] is None:
        return _months(year, month, month)
    try:
        found = datetime.date(year, month, int(words["d2"]))
    except ValueError:
        return None
    return Period(found, found)


def _month(words: re.Match[str], now: _Now) -> Period | None:
    month = int(_number(words["m3"]))
    year = _year(words["y3"], words["r3"], now) or now.newest.year - (month > now.newest.month)
    return _months(year, month, month)


def _part(words: re.Match[str], now: _Now) -> Period | None:
    first, last = _PARTS[words["p4"]]
    year = _year(words["y4"], words["r4"], now) or now.newest.year - (first > now.newest.month)
    period = _months(year, first, last)
    if period and words["p4"] == "冬天":
        return Period(period.since, _months(year + 1, 1, 2).until)  # type: ignore[union-attr]
    return period


def _whole_year(words: re.Match[str], now: _Now) -> Period | None:
    year = _year(words["y5"], words["r5"], now)
    return _months(year, 1, 12) if year else None


def _ago(words: re.Match[str], now: _Now) -> Period | None:
    days = _number(words["n6"]) * _UNIT_DAYS[words["u6"]]
    tolerance = days / AGO_SHARE
    return _between(now.today, days + tolerance, days - tolerance)


def _last(words: re.Match[str], now: _Now) -> Period | None:
    return _between(now.today, _number(words["n7"]) * _UNIT_DAYS[words["u7"]], 0)


def _this(words: re.Match[str], now: _Now) -> Period | None:
    back = words["w8"].count("上")
    if words["u8"] == "月":
        months = now.today.year * 12 + now.today.month - 1 - back
        return _months(months // 12, months % 12 + 1, months % 12 + 1)
    monday = now.today - datetime.timedelta(now.today.weekday() + 7 * back)
    return Period(monday, monday + datetime.timedelta(6))


def _named(words: re.Match[str], now: _Now) -> Period | None:
    return _between(now.today, _DAY_WORDS[words["name"]], _DAY_WORDS[words["name"]])


def _recent(words: re.Match[str], now: _Now) -> Period | None:
    if words["recent"] in ("上一场", "上次直播", "刚刚播的"):
        return Period(now.newest, now.newest)
    return _between(now.newest, THESE_DAYS if words["recent"] == "这几天" else RECENT_DAYS, 0)


def _between(today: datetime.date, most: float, least: float) -> Period | None:
    try:
        return Period(today - datetime.timedelta(round(most)), today - datetime.timedelta(round(least)))
    except OverflowError:
        return None


_RULES: dict[str, Callable[[re.Match[str], _Now], Period | None]] = {
    "day": _day,
    "iso": _iso,
    "month": _month,
    "part": _part,
    "year": _whole_year,
    "ago": _ago,
    "last": _last,
    "this": _this,
    "name": _named,
    "recent": _recent,
}
