"""What stands above a transcript between two lines of signs: its title, its day, its address. Never speech.

Read line by line and not as YAML: a title with a colon in it is no YAML, and stands in many archives.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

FENCES = ("---", "+++")
MAX_CHARS = 65_536
DATES = ("date", "publish_date", "published", "publishdate", "pubdate", "published_at", "created", "日期")
ADDRESSES = ("url", "link", "media", "source", "source_file", "permalink", "链接")
TITLES = ("title", "标题")

_FIELD = re.compile(r"""(?P<key>\w[\w -]{0,40}?)["']?\s*[:=：]\s*(?P<value>\S.*)""")


def split(text: str) -> tuple[dict[str, str], str, int]:
    """The fields of the front matter (keys in lower case), the text below it, and how many lines it had.

    A first line of signs that no second one answers is a line of the text.
    """
    fence = next((fence for fence in FENCES if text.startswith(fence)), None)
    if fence is None or text[3:].split("\n", 1)[0].strip():
        return {}, text, 0
    end = re.compile(rf"^{re.escape(fence)}[ \t]*$", re.MULTILINE).search(text, 4, MAX_CHARS)
    if end is None:
        return {}, text, 0
    lines = text[3 : end.start()].strip("\n").split("\n")
    fields: dict[str, str] = {}
    for line in lines:
        if found := _FIELD.match(line):
            value = found["value"].strip()
            if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
                value = value[1:-1]
            fields.setdefault(found["key"].lower(), value)
    if not fields:  # two rulers with a text between them
        return {}, text, 0
    return fields, text[end.end() :], len(lines) + 2


def first_of(fields: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((fields[name] for name in names if fields.get(name)), "")


def address(fields: Mapping[str, str]) -> str:
    """The first field that holds a web address."""
    return next((fields[name] for name in ADDRESSES if re.match(r"https?://\S+$", fields.get(name, ""))), "")
