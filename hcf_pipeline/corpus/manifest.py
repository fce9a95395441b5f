"""Which files the corpus holds: path, size and sha256 of each, and one root hash over all.

Nothing is copied. A file is read again only when its size or modification time moved since the manifest given
as `known`, so a look at an unchanged corpus costs one `stat` a file.
"""

from __future__ import annotations

import fnmatch
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from hcf_pipeline.errors import CorpusError
from hcf_pipeline.settings import CorpusSettings
from hcf_pipeline.store import file_sha256, hash_of

LINK_OUT = "link out of the corpus folder"
LINK_LOOP = "link loop"
LINK_BROKEN = "broken link"
UNREADABLE = "cannot be read"


@dataclass(frozen=True)
class CorpusFile:
    path: str  # relative to the corpus folder, with /
    size: int  # bytes
    mtime_ns: int
    sha256: str


@dataclass(frozen=True)
class Refused:
    """A file that is left out, and why; `byte` is the offset of the first bad byte."""

    file: str
    reason: str
    byte: int


@dataclass(frozen=True)
class Manifest:
    folder: str
    files: tuple[CorpusFile, ...]
    refused: tuple[Refused, ...]

    @property
    def root(self) -> str:
        """20 hex digits over paths and contents; modification times don't count."""
        return hash_of([[(f.path, f.sha256) for f in self.files], [(r.file, r.reason) for r in self.refused]])

    @property
    def n_bytes(self) -> int:
        return sum(f.size for f in self.files)

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), ensure_ascii=False), encoding="utf-8")

    @staticmethod
    def load(path: Path) -> Manifest:
        raw = json.loads(path.read_text(encoding="utf-8"))
        files = tuple(CorpusFile(**f) for f in raw["files"])
        return Manifest(raw["folder"], files, tuple(Refused(**r) for r in raw["refused"]))


def scan(folder: Path, settings: CorpusSettings, known: Manifest | None = None) -> Manifest:
    """The corpus as it is now, files in path order.

    Links to files and folders inside the corpus are followed; those that lead out of it, or round in a circle, are
    refused by name. Raises CorpusError when there is no such folder, or no file in it that could be a transcript.
    """
    if not folder.is_dir():
        raise CorpusError(
            zh=f"没有文稿目录 {folder}；请在 hcf.toml 的 [corpus] path 里写上文稿所在的目录，或运行 hcf corpus fetch。",
            en=f"There is no corpus folder {folder}; set [corpus] path in hcf.toml, or run hcf corpus fetch.",
        )
    before = {f.path: f for f in known.files} if known and known.folder == str(folder) else {}
    files: list[CorpusFile] = []
    refused: list[Refused] = []
    for relative, entry in _walk(folder, folder.resolve(), "", (folder.resolve(),), settings, refused):
        try:
            stat = entry.stat()
            old = before.get(relative)
            if old and (old.size, old.mtime_ns) == (stat.st_size, stat.st_mtime_ns):
                files.append(old)
            else:
                files.append(CorpusFile(relative, stat.st_size, stat.st_mtime_ns, file_sha256(Path(entry.path))))
        except OSError as error:
            refused.append(Refused(relative, f"{UNREADABLE}: {error.strerror}", 0))
    if not files and not refused:
        wanted = " ".join(settings.include)
        raise CorpusError(
            zh=f"{folder} 里没有文稿（要找的是 {wanted}）；请检查 [corpus] 的 path、include 和 exclude。",
            en=f"{folder} holds no transcript ({wanted}); check path, include and exclude of [corpus].",
        )
    return Manifest(
        str(folder), tuple(sorted(files, key=lambda f: f.path)), tuple(sorted(refused, key=lambda r: r.file))
    )


def _walk(
    folder: Path,
    top: Path,
    prefix: str,
    above: tuple[Path, ...],
    settings: CorpusSettings,
    refused: list[Refused],
) -> Iterator[tuple[str, os.DirEntry[str]]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            relative = prefix + entry.name
            if _matches(settings.exclude, entry.name, relative):
                continue
            if entry.is_symlink() and (reason := _bad_link(Path(entry.path), top, above)):
                refused.append(Refused(relative, reason, 0))
            elif entry.is_dir():
                inner = Path(entry.path)
                parents = (*above, inner.resolve()) if entry.is_symlink() else (*above, inner)
                yield from _walk(inner, top, relative + "/", parents, settings, refused)
            elif entry.is_file() and _matches(settings.include, entry.name, relative):
                yield relative, entry


def _bad_link(link: Path, top: Path, above: Sequence[Path]) -> str | None:
    try:
        target = link.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        return LINK_BROKEN if isinstance(error, FileNotFoundError) else LINK_LOOP
    if not target.is_relative_to(top):
        return LINK_OUT
    return LINK_LOOP if target in above else None


def _matches(patterns: Sequence[str], name: str, relative: str) -> bool:
    return any(fnmatch.fnmatchcase(name, p) or fnmatch.fnmatchcase(relative, p) for p in patterns)
