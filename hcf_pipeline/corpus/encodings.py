"""The bytes of a transcript as text: which encoding they are in, or where they are in none.

Valid UTF-8 is UTF-8: hardly any text in another encoding is that by accident. UTF-16 is read by its mark alone. What is
left is GB18030, or Big5 where that alone decodes, and only if the text that comes out reads like one: almost any bytes
decode as some GB18030, and a broken UTF-8 file must not become a page of rare characters.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

UTF8, UTF16, GB18030, BIG5 = "UTF-8", "UTF-16", "GB18030", "Big5"
JUDGED_CHARS = 50_000  # of a text in an encoding that was guessed
MAX_UNUSUAL = 0.05  # of these characters: with more, it was guessed wrongly
MIN_COMMON = 0.02  # of these characters are among the commonest Hanzi, where it was guessed rightly
MAX_BROKEN = 0.5  # of the bytes over 0x7f in whole UTF-8 characters: with more, it is UTF-8 with a broken place

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
# Hanzi of everyday texts, ASCII, Chinese punctuation, full-width forms, signs, Latin letters with accents
_USUAL = re.compile(
    "[\t\n\r\x20-\x7e\u00a0-\u024f\u2010-\u2030\u2190-\u27bf\u3000-\u301f\u4e00-\u9fa5\uff01-\uff5e\U0001f000-\U0001faff]+"
)
_AMONG_LETTERS = re.compile("(?<=[A-Za-z])[\u4e00-\u9fff]|[\u4e00-\u9fff](?=[a-z])")  # é and a letter, read as GBK
_HAN = re.compile("[\u4e00-\u9fff]")
_HIGH = re.compile(rb"[\x80-\xff]")
_WHOLE_UTF8 = re.compile(rb"(?:[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3})+")
_COMMON = (
    "的一是不了在人有我他这個们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然家种事成方多经么去"
    "学如都同现当没动面起看定天分还进好小部其些主样理心本前开但因只从想实個們來為國說時會對於著過發後裡種經麼學現當沒動還進樣開從實"
)


@dataclass(frozen=True)
class Decoded:
    text: str  # without byte order mark, carriage returns and control characters
    encoding: str
    n_control: int  # control characters that were taken out


def decode(data: bytes) -> Decoded | int:
    """The text, or the offset of the first byte that no encoding explains."""
    try:
        return _clean(data.decode("utf-8"), UTF8)
    except UnicodeDecodeError as error:
        bad = error.start
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        try:
            return _clean(data.decode("utf-16"), UTF16)
        except UnicodeDecodeError as error:
            return error.start
    if not _is_broken_utf8(data):
        for encoding in (GB18030, BIG5):
            if (text := _text_in(data, encoding)) is not None:
                return _clean(text, encoding)
    return bad


def _text_in(data: bytes, encoding: str) -> str | None:
    """What the bytes say in an encoding; None where they say nothing in it."""
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        return None
    judged = text[:JUDGED_CHARS]
    n_han = len(_HAN.findall(judged))
    common = sum(map(judged.count, _COMMON))
    is_text = (
        len(_USUAL.sub("", judged)) <= MAX_UNUSUAL * len(judged)
        and len(_AMONG_LETTERS.findall(judged)) <= 0.5 * n_han
        and (common >= MIN_COMMON * n_han or n_han < 8)
    )
    return text if is_text else None


def _is_broken_utf8(data: bytes) -> bool:
    """Bytes of two neighbouring GBK characters may look like one of UTF-8, but not most of a text."""
    n_whole = sum(map(len, _WHOLE_UTF8.findall(data)))
    return n_whole > MAX_BROKEN * len(_HIGH.findall(data))


def normalized(text: str) -> str:
    """With newlines alone between lines, and without a byte order mark."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text.removeprefix("\ufeff")


def _clean(text: str, encoding: str) -> Decoded:
    text = normalized(text)
    n_control = 0
    if _CONTROL.search(text):
        text, n_control = _CONTROL.subn("", text)
    return Decoded(text, encoding, n_control)
