"""Text from outside: decoded whatever its bytes are, and shown as what it is.

A transcript, a file's name, a model's words or a server's sentence may hold what a terminal obeys: ESC sequences that
set its title or its clipboard, a carriage return that writes over a line, marks that turn the reading direction round.
`visible` puts a sign in the place of each, so that they are read and not obeyed. Bytes that no encoding explains become
lone surrogates in Python (PEP 383), which no tokenizer, no UTF-8 and no JSON takes: `well_formed` has none.
"""

from __future__ import annotations

import os
import re

CONTROL = "\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 without tab and newline, DEL, C1
BIDI = "\u202a-\u202e\u2066-\u2069"  # embeddings, overrides and isolates
SURROGATES = "\ud800-\udfff"
PICTURES = 0x2400  # of the C0 controls: U+241B is ␛
UNDECODED = range(0xDC80, 0xDD00)  # the bytes 0x80 to 0xff of a name that is not UTF-8

_UNSAFE = re.compile(f"[{CONTROL}{BIDI}{SURROGATES}]")
_UNSAFE_IN_LINE = re.compile(f"[\t\n{CONTROL}{BIDI}{SURROGATES}]")
_SURROGATE = re.compile(f"[{SURROGATES}]")
_CHINESE = re.compile("[\u3000-\u9fff\uff00-\uffef]")


def visible(text: str) -> str:
    """The text with a sign for everything that a terminal would obey: ␛ for ESC, ␍ for a carriage return, \\u202e for an
    override, \\xff for a byte that is no text. Newlines and tabs stay."""
    return _UNSAFE.sub(_sign, text)


def one_line(text: str) -> str:
    """As `visible`, with signs for newlines and tabs too: a name cannot begin a line of its own."""
    return _UNSAFE_IN_LINE.sub(_sign, text)


def _sign(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code < 0x20:
        return chr(PICTURES + code)
    if code in UNDECODED:
        return f"\\x{code - 0xDC00:02x}"
    return "␡" if code == 0x7F else f"\\u{code:04x}"


def clock(seconds: float) -> str:
    """1:02:03, or 2:03 within the first hour."""
    minutes, s = divmod(int(seconds), 60)
    hours, m = divmod(minutes, 60)
    return f"{hours}:{m:02}:{s:02}" if hours else f"{m}:{s:02}"


def well_formed(text: str) -> str:
    """The text as UTF-8 can hold it: U+FFFD for each lone surrogate."""
    return _SURROGATE.sub("\ufffd", text)


def argument_text(argument: str) -> str:
    """What was meant by an argument or an environment variable that is text (a path keeps its surrogates, the file system
    wants its bytes back)."""
    return decoded(os.fsencode(argument)) if _SURROGATE.search(argument) else argument


def decoded(data: bytes, encoding: str = "utf-8") -> str:
    """Bytes that somebody typed, as text: UTF-8, else the terminal's encoding, else GBK, whichever fits from end to end.

    Where none does, UTF-8 with U+FFFD in the place of what is broken. A whole Chinese character in UTF-8 is hardly ever
    an accident: such bytes are UTF-8 with a broken end, never GBK.
    """
    for candidate in ("utf-8", encoding):
        try:
            return data.decode(candidate)
        except (UnicodeDecodeError, LookupError):
            continue
    broken = data.decode("utf-8", "replace")
    if not _CHINESE.search(broken):
        try:
            return data.decode("gb18030")
        except UnicodeDecodeError:
            pass
    return broken
