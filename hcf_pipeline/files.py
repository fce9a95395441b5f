"""What the store does to single files: hashes, links, replacements that are whole, JSON that knows its own hash."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

DRAFT = ".draft-"  # what is not yet published, or replaced
SEAL = "seal"  # in sealed JSON: the hash of the rest


def hash_of(value: object) -> str:
    """20 hex digits of the sha256 of a value's canonical JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:20]


def number_of(text: str) -> int:
    """64 bits of the sha256 of a text, by which it is drawn or put into order."""
    return int.from_bytes(hashlib.sha256(text.encode("utf-8")).digest()[:8], "big")


def link_or_copy(source: Path, target: Path) -> None:
    """The same file under a second name, so that versions share what they have in common; a copy where that can't be."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files_below(folder: Path) -> Iterator[Path]:
    """Every file below a folder, in no order; links to files are files, links to folders are not followed.

    However deep the folders are: the standard library's walks call themselves once a level.
    """
    waiting = [str(folder)]
    while waiting:
        try:
            entries = list(os.scandir(waiting.pop()))
        except (PermissionError, FileNotFoundError, NotADirectoryError):
            continue
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                waiting.append(entry.path)
            elif not entry.is_symlink() and entry.is_file():  # known already, without another look
                yield Path(entry.path)
            elif (path := Path(entry.path)).is_file():
                yield path


def remove_tree(folder: Path) -> None:
    """Removes a folder of any depth, as far as that can be done: what lies deeper is pulled up first.

    So no path grows longer than the system takes, and nothing here calls itself.
    """
    with suppress(OSError):
        if folder.is_symlink():
            return
        while inside := list(os.scandir(folder)):
            for entry in inside:
                if not entry.is_dir(follow_symlinks=False):
                    Path(entry.path).unlink()
                    continue
                for deeper in list(os.scandir(entry.path)):
                    if deeper.is_dir(follow_symlinks=False):
                        Path(deeper.path).rename(folder / secrets.token_hex(10))
                    else:
                        Path(deeper.path).unlink()
                Path(entry.path).rmdir()
        folder.rmdir()


def parsed_json(text: str | bytes) -> Any:
    """As `json.loads`, of a text that people wrote: ValueError too where it is nested without end."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def sealed(value: Mapping[str, object]) -> str:
    """JSON with a hash of itself: the store's own books are as hard to falsify as the files they speak of."""
    return json.dumps({**value, SEAL: hash_of(value)}, ensure_ascii=False, indent=1, sort_keys=True)


def unsealed(text: str) -> dict[str, Any]:
    """Raises ValueError or KeyError where the text is not what was sealed."""
    value: dict[str, Any] = json.loads(text)
    if (
        not isinstance(value, dict)
        or hash_of({name: part for name, part in value.items() if name != SEAL}) != value[SEAL]
    ):
        raise ValueError(SEAL)
    return value


def readable_by_all(written: Iterable[Path], like: Path) -> None:
    """Gives files and folders the permissions that the folder `like`, just made, got from the umask.

    What goes by way of a temporary file (safetensors) is its owner's alone, whatever the umask says. A disk that knows no
    permissions keeps what it has.
    """
    mode = stat.S_IMODE(like.stat().st_mode) & 0o777
    for path in written:
        wanted = mode if path.is_dir() else mode & 0o666
        with suppress(OSError):
            if stat.S_IMODE(path.stat().st_mode) & 0o777 != wanted:
                path.chmod(wanted)


def is_closed(path: Path) -> bool:
    """Whether this user lacks the permission to read a file or to enter a folder above it."""
    for place in (path, *path.parents):
        try:
            is_folder = stat.S_ISDIR(place.stat().st_mode)
        except PermissionError:
            return True
        except OSError:
            continue  # to be made, in a folder above
        return not os.access(place, os.R_OK | os.X_OK if is_folder else os.R_OK)
    return False


def draft_name(name: str = "", prefix: str = DRAFT) -> str:
    """A name that nobody else has; a process id alone is not enough, every container has its process 1."""
    return "-".join(filter(None, (f"{prefix}{os.getpid()}", secrets.token_hex(10), name)))


def replace_text(path: Path, text: str) -> None:
    """Replaces a file as a whole, and waits for the disk."""
    draft = path.with_name(draft_name(path.name))
    with draft.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    fsync(path.parent)


def fsync(path: Path) -> None:
    if os.name == "nt" and path.is_dir():  # Windows cannot open a folder
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def inode(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_dev, stat.st_ino
