"""[corpus]: where transcripts lie, who speaks in them, and how they are written."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from hcf_pipeline.corpus.dates import DateOrder
from hcf_pipeline.corpus.forms.names import FORMS
from hcf_pipeline.corpus.link import FIELDS, fields_of, is_address
from hcf_pipeline.settings.types import (
    Kind,
    Labels,
    NonEmpty,
    Pattern,
    Positive,
    Refused,
    Run,
    Section,
    Serving,
    compiles,
)

ANYBODY = "*"  # in guest_labels: whoever speaks and is set nowhere


class CorpusSettings(Section):
    kind = Kind.RESULT

    path: Run[Path] = Field(Path("data/sample"), description="the corpus folder, relative to hcf.toml")
    include: list[NonEmpty] = Field(["*.md"], description="file name patterns of transcripts")
    form: NonEmpty = Field(
        "auto",
        description='how turns are opened: "label" (a name and a colon), "bracket" (【name】), "tab", "name_time" (a name and a '
        'time on a line of their own), "heading" (### name), "name" (a name on a line of its own), "subtitles", "ass", "json"; '
        '"auto" looks at each file; or a regular expression with the groups label, text and time, matched at the start of a line',
    )
    json_fields: list[NonEmpty] = Field(
        [], description="names of the fields of speaker, start and text in recogniser JSON; empty: the usual ones"
    )
    exclude: list[NonEmpty] = Field(
        ["README*.md", "SUMMARY.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE*.md", ".*"],
        description="file or folder name patterns, or path patterns, that are no transcripts",
    )
    host_labels: Labels = Field(["江照野", "户晨风"], description="labels of the persona's turns")
    guest_labels: list[NonEmpty] = Field(
        ["水友", "某网友"],
        description='labels of everybody else\'s turns; "*": whoever is not the host; empty: only the host speaks, and learns to go on',
    )
    other_labels: list[NonEmpty] = Field(
        [], description="labels of speakers who are neither: what they say is nobody's, and ends the pair before"
    )
    not_labels: list[NonEmpty] = Field([], description="what stands before a colon at line starts and is no speaker")
    date_pattern: str = Field(
        "",
        description="regular expression with the groups year, month and day, searched in the file name; empty: days in all "
        "usual ways, in the path, the front matter (date, publish_date, published), the first heading, and beside the times of a chat of one day",
    )
    date_order: DateOrder = Field("day", description="what comes first in 05.03.2024")
    interrupted_pattern: Pattern = Field(r"-INC$", description="searched in the file name without its ending")
    noise: list[Pattern] = Field([r"^【API调用失败"], description="regular expressions of lines to drop")
    lost_pattern: Pattern = Field(
        r"失败|错误|异常|超时|中断|断开|丢失|缺失|听不清|无法识别|(?i:error|fail|timed? ?out|lost|missing|inaudible|unintelligible)",
        description="searched in lines of noise: where it matches, words were lost, and the turn is not learnt",
    )
    max_file_mb: Positive = Field(64, description="larger files are quarantined, MB of 1,000,000 bytes")
    link: Serving[str] = Field(
        "",
        description="where a citation opens, such as https://example.org/{path} or {url}?t={start_s}; of {path}, {date}, {title}, "
        "{url} (the front matter's) and {start_s} (whole seconds); a citation without a value for one of them has no link",
    )
    git_url: Run[str] = Field("", description="what `hcf corpus fetch` without an argument clones or updates")

    @field_validator("date_pattern")
    @classmethod
    def _date_groups(cls, pattern: str) -> str:
        if not pattern:
            return pattern
        groups = re.compile(compiles(pattern)).groupindex
        if not {"year", "month", "day"} <= set(groups):
            groups_needed = "(?P<year>…) (?P<month>…) (?P<day>…)"
            raise Refused(
                zh=f"含有 {groups_needed} 三个分组的正则表达式", en=f"a pattern with the groups {groups_needed}"
            )
        return pattern

    @field_validator("link")
    @classmethod
    def _link(cls, template: str) -> str:
        allowed = " ".join(f"{{{name}}}" for name in FIELDS)
        try:
            unknown = set(fields_of(template)) - set(FIELDS)
        except ValueError:
            unknown = {"{"}
        if template and (unknown or not is_address(template)):
            raise Refused(
                zh=f"以 http:// 或 https:// 或 {{url}} 开头、不含空格的地址，其中的字段只能是 {allowed}",
                en=f"an address that begins with http://, https:// or {{url}} and holds no space, with no other fields than {allowed}",
            )
        return template

    @field_validator("form")
    @classmethod
    def _form(cls, form: str) -> str:
        if form in FORMS or "label" in re.compile(compiles(form)).groupindex:
            return form
        raise Refused(
            zh=f"{' '.join(FORMS)} 之一，或含有分组 (?P<label>…) 的正则表达式",
            en=f"one of {' '.join(FORMS)}, or a regular expression with the group (?P<label>…)",
        )

    @field_validator("json_fields")
    @classmethod
    def _json_fields(cls, names: list[str]) -> list[str]:
        if len(names) not in (0, 3):
            raise Refused(
                zh="三个字段名：说话人、开始时间、文字", en="three names of fields: those of speaker, start and text"
            )
        return names

    @field_validator("host_labels", "guest_labels", "other_labels", "not_labels")
    @classmethod
    def _labels(cls, labels: list[str], info: ValidationInfo) -> list[str]:
        for label in labels:
            if label != label.strip() or "：" in label or ":" in label or "\n" in label:
                raise Refused(
                    zh="不带冒号、前后无空格的称呼", en="a label without its colon and without spaces around it"
                )
        if ANYBODY in labels and info.field_name != "guest_labels":
            raise Refused(
                zh=f'称呼；"{ANYBODY}" 只能写在 guest_labels 里',
                en=f'labels; "{ANYBODY}" may stand in guest_labels alone',
            )
        return labels

    @property
    def is_monologue(self) -> bool:
        """Nobody asks: the persona speaks alone."""
        return not self.guest_labels

    @model_validator(mode="after")
    def _sides_differ(self) -> Self:
        seen: dict[str, str] = {}
        for key in ("host_labels", "guest_labels", "other_labels", "not_labels"):
            for name in sorted(set(getattr(self, key))):
                before = seen.setdefault(name, key)
                if before != key:
                    raise Refused(
                        zh=f"每个称呼只属于一方（{name} 同时在 {before} 和 {key} 里）",
                        en=f"each label on one side only ({name} stands in {before} and in {key})",
                    )
        return self
