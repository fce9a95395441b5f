"""Which days a question speaks of: 2024年5月, 去年年底, 上周三, 三个月前, 最近.

Only words that name a time outright count; 现在 and 以后 do not, nor durations (工作十年), nor a season without its year,
nor what is still to come (下个月). Relative words are meant from a reference day; 最近 and its kin, and a month or a day
without its year, from the newest broadcast where that is older: nobody means the weeks since, or a March that there is
nothing of. The words themselves are in date_words.py; English ones are english_dates.py's, and mean the same days.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Sequence
from typing import TypeAlias

from hcf_pipeline.rag.search.date_words import EXPRESSION, amount, neighbours, number, plain
from hcf_pipeline.rag.search.english_dates import english_mentions
from hcf_pipeline.rag.search.periods import (
    FEW,
    RECENT_DAYS,
    THESE_DAYS,
    Mention,
    Now,
    Period,
    ago,
    before,
    days_back,
    from_then,
    last_on,
    month_back,
    months,
    on,
    season,
)

_Words: TypeAlias = "re.Match[str]"


def mentions_in(question: str, today: datetime.date, newest: datetime.date | None = None) -> list[Mention]:
    """The words of a question that name a time, in their order; none where it names none.

    `newest` is the day of the newest broadcast. A month without its year is the last one up to that day, or of the year
    of the month that it goes on from (2023年3月和5月; 2023年3月到5月 is one time).
    """
    text, now = plain(question), Now(today, min(today, newest or today))
    english = english_mentions(text, now)
    return _apart([*english, *_chinese(text, now)]) if english else _chinese(text, now)


def _apart(mentions: Sequence[Mention]) -> list[Mention]:
    """In their order, without those that begin within another one; of two that begin together the longer one."""
    found: list[Mention] = []
    for mention in sorted(mentions, key=lambda mention: (mention.start, -mention.end)):
        if not found or mention.start >= found[-1].end:
            found.append(mention)
    return found


def _chinese(text: str, now: Now) -> list[Mention]:
    found: list[Mention] = []
    last: _Words | None = None  # those of the last one of `found`, where it may go on
    for words in EXPRESSION.finditer(text):
        kind = next(name for name in _RULES if words[name] is not None)
        between = text[last.end() : words.start()] if last and kind in _GO_ON else ""
        year = None  # of the month or day that this one goes on from
        if between and _lacks_year(words) and (between in _TO or (last and between in _AND and _says_year(last))):
            year = found[-1].period.since.year
        period = _RULES[kind](words, now, year)
        if year and period and between in _TO and period.until < found[-1].period.since:  # 11月到2月
            period = _RULES[kind](words, now, year + 1)
        last = None
        if period is None or period.since > now.today:
            continue
        start, since = words.start(), period.since
        if between in _TO and found[-1].period.since <= since:
            start, _, (since, _) = found.pop()
        found.append(Mention(start, words.end(), Period(since, period.until)))
        last = words if kind in _GO_ON else None
    return found


def periods_in(question: str, today: datetime.date, newest: datetime.date | None = None) -> list[Period]:
    """The periods of `mentions_in`."""
    return [mention.period for mention in mentions_in(question, today, newest)]


_GO_ON = ("day", "month", "iso", "compact", "year")
_TO = ("到", "至", "-", "—", "~", "～")
_AND = ("和", "与", "跟", "、", ",", "，", "及", "或", "还是")
_YEARS_BACK = {"大前年": 3, "前年": 2, "去年": 1, "上一年": 1, "今年": 0, "本年": 0}  # the others are to come
_DAYS_BACK = {"今": 0, "昨": 1, "前": 2, "大": 3}
_PARTS = {"上半年": (1, 6), "下半年": (7, 12), "初": (1, 2), "中": (5, 8), "底": (11, 12), "末": (11, 12)}
_SEASONS = {"春": (3, 5), "夏": (6, 8), "秋": (9, 11), "冬": (11, 2)}
_THIRDS = {"初": (1, 10), "上旬": (1, 10), "中旬": (11, 20), "底": (21, 31), "末": (21, 31), "下旬": (21, 31)}
_WEEKDAYS = {c: n for n, c in enumerate("一二三四五六日")} | {"天": 6}
_UNIT_DAYS = {"年": 365.25, "月": 30.44, "星期": 7.0, "周": 7.0, "礼拜": 7.0, "天": 1.0, "日": 1.0, "日子": 1.0}


def _says_year(words: _Words) -> bool:
    return any(words[name] is not None for name in ("y1", "r1", "y3", "r3", "iso", "compact"))


def _lacks_year(words: _Words) -> bool:
    return (words["month"] or words["day"]) is not None and not _says_year(words)


def _year(written: str | None, word: str | None, now: Now) -> int | None:
    """Two digits are of this century as far as it has come, else of the last one: 98年."""
    if word:
        return now.today.year - _YEARS_BACK.get(word, -1)
    if written is None:
        return None
    year = number(written)
    return year if year > 99 else year + (2000 if year + 2000 <= now.today.year else 1900)


def _third(month: Period | None, part: str | None) -> Period | None:
    """上旬, 中旬 or 下旬 of a month."""
    if month is None or part is None:
        return month
    first, last = _THIRDS[part]
    return Period(month.since.replace(day=first), month.until.replace(day=min(last, month.until.day)))


def _open(period: Period | None, word: str | None, now: Now) -> Period | None:
    """All before a period (2020年以前), or from it to today (2020年以后)."""
    if period is None or word is None:
        return period
    return before(period) if word.endswith("前") else from_then(period, now)


def _day(words: _Words, now: Now, same: int | None) -> Period | None:
    """Without its year the last such day up to the newest broadcast."""
    year = same or _year(words["y1"], words["r1"], now)
    month, day = number(words["m1"]), number(words["d1"] or words["e1"])
    first = on(year, month, day) if year else last_on(month, day, now.newest)
    last = on(first.since.year, month, number(words["f1"])) if first and words["f1"] else first
    return Period(first.since, last.until) if first and last and first.since <= last.until else first


def _iso(words: _Words, _: Now, __: int | None) -> Period | None:
    year, month = int(words["y2"]), int(words["m2"])
    return months(year, month, month) if words["d2"] is None else on(year, month, int(words["d2"]))


def _compact(words: _Words, _: Now, __: int | None) -> Period | None:
    return on(int(words["y0"]), int(words["m0"]), int(words["d0"]))


def _month(words: _Words, now: Now, same: int | None) -> Period | None:
    first, last = _month_pair(words["m3"])
    year = same or _year(words["y3"], words["r3"], now) or now.newest.year - (first > now.newest.month)
    return _open(_third(months(year, first, last), words["t3"]), words["o3"], now)


def _month_pair(text: str) -> tuple[int, int]:
    if text == "九十":
        return 9, 10
    return neighbours(text) or (number(text), number(text))


def _part(words: _Words, now: Now, _: int | None) -> Period | None:
    named = words["p4"]
    if named.endswith("季度"):
        quarter = number(named.removeprefix("第")[0])
        first, last = 3 * quarter - 2, 3 * quarter
    else:
        first, last = _PARTS[named.removeprefix("年")]
    return months(_year(words["y4"], words["r4"], now) or now.newest.year - (first > now.newest.month), first, last)


def _season(words: _Words, now: Now, _: int | None) -> Period | None:
    year = _year(words["y5"], words["r5"], now)
    return season(year, *_SEASONS[words["p5"]]) if year else None


def _year_end(words: _Words, now: Now, _: int | None) -> Period | None:
    year = _year(None, words["r6"], now)
    return months(year, *_PARTS[words["p6"]]) if year else None


def _whole_year(words: _Words, now: Now, _: int | None) -> Period | None:
    year = _year(words["y7"] or words["a7"] or words["b7"], words["r7"], now)
    return _open(months(year, 1, 12) if year else None, words["o7"], now)


def _ago(words: _Words, now: Now, _: int | None) -> Period | None:
    least, most = amount(words["n8"])
    more = words["h8"] or words["i8"]
    if words["n8"] != "半" and more:
        least, most = (least + 0.5, most + 0.5) if more == "半" else (least, most + 1)
    return ago(now, least, most, _UNIT_DAYS[words["u8"]])


def _last(words: _Words, now: Now, _: int | None) -> Period | None:
    """From the newest broadcast: of the last three months before today there may be none."""
    if words["s10"]:
        return days_back(now.newest, 3 * _UNIT_DAYS["年"] if words["s10"] == "年" else THESE_DAYS, 0)
    n, days = words["n10"], _UNIT_DAYS[words["u10"]]
    if days == 1 and n in ("几", "数", "两"):
        return days_back(now.newest, THESE_DAYS, 0)
    return days_back(now.newest, (FEW if n in ("几", "数") else amount(n).most) * days, 0)


def _before(words: _Words, now: Now, _: int | None) -> Period | None:
    """前几年, 前两个月, 前两天: years before today, the shorter ones before the newest broadcast."""
    days = _UNIT_DAYS[words["u11"]]
    if days == 1:
        return days_back(now.newest, THESE_DAYS, 0)
    least, most = amount(words["n11"])
    return days_back(now.today if days > 300 else now.newest, (most + 1) * days, (least - 1) * days)


def _this(words: _Words, now: Now, _: int | None) -> Period | None:
    """This or an earlier week or month (大上周 is the one before the last), or a day of it."""
    back = words["w9"].count("上") + words["w9"].count("大") - words["w9"].count("下")
    if "月" in words["this"]:
        month = month_back(now, back)
        if month and words["d9"]:
            return on(month.since.year, month.since.month, number(words["d9"]))
        return _third(month, words["t9"])
    since = now.today.weekday() + 7 * back  # days since the Monday
    if words["k9"]:
        since -= _WEEKDAYS[words["k9"]]
        return days_back(now.today, since, since)
    return days_back(now.today, since - 5 if words["e9"] else since, since - 6)


def _weekday(words: _Words, now: Now, _: int | None) -> Period | None:
    back = (now.newest.weekday() - _WEEKDAYS[words["k12"]]) % 7
    return days_back(now.newest, back, back)


def _of_month(words: _Words, now: Now, _: int | None) -> Period | None:
    """The last 5号 up to the newest broadcast."""
    newest = now.newest.year * 12 + now.newest.month - 1
    found = (on((newest - back) // 12, (newest - back) % 12 + 1, int(words["d13"])) for back in range(3))
    return next((period for period in found if period and period.since <= now.newest), None)


def _named(words: _Words, now: Now, _: int | None) -> Period | None:
    back = _DAYS_BACK[words["name"][0]]
    return days_back(now.today, back, back)


def _new_year(words: _Words, now: Now, _: int | None) -> Period | None:
    """年前 is December to mid-February, before the Chinese new year; 开年 what follows."""
    if words["new_year"] == "开年":
        return months(now.newest.year, 1, 3)
    year = now.newest.year
    return Period(datetime.date(year - 1, 12, 1), datetime.date(year, 2, 20)) if year > 1 else None


def _newest(_: _Words, now: Now, __: int | None) -> Period | None:
    return Period(now.newest, now.newest)


def _recent(_: _Words, now: Now, __: int | None) -> Period | None:
    return days_back(now.newest, RECENT_DAYS, 0)


_RULES: dict[str, Callable[[_Words, Now, int | None], Period | None]] = {
    "compact": _compact,
    "day": _day,
    "iso": _iso,
    "month": _month,
    "part": _part,
    "season": _season,
    "end": _year_end,
    "year": _whole_year,
    "ago": _ago,
    "this": _this,
    "last": _last,
    "before": _before,
    "weekday": _weekday,
    "of_month": _of_month,
    "name": _named,
    "new_year": _new_year,
    "newest": _newest,
    "recent": _recent,
}
