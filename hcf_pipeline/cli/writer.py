"""The one way out: what reaches a terminal, or whoever reads instead of one, goes through a Writer.

Every text is made visible (see text.py), and none is read as markup: a style stands beside its text, never inside it.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager

from rich.console import Console
from rich.table import Table
from rich.text import Text

from hcf_pipeline.jsonl import json_line
from hcf_pipeline.text import one_line, visible

Piece = str | tuple[str, str]  # a text, or a text and its style

SPINNER, PLAIN_SPINNER = "dots", "line"


class Writer:
    """Writes to stdout or stderr as they are at that moment, with styles where a terminal shows them."""

    def __init__(self, *, stderr: bool = False) -> None:
        self._console = Console(stderr=stderr, highlight=False, markup=False, emoji=False, soft_wrap=True)

    @property
    def console(self) -> Console:
        """For the bars of a refresh; whoever else writes, writes with the methods below."""
        return self._console

    @property
    def is_terminal(self) -> bool:
        return self._console.is_terminal

    @property
    def width(self) -> int:
        """Columns that there is room for."""
        return self._console.width

    @property
    def spinner(self) -> str:
        """The name of a spinner that the terminal's encoding has the characters of."""
        try:
            "⠋".encode(self._console.encoding)
        except (UnicodeEncodeError, LookupError):
            return PLAIN_SPINNER
        return SPINNER

    def print(self, *pieces: Piece, end: str = "\n", style: str = "") -> None:
        """The pieces one after the other, with nothing between them. Newlines in them are written."""
        self._console.print(_text(pieces, visible), end=end, style=style)

    def table(self, headings: Sequence[str], rows: Iterable[Sequence[Piece]]) -> None:
        table = Table(box=None, pad_edge=False)
        for heading in headings:
            table.add_column(_text([heading], one_line))
        for row in rows:
            table.add_row(*(_text([cell], one_line) for cell in row))
        self._console.print(table)

    def rule(self, title: str) -> None:
        self._console.rule(_text([title], one_line))

    def waiting(self, text: str) -> AbstractContextManager[object]:
        """Shows in a terminal that something is being waited for."""
        return self._console.status(_text([text], one_line), spinner=self.spinner)

    def flush(self) -> None:
        self._console.file.flush()

    def json(self, document: object) -> None:
        """One document on one line: in UTF-8, or all in ASCII where the stream has another encoding."""
        stream = self._console.file
        line = json_line(document, ascii_only=not _is_utf8(self._console.encoding))
        stream.write(line + "\n")
        stream.flush()


def _text(pieces: Iterable[Piece], shown: Callable[[str], str]) -> Text:
    text = Text()
    for piece in pieces:
        words, style = (piece, "") if isinstance(piece, str) else piece
        text.append(shown(words), style)
    return text


def _is_utf8(encoding: str) -> bool:
    try:
        return codecs.lookup(encoding).name == "utf-8"
    except LookupError:
        return False
