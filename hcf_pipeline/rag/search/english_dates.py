"""Which days an English question speaks of: March 5, 2024, last week, in May, two years ago, between March and May.

The rules are those of dates.py: only words that name a time outright, nothing that is still to come, relative words from
a reference day, a month without its year the last one up to the newest broadcast. What is a word like others too (may,
march, august, spring, second, a number such as 2024) names a time only beside words that say so: in May, on May 5; 2024 lines
are none. `dateparser` was tried: it gives a day where many are meant (last week, in March, between March and May), and reads
"may", "sat" and "one second" as times.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

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

_NAMES = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december",
)  # fmt: skip
_MONTHS = (
    {name: n for n, name in enumerate(_NAMES, 1)} | {name[:3]: n for n, name in enumerate(_NAMES, 1)} | {"sept": 9}
)
_CLEAR = {"january", "february", "july", "september", "october", "november", "december"}  # no names, no other words
_WEEKDAYS = {
    "monday": 0, "tuesday": 1, "wednesday": 2, "thursday": 3, "friday": 4, "saturday": 5, "sunday": 6,
}  # fmt: skip
_SEASONS = {"spring": (3, 5), "summer": (6, 8), "fall": (9, 11), "autumn": (9, 11), "winter": (11, 2)}
_PARTS = {
    "early": (1, 2),
    "start": (1, 2),
    "beginning": (1, 2),
    "mid": (5, 8),
    "middle": (5, 8),
    "late": (11, 12),
    "end": (11, 12),
}
_THIRDS = {"early": (1, 10), "start": (1, 10), "beginning": (1, 10), "mid": (11, 20), "middle": (11, 20), "late": (21, 31), "end": (21, 31)}  # fmt: skip
_ORDINALS = {"first": 1, "second": 2, "third": 3, "fourth": 4, "last": 4, "1st": 1, "2nd": 2, "3rd": 3, "4th": 4}
_UNIT_DAYS = {"day": 1.0, "week": 7.0, "month": 30.44, "year": 365.25}
_NUMERALS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_COUNTS = {word: (n, n) for n, word in enumerate(_NUMERALS, 1)} | {
    "a": (1, 1), "an": (1, 1), "couple": (2, 2), "few": (2, 9), "several": (2, 9), "half": (0.5, 0.5),
}  # fmt: skip

_MONTH = f"(?:{'|'.join(_NAMES)}|(?:jan|feb|mar|apr|jun|jul|aug|sept|sep|oct|nov|dec)(?![a-z]))"
_YEAR = r"(?:(?:19|20)\d\d(?!\d|[.,:]\d|%|-\d))"
_OF_YEAR = rf"(?:,?\s+(?:of\s+)?(?:(?P<Y>{_YEAR})|(?P<R>last|this)\s+year))"  # Y and R stand for a rule's own names
_DAY = r"(?:0?[1-9]|[12]\d|3[01])"
_TH = "(?:st|nd|rd|th)"
_COUNT = rf"(?:(?:a\s+)?couple(?:\s+of)?|(?:a\s+)?few|several|half\s+an?|an?|\d{{1,3}}|{'|'.join(_NUMERALS)})"
_UNIT = "(?:day|week|month|year)"
_BROADCAST = r"(?:show|stream|live\s?stream|broadcast|podcast|episode|live)"
_PART = r"(?:early|late|mid|(?:start|beginning|middle|end)\s+of)[\s-]+"
_NO_SEASON = r"(?!\s+(?:to|up|from|apart|off|under|into|through|short|behind|back|down|flat|out|of\s+code))"


def _of_year(n: int) -> str:
    return _OF_YEAR.replace("<Y>", f"<y{n}>").replace("<R>", f"<r{n}>")


_EXPRESSION = re.compile(
    rf"""(?<![\w'’.-])
  (?:(?P<lead>from|between|since|before|after|until|till|through|to|by|on|in|during|throughout|over|for|of|around)\s+)?
  (?P<the>the\s+)?(?:
    (?P<iso>(?P<y0>(?:19|20)\d\d)(?P<s0>[-/])(?P<m0>\d\d?)(?:(?P=s0)(?P<d0>\d\d?))?)
  | (?P<slashed>(?P<m1>\d\d?)/(?P<d1>\d\d?)/(?P<y1>(?:19|20)\d\d))
  | (?P<day>(?P<week2>week\s+of\s+)?(?:(?:{"|".join(_WEEKDAYS)}|(?:mon|tue|wed|thu|fri|sat|sun)\.?),?\s+(?:the\s+)?)?
      (?:(?P<m2>{_MONTH})\.?\s+(?:the\s+)?(?P<d2>{_DAY}){_TH}?(?:\s*(?:-|–|—|to|through)\s*(?P<e2>{_DAY}){_TH}?(?![\w%:]|[.,]\d|\s+{_MONTH}))?
        |(?P<d3>{_DAY}){_TH}?(?:\s*(?:-|–|—|to|through)\s*(?P<e3>{_DAY}){_TH}?)?\s+(?:of\s+)?(?P<m3>{_MONTH})\.?)(?![\w%:]|[.,]\d){_of_year(2)}?)
  | (?P<month>(?P<p4>{_PART})?(?:(?P<b4>last|this)\s+)?(?P<m4>{_MONTH})\.?{_of_year(4)}?)
  | (?P<part>(?:q(?P<q5>[1-4])|(?P<o5>{"|".join(_ORDINALS)})\s+(?P<k5>quarter|half)){_of_year(5)})
  | (?P<season>(?:(?P<b6>last|this)\s+)?(?P<n6>{"|".join(_SEASONS)}){_NO_SEASON}{_of_year(6)}?)
  | (?P<year>(?P<p7>{_PART})?(?:(?P<y7>{_YEAR})|(?P<b7>last|this)\s+year))
  | (?P<ago>(?:(?:about|around|almost|nearly|roughly|over|more\s+than)\s+)?(?P<n8>{_COUNT})\s+(?P<u8>{_UNIT})s?\s+ago)
  | (?P<rolling>(?:last|past|previous)\s+(?P<n9>{_COUNT})\s+(?P<u9>{_UNIT})s?)
  | (?P<this>(?P<w10>last|this|past)\s+(?:past\s+)?(?P<u10>week(?:end)?|month)|(?P<l10>week|month|year)\s+before\s+last)
  | (?P<weekday>(?:(?P<b11>last|this|past)\s+)?(?P<k11>{"|".join(_WEEKDAYS)})(?P<of11>['’]s(?=\s+{_BROADCAST})|\s+{_BROADCAST})?)
  | (?P<name>day\s+before\s+yesterday|yesterday|last\s+night|this\s+(?:morning|afternoon|evening)|today|tonight)
  | (?P<newest>(?:last|latest|newest|most\s+recent)\s+{_BROADCAST})
  | (?P<recent>recently|lately|other\s+day|recent\s+(?:days|weeks|months))
  )(?:['’]s)?(?![\w'’])""",
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)
_MAY_BE = re.compile("[a-z/]", re.IGNORECASE)
_TO = re.compile(r"\s*(?:to|through|thru|until|till|-|–|—)?\s*", re.IGNORECASE)
_AND = re.compile(r"\s*(?:and|or|,|,\s*and)\s*", re.IGNORECASE)
_TO_COME = re.compile(r"\s*(?:to|through|thru|until|till|and|or|,|-|–|—)\s", re.IGNORECASE)
_THINGS = re.compile(
    r"\s+(?!(?:was|is|has|does|this|his|as|us|yes|its|always|perhaps|episodes|shows|streams)\b)[a-z]+s\b"
)
_PAST = re.compile(
    r"\b(?:did|was|were|said|had|talked|spoke|discussed|covered|happened|mentioned)\b|['’]s\b", re.IGNORECASE
)
_DASHES = ("-", "–", "—")
_IN = ("in", "during", "since", "throughout", "until", "till", "before", "after")
_GO_ON = ("iso", "slashed", "day", "month", "year")


class _Found(NamedTuple):
    words: _Words
    kind: str
    period: Period

    @property
    def lead(self) -> str:
        return (self.words["lead"] or "").lower()


def english_mentions(text: str, now: Now) -> list[Mention]:
    """The English words of a question that name a time, in their order; none where it names none."""
    if not _MAY_BE.search(text):
        return []
    mentions: list[Mention] = []
    last: _Found | None = None
    for words in _EXPRESSION.finditer(text):
        kind = next(name for name in _RULES if words[name] is not None)
        joins = last is not None and kind in _GO_ON and last.kind in _GO_ON and _joins(text, last, words)
        if not (joins or _is_time(text, words, kind)):
            last = None
            continue
        found = _read(words, kind, now, last if joins else None)
        if found is None or found.period.since > now.today:
            last = None
            continue
        if joins and last:
            first = _read(last.words, last.kind, now, found) or last
            mentions.pop()
            if _is_span(text, last, words):
                if found.period.until < first.period.since and not _says_year(words):  # November to February
                    year = first.period.since.year + 1
                    found = found._replace(period=_RULES[kind](words, now, year) or found.period)
                period = Period(min(first.period.since, found.period.since), found.period.until)
                mentions.append(Mention(last.words.start(), words.end(), period))
                last = None
                continue
            mentions.append(Mention(last.words.start(), last.words.end(), first.period))
        period = _opened(found, now)
        mentions.append(Mention(words.start(), words.end(), period))
        last = found
    return mentions


def _read(words: _Words, kind: str, now: Now, other: _Found | None) -> _Found | None:
    """The year is that of the time it goes on from or to, where it says none of its own."""
    year = other.period.since.year if other and _says_year(other.words) and not _says_year(words) else None
    period = _RULES[kind](words, now, year)
    return _Found(words, kind, period) if period else None


def _between(text: str, last: _Found, words: _Words) -> str:
    """What stands between two times, the preposition of the second included where it says "up to"."""
    lead = (words["lead"] or "").lower()
    return text[last.words.end() : words.start()] + (lead if lead in ("to", "until", "till", "through") else "")


def _is_span(text: str, last: _Found, words: _Words) -> bool:
    between = _between(text, last, words)
    if between.strip() in _DASHES and words[last.kind] is None:  # this year - March, last month -
        return False
    return bool((_TO.fullmatch(between) and between.strip()) or (last.lead == "between" and _AND.fullmatch(between)))


def _joins(text: str, last: _Found, words: _Words) -> bool:
    return _is_span(text, last, words) or bool(_AND.fullmatch(_between(text, last, words)))


def _says_year(words: _Words) -> bool:
    return any(words[name] is not None for name in ("y0", "y1", "y2", "r2", "y4", "r4", "b4", "year"))


def _is_time(text: str, words: _Words, kind: str) -> bool:  # noqa: PLR0911 (a rule for each kind)
    """Whether words that may mean something else name a time here."""
    lead = (words["lead"] or "").lower()
    if lead == "to":  # only as the end of a span
        return False
    goes_on = lead in ("from", "between") and bool(_TO_COME.match(text, words.end()))
    if kind == "day":
        written = (words["m2"] or words["m3"]).lower()
        plain = written in ("may", "march", "mar") and (words["m2"] or words["m3"]).islower()
        return not plain or bool(lead or words["y2"] or words["r2"] or words["the"] or words["m3"])
    if kind == "month":
        written = words["m4"].lower()
        if any(words[name] is not None for name in ("y4", "r4", "p4", "b4")) or goes_on:
            return True
        return lead in _IN or (written in _CLEAR and lead not in ("by", "for"))
    if kind == "season":
        return bool(words["y6"] or words["r6"] or words["b6"])
    if kind == "year" and words["y7"]:
        named = bool(words["p7"]) or goes_on or lead in (*_IN, "of", "by", "for", "from", "around")
        return named and not _THINGS.match(text, words.end())
    if kind == "weekday":
        return bool(lead == "on" or words["b11"] or words["of11"])
    if kind == "name" and words["name"].lower() in ("today", "tonight"):
        return bool(_PAST.search(text))
    return True


def _opened(found: _Found, now: Now) -> Period:
    """All before a time (before 2024, until May), or from it to today (since March)."""
    if found.lead == "since" or (found.lead == "after" and found.kind != "ago"):
        return from_then(found.period, now)
    if found.lead == "before":
        return before(found.period)
    if found.lead in ("until", "till", "by", "through"):
        return Period(before(found.period).since, found.period.until)
    return found.period


def _year(written: str | None, word: str | None, now: Now) -> int | None:
    if written:
        return int(written)
    return now.today.year - (word.lower() == "last") if word else None


def _iso(words: _Words, _: Now, __: int | None) -> Period | None:
    year, month = int(words["y0"]), int(words["m0"])
    return months(year, month, month) if words["d0"] is None else on(year, month, int(words["d0"]))


def _slashed(words: _Words, _: Now, __: int | None) -> Period | None:
    """The month comes first where it can."""
    year, first, second = int(words["y1"]), int(words["m1"]), int(words["d1"])
    return on(year, first, second) or on(year, second, first)


def _day(words: _Words, now: Now, same: int | None) -> Period | None:
    month, day = _MONTHS[(words["m2"] or words["m3"]).lower()], int(words["d2"] or words["d3"])
    year = _year(words["y2"], words["r2"], now) or same
    first = on(year, month, day) if year else last_on(month, day, now.newest)
    if first and words["week2"]:
        return days_back(first.since, first.since.weekday(), first.since.weekday() - 6)
    last = words["e2"] or words["e3"]
    ends = on(first.since.year, month, int(last)) if first and last else None
    return Period(first.since, ends.until) if first and ends and first.since <= ends.until else first


def _month(words: _Words, now: Now, same: int | None) -> Period | None:
    """Last March is the one before this month."""
    month, word = _MONTHS[words["m4"].lower()], (words["b4"] or "").lower()
    year = _year(words["y4"], words["r4"], now) or same
    if year is None:
        newest = now.newest if not word else now.today
        year = newest.year - (word != "this" and (month > newest.month or (word == "last" and month == newest.month)))
    found = months(year, month, month)
    if found is None or words["p4"] is None:
        return found
    first, last = _THIRDS[_part_of(words["p4"])]
    return Period(found.since.replace(day=first), found.until.replace(day=min(last, found.until.day)))


def _part_of(words: str) -> str:
    return re.split(r"[\s-]", words.lower())[0]


def _part(words: _Words, now: Now, _: int | None) -> Period | None:
    year = _year(words["y5"], words["r5"], now)
    n = int(words["q5"]) if words["q5"] else _ORDINALS[words["o5"].lower()]
    if year is None:
        return None
    if (words["k5"] or "").lower() == "half":
        return months(year, 1, 6) if n == 1 else months(year, 7, 12)
    return months(year, 3 * n - 2, 3 * n)


def _season(words: _Words, now: Now, _: int | None) -> Period | None:
    """Last summer is the one that is over."""
    first, last = _SEASONS[words["n6"].lower()]
    year = _year(words["y6"], words["r6"], now)
    if year is not None:
        return season(year, first, last)
    if words["b6"].lower() == "this":
        return season(now.today.year, first, last)
    found = (season(now.today.year - back, first, last) for back in range(3))
    return next((period for period in found if period and period.until < now.today), None)


def _whole_year(words: _Words, now: Now, _: int | None) -> Period | None:
    year = _year(words["y7"], words["b7"], now)
    if year is None:
        return None
    return months(year, *(_PARTS[_part_of(words["p7"])] if words["p7"] else (1, 12)))


def _amount(words: str) -> tuple[float, float]:
    if words.isdecimal():
        return int(words), int(words)
    named = re.split(r"\s+", words.lower().removeprefix("a ").removeprefix("an "))[0]
    return _COUNTS[named]


def _ago(words: _Words, now: Now, _: int | None) -> Period | None:
    return ago(now, *_amount(words["n8"]), _UNIT_DAYS[words["u8"].lower()])


def _rolling(words: _Words, now: Now, _: int | None) -> Period | None:
    """From the newest broadcast: the last few weeks may have none."""
    named, days = words["n9"].lower(), _UNIT_DAYS[words["u9"].lower()]
    few = named.split()[-1] in ("few", "several") or "couple" in named
    if few and days == 1:
        return days_back(now.newest, THESE_DAYS, 0)
    return days_back(now.newest, (FEW if "few" in named or "several" in named else _amount(named)[1]) * days, 0)


def _this(words: _Words, now: Now, _: int | None) -> Period | None:
    """A week is Monday to Sunday."""
    unit = (words["u10"] or words["l10"]).lower()
    back = 2 if words["l10"] else int(words["w10"].lower() != "this")
    if unit == "year":
        return months(now.today.year - back, 1, 12)
    if unit == "month":
        return month_back(now, back)
    since = now.today.weekday() + 7 * back  # days since the Monday
    return days_back(now.today, since - 5 if unit == "weekend" else since, since - 6)


def _weekday(words: _Words, now: Now, _: int | None) -> Period | None:
    """Last Monday is the one before today, this Monday one of this week."""
    day, word = _WEEKDAYS[words["k11"].lower()], (words["b11"] or "").lower()
    if word == "this":
        back = now.today.weekday() - day
        return days_back(now.today, back, back)
    since = now.today if word else now.newest
    back = (since.weekday() - day) % 7 or (7 if word else 0)
    return days_back(since, back, back)


def _named(words: _Words, now: Now, _: int | None) -> Period | None:
    name = words["name"].lower()
    back = 2 if name.startswith("day") else 1 if name in ("yesterday",) or name.startswith("last") else 0
    return days_back(now.today, back, back)


def _newest(_: _Words, now: Now, __: int | None) -> Period | None:
    return Period(now.newest, now.newest)


def _recent(words: _Words, now: Now, _: int | None) -> Period | None:
    return days_back(now.newest, THESE_DAYS if words["recent"].lower().startswith("other") else RECENT_DAYS, 0)


_RULES: dict[str, Callable[[_Words, Now, int | None], Period | None]] = {
    "iso": _iso,
    "slashed": _slashed,
    "day": _day,
    "month": _month,
    "part": _part,
    "season": _season,
    "year": _whole_year,
    "ago": _ago,
    "rolling": _rolling,
    "this": _this,
    "weekday": _weekday,
    "name": _named,
    "newest": _newest,
    "recent": _recent,
}
