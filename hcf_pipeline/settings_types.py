"""What settings are made of: bounded numbers, patterns, cron expressions, time zones, and the three kinds of settings."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, ClassVar, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Share = Annotated[float, Field(gt=0, le=1)]
SharePossiblyZero = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(ge=1)]
Natural = Annotated[int, Field(ge=0)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
NonEmpty = Annotated[str, Field(min_length=1)]
Labels = Annotated[list[NonEmpty], Field(min_length=1)]


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
    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: ClassVar[Kind]  # of its settings, but for those that are marked

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


def compiles(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise Refused(zh=f"一个正则表达式（{error}）", en=f"a regular expression ({error})") from error
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
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise Refused(
            zh="时区的名字，例如 Asia/Shanghai", en="the name of a time zone, such as Asia/Shanghai"
        ) from error
    return name


Cron = Annotated[str, AfterValidator(_is_cron)]
CronOrEmpty = Annotated[str, AfterValidator(_is_cron_or_empty)]
TimeZone = Annotated[str, AfterValidator(_is_time_zone)]
