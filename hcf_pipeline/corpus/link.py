"""Where a citation can be opened: a template with fields, and the address that it gives for one place of the corpus.

    https://example.org/{path}              the page
    https://example.org/watch/{title}?t={start_s}   the second of the recording
    {url}?t={start_s}                       the same, where the front matter tells the recording's address

A value is percent-encoded, but for `{url}` at the beginning, which is an address already. What comes after such a `?` goes
behind the query that the address has of its own.
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from urllib.parse import quote, urlsplit

FIELDS = ("path", "date", "title", "url", "start_s")
URL = "{url}"
SCHEMES = ("http", "https")

_ADDRESS = re.compile(r"https?://[^/?#]+", re.IGNORECASE)
_IN_ADDRESS = "%/:?#[]@!$&'()*+,;=~"  # what an address may hold as it is


def fields_of(template: str) -> list[str]:
    """The names of the fields. Raises ValueError where it is no template: a brace alone, a format behind a name."""
    names: list[str] = []
    for _, name, form, conversion in string.Formatter().parse(template):
        if form or conversion:
            raise ValueError(template)
        if name is not None:
            names.append(name)
    return names


def is_address(template: str) -> bool:
    """Whether what it gives is an address of the web, and nothing that a program would run."""
    begins = template.startswith(URL) or _ADDRESS.match(template)
    return bool(begins) and not re.search(r"\s|[\x00-\x1f\x7f]", template)


def link_to(template: str, values: Mapping[str, str]) -> str | None:
    """The address; None where a field has no value, or where `{url}` begins it and is none of the web."""
    names = fields_of(template)
    if any(not values.get(name) for name in names):
        return None
    rest, begin = template, ""
    if template.startswith(URL):
        address = values["url"].strip()
        if not _is_of_the_web(address):
            return None
        begin, rest = quote(address, safe=_IN_ADDRESS), template.removeprefix(URL)
        if rest:
            begin = begin.partition("#")[0]
        if rest.startswith("?") and "?" in begin:
            rest = "&" + rest[1:]
    return begin + rest.format_map({name: quote(values[name], safe="/" if name == "path" else "") for name in names})


def _is_of_the_web(address: str) -> bool:
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    return parts.scheme.lower() in SCHEMES and bool(parts.hostname)
