"""The files of a corpus folder that could be transcripts, and those that are refused on sight."""

from __future__ import annotations

import errno
import fnmatch
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from hcf_pipeline.settings import CorpusSettings

LINK_OUT = "link out of the corpus folder"
LINK_LOOP = "link loop"
LINK_BROKEN = "broken link"
UNREADABLE = "cannot be read"
NAME_NOT_UTF8 = "its name is not UTF-8"

Found = tuple[str, os.DirEntry[str]]


def walk(folder: Path, settings: CorpusSettings, refuse: Callable[[str, str], None]) -> Iterator[Found]:
    """(path in the corpus, entry) of each file that could be a transcript, in no order; folders may be of any depth.

    Links to files and folders inside the corpus are followed. `refuse(path, reason)` is told of those that lead out of
    it or round in a circle, of folders that can't be read, and of names that are no text. What vanishes is not there.
    """
    top = folder.resolve()
    walk = _Walk(top, any_of(settings.exclude), any_of(settings.include), refuse, [_Folder(str(folder), "", (top,))])
    while walk.waiting:
        yield from walk.files_in(walk.waiting.pop())


class _Folder(NamedTuple):
    path: str
    prefix: str  # of what lies in it, in the corpus
    above: tuple[Path, ...]  # the folders that it lies in, and itself, resolved


@dataclass(frozen=True)
class _Walk:
    top: Path
    excluded: re.Pattern[str]
    included: re.Pattern[str]
    refuse: Callable[[str, str], None]
    waiting: list[_Folder]

    def files_in(self, folder: _Folder) -> Iterator[Found]:
        """Those of one folder; the folders in it wait for their turn."""
        try:
            entries = list(os.scandir(folder.path))
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            self._refuse(folder.prefix or ".", f"{UNREADABLE}: {error.strerror}")
            return
        for entry in entries:
            name, relative = entry.name, folder.prefix + entry.name
            if self.excluded.match(name) or self.excluded.match(relative):
                continue
            try:
                if self._is_file(entry, relative, folder.above):
                    yield relative, entry
            except OSError as error:  # such as a path that is longer than the system takes
                self._refuse(relative, f"{UNREADABLE}: {error.strerror}")

    def _is_file(self, entry: os.DirEntry[str], relative: str, above: tuple[Path, ...]) -> bool:
        """Whether it could be a transcript; a folder is noted down, and what is wrong refused."""
        is_link = entry.is_symlink()
        if is_link and (reason := _bad_link(Path(entry.path), self.top, above)):
            if os.path.lexists(entry.path):
                self._refuse(relative, reason)
            return False
        if entry.is_dir():
            if self._is_text(relative):
                here = Path(entry.path).resolve() if is_link else above[-1] / entry.name
                self.waiting.append(_Folder(entry.path, relative + "/", (*above, here)))
            return False
        return self._wanted(entry.name, relative) and entry.is_file() and self._is_text(relative)

    def _wanted(self, name: str, relative: str) -> bool:
        return bool(self.included.match(name) or self.included.match(relative))

    def _is_text(self, relative: str) -> bool:
        """Whether a name can be written down; else it is refused. A name on disk is bytes, in any encoding."""
        try:
            relative.encode("utf-8")
        except UnicodeEncodeError:
            self._refuse(relative, NAME_NOT_UTF8)
            return False
        return True

    def _refuse(self, relative: str, reason: str) -> None:
        self.refuse(os.fsencode(relative).decode("utf-8", "backslashreplace"), reason)


def _bad_link(link: Path, top: Path, above: Sequence[Path]) -> str | None:
    try:
        target = link.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        if isinstance(error, OSError) and error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            raise
        return LINK_BROKEN if isinstance(error, FileNotFoundError) else LINK_LOOP
    if not target.is_relative_to(top):
        return LINK_OUT
    return LINK_LOOP if target in above else None


def any_of(patterns: Sequence[str]) -> re.Pattern[str]:
    """All patterns in one, compiled once: asked twice for every name there is."""
    return re.compile("|".join(fnmatch.translate(pattern) for pattern in patterns) or r"(?!)")
