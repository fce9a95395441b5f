"""The words for a time: one expression with a named group for each kind, and what the numbers in it are.

What only looks like a time is told by what stands beside it: 这个月饼, 去年轻人多的地方, 这周一直, 五年级, 工作23年了.
The expression is for text in `plain` form.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_PLAIN = str.maketrans(
    "０１２３４５６７８９－／．○兩個這號週禮幾過來剛場陣時間後會開", "0123456789-/.〇两个这号周礼几过来刚场阵时间后会开"
)
_DIGITS = {c: n for n, c in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2}
_ABOUT = {"几": (2, 9), "数": (2, 9), "些": (3, 10), "半": (0.5, 0.5)}


class Amount(NamedTuple):
    """What a number may stand for: 三 for (3, 3), 两三 for (2, 3), 十几 for (11, 19)."""

    least: float
    most: float


def plain(text: str) -> str:
    """The text with the digits and characters that the expression knows: full-width and traditional ones are others.

    Character by character, so that what is found in it stands at the same place in the text.
    """
    return text.translate(_PLAIN)


def number(text: str) -> int:
    """Digits, a numeral below 100, or numerals in a row: 23, 二十三, 二三, 二〇二三."""
    if text.isdecimal():
        return int(text)
    tens, ten, ones = text.partition("十")
    if ten:
        return (_DIGITS[tens] if tens else 1) * 10 + (_DIGITS[ones] if ones else 0)
    return int("".join(str(_DIGITS[c]) for c in text))


def amount(text: str) -> Amount:
    """Like `number`; neighbouring numerals (两三, 七八, 三五) and 几 mean about so many."""
    if text in _ABOUT:
        return Amount(*_ABOUT[text])
    if text[-1] in "几多":
        tens = number(text[:-1])
        return Amount(tens + 1, tens + 9)
    return Amount(*(neighbours(text) or (number(text), number(text))))


def neighbours(text: str) -> tuple[int, int] | None:
    """The two numbers of 两三 or 三五; None where the text is one number."""
    if len(text) != 2 or not all(c in _DIGITS for c in text):
        return None
    first, second = (_DIGITS[c] for c in text)
    return (first, second) if first and (second == first + 1 or text == "三五") else None


_C = "零〇一二三四五六七八九"
_UNCUT = rf"(?<![{_C}两十百千万几数第\d.])"  # no number begins in the middle of another
_NUMBER = rf"(?:\d{{1,3}}(?![\d.])|[一二三四五六七八九]?十[几多一二三四五六七八九]?|[{_C}两]{{1,2}}|[几数])"
_MANY = rf"(?:{_UNCUT}{_NUMBER})"
_YEAR4 = rf"(?:(?<!\d)(?:19|20)\d\d|(?<![{_C}十百千万])[一二][零〇九][{_C}]{{2}})"
_YEAR2 = rf"(?:(?<![\d.])\d\d|(?<![{_C}两十百千万几])[零〇一二八九][{_C}])"  # nobody writes 七八年 for 1978
_RELATIVE = "(?:大前年|(?<![从以之生])前年|今年|本年|去年|上一年|明年|大后年|后年|来年|下一年)(?!轻|龄|级|夜饭|货(?![币车款物运]))"
_MONTH = rf"(?:(?<!\d)(?:1[0-2]|0?[1-9])|(?<![{_C}十几第])(?:十[一二]?|[一二三四五六七八九]))"
_MONTHS = f"(?:(?<![{_C}十几第])(?:一二|二三|三四|四五|五六|六七|七八|八九|九十)(?=月))"
_DAY = rf"(?:[0-3]?\d(?!\d)|[二三]?十[一二三四五六七八九]?|[一二三]?[{_C}])"
_THIRD = rf"初(?![{_C}十中次])|上旬|中旬|底(?![层下薪价气])|末|下旬"
_OPEN = (
    "[以之]?前(?![后几两半一二三四五六年男女任妻夫])|[以之]?后(?![来半期面天年悔台续果])"
    "|起(?![床初码来诉草步点火飞跑因身])|以来|至今|到现在"
)
_PART = "上半年|下半年|第?[一二三四1-4]季度|年初(?!中(?![国央旬东美])|高)|年底(?!薪)|年末|年中(?![秋国考])"
_PART_END = r"初(?![中高级小恋衷次步始见期一二三四五六七八九十])|底(?![层下薪价气线])|末(?![班日])|中(?=旬|[的时，,。？?！\s]|$)"
_UNIT = "(?:年|月|星期|周|礼拜|天|日)"
_WEEK = "(?:星期|周|礼拜)"
_WEEKDAY = (
    "(?:一(?!直(?!播)|下(?!午|班|播)|[定起共样些般点边方切个次场天回位只块万百千年月家群])|[二三四五六](?![个次场天回位只块万百千十年月])"
    "|日(?![本常子程均报记用])|天(?![气天然空生]))"
)
_NO_WEEK = "(?:[边围折刊岁薪]|期(?![间待望货])|到(?=的|吗|$)|转(?=率|资|$)|杰伦|星驰|润发|黑鸭|恩来|总理|树人|立波|公瑾|鸿祎|迅的|扬青|年庆)"
_NO_MONTH = "(?:[饼球亮嫂饷牙桂色圆宫子]|薪(?![资水酬])|光族|光宝|季花|经(?![济常过历])|食(?![物品堂])|台(?![湾风上])|老(?![是板师婆公家人])|票(?!房))"
_ON = "[早晚马网身路线街地天海江以车床桌树头脸书世如楼乡手山水]"  # 海上月亮, 晚上周末
_ALONE = r"(?:^|(?<=[在你他我她是就说，。,\s]))"
# 工作23年了, 这一二年: such digits before 年 are a year where nothing beside them says how long something took
_NOT_LASTING = "(?<![个了过满整近约第这那几前后来共达有作干坐牢判关刑蹲待住等养教学])"
_NO_TIME_LONG = "(?!级|代|前|后|来|多|了|以|之|内|间|期|龄|款|没|都|不|未|白|如一日|的?(?:时间|经验|工龄|婚姻|感情|贷款|房贷|刑|老))"
_THAT = "(?:的?[那这]一?(?:场|天(?!气)|期|次|晚|回|会儿?|阵子|段时间|个月|年(?!轻)|个?时候)(?:的?直播)?|的?直播|的?当[天晚]|的时候)"

_FIRST = rf"[\d{_C}两十几数半大前今本去上明后来下年第这最近过星周礼昨开刚]"  # of every kind: most characters are none
EXPRESSION = re.compile(
    rf"""(?={_FIRST})(?:
    (?P<compact>(?<!\d)(?P<y0>20\d\d)(?P<m0>0[1-9]|1[0-2])(?P<d0>[0-2]\d|3[01])(?!\d))
  | (?P<day>(?:(?P<y1>{_YEAR4}|{_YEAR2})[年\-/.]|(?P<r1>{_RELATIVE})的?)?(?P<m1>(?<!\d)\d\d?|{_UNCUT}(?:[一二三四五六七八九]?十[{_C}]?|[{_C}]))
      (?:[月\-/.](?P<d1>{_DAY})[日号](?!线)(?:[到至\-—~](?P<f1>{_DAY})[日号])?|月(?P<e1>[0-3]?\d)(?=[那这的晚早当，,。？?！!、：:\s]|上午|下午|直播|$)))
  | (?P<iso>(?<!\d)(?P<y2>(?:19|20)\d\d)(?P<sep>[\-/.])(?P<m2>\d\d?)(?:(?P=sep)(?P<d2>\d\d?))?(?!\d))
  | (?P<month>(?:(?P<y3>{_YEAR4}|{_YEAR2})年的?|(?P<r3>{_RELATIVE})的?)?(?P<m3>{_MONTHS}|{_MONTH})月份?
      (?![{_C}十\d]*[日号]|天(?!气)|[{_C}两十几\d]+[次回趟]|[饼嫂]|花号)(?P<t3>{_THIRD})?(?P<o3>{_OPEN})?)
  | (?P<part>(?:(?:(?P<y4>{_YEAR4}|{_YEAR2})年?|(?P<r4>{_RELATIVE}))的?|(?<!每年)(?<![{_C}两十百千万几多整全半些这那每\d]))
      (?P<p4>{_PART})(?![级轻]))
  | (?P<season>(?:(?P<y5>{_YEAR4}|{_YEAR2})年?|(?P<r5>{_RELATIVE}))的?(?P<p5>[春夏秋冬])[天季])
  | (?P<end>(?P<r6>{_RELATIVE})(?P<p6>{_PART_END}))
  | (?P<year>(?:(?P<y7>{_YEAR4})年(?!级|代|款)|(?P<r7>{_RELATIVE})
      |(?P<a7>(?<![\d.])(?:0\d|[89]\d)|(?<![{_C}两十百千万几])[零〇][{_C}])年{_NO_TIME_LONG}
      |{_NOT_LASTING}(?P<b7>{_YEAR2})年{_NO_TIME_LONG})(?P<o7>{_OPEN})?)
  | (?P<ago>(?P<n8>{_MANY}|半)个?(?P<h8>半|多)?(?P<u8>{_UNIT})(?P<i8>半|多)?(?:以|之)?前(?!台(?!湾)|[面夫妻任途线后锋]|[男女]友))
  | (?P<this>(?P<w9>这一?个?|本|(?<!{_ON})(?:下下|下|大上上|大上|上上|上)一?个?)(?:
      {_WEEK}(?:(?P<k9>{_WEEKDAY})|(?P<e9>末)|(?!{_NO_WEEK}))
      |月(?:份|(?!{_NO_MONTH}))(?:(?P<d9>{_DAY})[日号]|(?P<t9>{_THIRD}))?))
  | (?P<last>(?:最近这?|(?<![附将接靠临就])近|过去|这(?!一[天日]))的?
      (?:(?P<n10>{_NUMBER}|半(?!天))个?(?P<u10>{_UNIT})(?![前级气薪轻])|些(?P<s10>天|日子|年(?!轻))))
  | (?P<before>(?<![以之从提生婚考目赛年月天周期日眼面当产战节课饭睡临空超])前
      (?P<n11>一两|两三|[几两些])个?(?P<u11>日子|{_UNIT})(?!级))
  | (?P<weekday>(?<![每逢到至]){_WEEK}(?P<k12>{_WEEKDAY})(?=的?那|的?直播))
  | (?P<of_month>(?<![\d.])(?P<d13>[0-3]?\d)[号日](?=那[场天期晚次]|的?直播|晚))
  | (?P<name>大前[天日]|(?<![从以之])前[天晚日](?![天本])|昨[天晚日夜]|(?<![如至当古])今[天晚日夜](?!头条))
  | (?P<new_year>{_ALONE}(?:年前(?![后途景线辈列往])|开年(?!会|龄|薪|报|级)))
  | (?P<newest>刚刚播的|(?<!{_ON})上一[场期](?![雪雨比考球病梦])|上次直播|上场直播|最[近新]的?一(?:[场期]|次直播))
  | (?P<recent>最近(?!的(?:地铁|车站|医院|超市|商场|机场))|近期|(?<!附)近[来日]|前段(?:时间|日子)|前一[阵段]|前阵子|这阵子|这段(?:时间|日子))
    )(?:{_THAT})?""",
    re.VERBOSE,
)
