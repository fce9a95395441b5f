"""JSON and JSON Lines, in and out.

A line ends at a newline and nowhere else. `str.splitlines` also splits at U+2028, U+2029, U+0085 and at some control
characters, which a JSON string may hold as they are: so what is read is split at newlines alone, and what is written has
them escaped, for readers that split there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from hcf_pipeline.errors import UserError
from hcf_pipeline.files import parsed_json
from hcf_pipeline.text import BIDI, well_formed

# What other readers take for the end of a line, and what a terminal obeys; json.dumps escapes the rest of these itself.
_ESCAPED = re.compile(f"[\x7f-\x9f\u2028\u2029{BIDI}]")


def json_line(document: object, *, ascii_only: bool = False) -> str:
    """One document on one line, without its newline: as UTF-8 can hold it, U+FFFD for lone surrogates."""
    text = well_formed(json.dumps(document, ensure_ascii=False))
    if ascii_only:
        return json.dumps(json.loads(text))
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def read_objects(file: Path) -> Iterator[tuple[str, dict[str, object]]]:
    """("file:line", object) of each line that is not blank. Raises UserError that names the file and the line."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise UserError(
            zh=f"读不了 {file}（{error.strerror}）。", en=f"Cannot read {file} ({error.strerror})."
        ) from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        n_before = data.count(b"\n", 0, error.start)
        where = f"{file}:{n_before + 1}"
        raise UserError(
            zh=f"{where} 不是 UTF-8 编码；请把文件另存为 UTF-8。", en=f"{where} is not UTF-8; save the file as UTF-8."
        ) from error
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield f"{file}:{number}", _object(line, f"{file}:{number}")


def _object(line: str, where: str) -> dict[str, object]:
    try:
        found = parsed_json(line)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise UserError(zh=f"{where} 应是一个 JSON 对象。", en=f"{where} has to be a JSON object.")
    return found
