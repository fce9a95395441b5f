"""What settings are made of: bounded numbers, patterns, cron expressions, time zones, and the three kinds of settings."""

from __future__ import annotations

import datetime
import os
import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, ClassVar, TypeVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

MOST = 1_000_000_000  # of whatever is counted: what libraries take for a number, and more than anybody means

Share = Annotated[float, Field(gt=0, le=1)]
SharePossiblyZero = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(ge=1, le=MOST)]
Natural = Annotated[int, Field(ge=0, le=MOST)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
NonEmpty = Annotated[str, Field(min_length=1)]
Labels = Annotated[list[NonEmpty], Field(min_length=1)]

NAME_BYTES, PATH_BYTES = 255, 4095  # that a file system holds; paths relative to a folder have less
YEARS = range(1900, 2200)  # around which 去年 and 明年 are still dates


class Kind(StrEnum):
    """What a setting changes."""

    RESULT = "result"  # what an asset holds: it stands in that asset's recipe
    SERVING = "serving"  # what is answered from the same assets: it stands in the release
    RUN = "run"  # when, where, or how fast something is done, or whether it may be released: the result is the same


T = TypeVar("T")
Result = Annotated[T, Kind.RESULT]  # Result[int]: an int that is of another kind than the rest of its section
Serving = Annotated[T, Kind.SERVING]
Run = Annotated[T, Kind.RUN]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    kind: ClassVar[Kind]  # of its settings, but for those that are marked

    @field_validator("*")
    @classmethod
    def _can_be_used(cls, value: T) -> T:
        """What no file system, no library and no other process takes, wherever it is handed on to."""
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, str | Path) and "\0" in str(one):
                raise Refused(zh="不含空字符（NUL）的文字", en="text without NUL characters")
            if isinstance(one, Path) and not _fits(one):
                raise Refused(
                    zh=f"文件系统容得下的路径（每段至多 {NAME_BYTES} 字节，全长至多 {PATH_BYTES}）",
                    en=f"a path that a file system can hold (at most {NAME_BYTES} bytes a name, {PATH_BYTES} in all)",
                )
        return value

    @classmethod
    def kinds(cls) -> dict[str, Kind]:
        """The kind of each setting."""
        marked = {key: [m for m in field.metadata if isinstance(m, Kind)] for key, field in cls.model_fields.items()}
        return {key: kinds[0] if kinds else cls.kind for key, kinds in marked.items()}


class Refused(ValueError):
    """What a validator says of a value, in both languages."""

    def __init__(self, *, zh: str, en: str) -> None:
        super().__init__(en)
        self.zh = zh
        self.en = en


def _fits(path: Path) -> bool:
    return len(os.fsencode(path)) <= PATH_BYTES and all(len(os.fsencode(part)) <= NAME_BYTES for part in path.parts)


def compiles(pattern: str) -> str:
    try:
        re.compile(pattern)
    except (re.error, ValueError, OverflowError) as error:  # ValueError: flags that exclude each other
        raise Refused(zh=f"一个正则表达式（{error}）", en=f"a regular expression ({error})") from error
    except (RecursionError, MemoryError) as error:
        raise Refused(
            zh="一个嵌套没有这么深的正则表达式", en="a regular expression that is less deeply nested"
        ) from error
    return pattern


def _is_cron(text: str) -> str:
    if not re.fullmatch(r"[\w*/,-]+( [\w*/,-]+){4}", text):
        raise Refused(
            zh='五段的 cron 表达式，例如 "0 4 * * *"', en='a cron expression of five fields, such as "0 4 * * *"'
        )
    return text


def _is_cron_or_empty(text: str) -> str:
    return text and _is_cron(text)


def _is_time_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:  # OSError: "Asia" is a folder
        raise Refused(
            zh="时区的名字，例如 Asia/Shanghai", en="the name of a time zone, such as Asia/Shanghai"
        ) from error
    return name


def _is_address_or_empty(text: str) -> str:
    try:
        found = urlsplit(text)
        usable = found.scheme in ("http", "https") and found.hostname and (found.port is None or found.port > 0)
    except ValueError:  # a port that is no number, a bracket too few
        usable = False
    if text and (not usable or "@" in text or "?" in text or "#" in text or not re.fullmatch(r"[!-~]+", text)):
        raise Refused(
            zh="一个网址，例如 http://127.0.0.1:11434/v1，里面没有用户名、密码，也没有 ? 和 #",
            en="a web address, such as http://127.0.0.1:11434/v1, without user, password, ? or #",
        )
    return text.rstrip("/")


def _is_variable_or_empty(text: str) -> str:
    """A key that was put in the place of its variable's name is hardly ever in capitals."""
    if text and not re.fullmatch(r"[A-Z_][A-Z0-9_]*", text):
        raise Refused(
            zh="环境变量的名字（大写），例如 OPENAI_API_KEY；密钥本身不要写在这里",
            en="the name of an environment variable, in capitals, such as OPENAI_API_KEY; never the key itself",
        )
    return text


def _is_near(day: datetime.date) -> datetime.date:
    if day.year not in YEARS:
        raise Refused(
            zh=f"{YEARS.start} 年到 {YEARS.stop} 年之间的一天",
            en=f"a day between the years {YEARS.start} and {YEARS.stop}",
        )
    return day


Pattern = Annotated[str, Field(min_length=1), AfterValidator(compiles)]
Day = Annotated[datetime.date, AfterValidator(_is_near)]
Cron = Annotated[str, AfterValidator(_is_cron)]
CronOrEmpty = Annotated[str, AfterValidator(_is_cron_or_empty)]
AddressOrEmpty = Annotated[str, AfterValidator(_is_address_or_empty)]
VariableOrEmpty = Annotated[str, AfterValidator(_is_variable_or_empty)]
TimeZone = Annotated[str, AfterValidator(_is_time_zone)]
