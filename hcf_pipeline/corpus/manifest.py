"""Which files the corpus holds: path, size and sha256 of each, and one root hash over all. Nothing is copied.

A look remembers each file's size and times, so that the next one reads only what may have changed: a file counts as
unchanged if all of them are what they were, and were not new when it was looked at. (A file that is written twice
within a tick of the clock has one time for two contents: Git calls such entries racy.) So a look at an unchanged
corpus costs one `stat` a file; 100,000 take a second.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from hcf_pipeline.corpus.endings import include_for
from hcf_pipeline.corpus.walk import UNREADABLE, walk
from hcf_pipeline.errors import CorpusError, damaged
from hcf_pipeline.files import draft_name, hash_of
from hcf_pipeline.settings import CorpusSettings

MANIFEST = "corpus.json"  # in an artifact
LAST_LOOK = ".look.json"  # beside the artifacts
RACY_NS = 2_000_000_000  # FAT keeps times in steps of two seconds


class CorpusFile(NamedTuple):
    path: str  # relative to the corpus folder, with /
    size: int  # bytes
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
    files: tuple[CorpusFile, ...]  # in path order
    refused: tuple[Refused, ...]

    @cached_property
    def root(self) -> str:
        """20 hex digits over paths and contents."""
        return hash_of([[(f.path, f.sha256) for f in self.files], [(r.file, r.reason) for r in self.refused]])

    @property
    def hashes(self) -> dict[str, str]:
        """sha256 by path."""
        return {file.path: file.sha256 for file in self.files}

    @property
    def n_bytes(self) -> int:
        return sum(f.size for f in self.files)

    def at(self, folder: Path) -> Manifest:
        """The same files in another folder: a project may move with its artifacts."""
        return replace(self, folder=str(folder))

    def save(self, path: Path) -> None:
        written = {"folder": self.folder, "files": self.files, "refused": _plain(self.refused)}
        path.write_text(json.dumps(written, ensure_ascii=False), encoding="utf-8")

    @staticmethod
    def load(path: Path) -> Manifest:
        """Raises ArtifactError where the file is none of ours, or was written by another version of this program."""
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
            files = tuple(CorpusFile(*row) for row in raw["files"])
            return Manifest(raw["folder"], files, tuple(Refused(*row) for row in raw["refused"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise damaged(path) from error


class Times(NamedTuple):
    mtime_ns: int
    ctime_ns: int


@dataclass(frozen=True)
class CorpusLook:
    """The corpus at one moment, and what the next look needs to know of it."""

    manifest: Manifest
    times: tuple[Times, ...]  # of manifest.files, in their order
    looked_ns: int  # by the clock; when it began, or ended if the clock was set back meanwhile
    n_hashed: int = field(default=0, compare=False)  # files that were read for it

    def save(self, path: Path) -> None:
        """Replaces the record at `path`, whose folder is there; one that a crash left torn reads as none."""
        manifest = self.manifest
        files = [(*file, *times) for file, times in zip(manifest.files, self.times, strict=True)]
        written = {
            "looked_ns": self.looked_ns,
            "folder": manifest.folder,
            "files": files,
            "refused": _plain(manifest.refused),
        }
        body = json.dumps(written, ensure_ascii=False).encode("utf-8")
        draft = path.with_name(draft_name(path.name))
        draft.write_bytes(hashlib.sha256(body).hexdigest().encode("ascii") + b"\n" + body)
        draft.replace(path)

    @staticmethod
    def load(path: Path) -> CorpusLook | None:
        """None where there is no record, or a damaged one: then the next look reads everything."""
        try:
            digest, _, body = path.read_bytes().partition(b"\n")
        except OSError:
            return None
        if hashlib.sha256(body).hexdigest().encode("ascii") != digest:
            return None
        raw = json.loads(body)
        files = tuple(CorpusFile(path, size, sha256) for path, size, sha256, _, _ in raw["files"])
        times = tuple(Times(mtime_ns, ctime_ns) for _, _, _, mtime_ns, ctime_ns in raw["files"])
        manifest = Manifest(raw["folder"], files, tuple(Refused(*row) for row in raw["refused"]))
        return CorpusLook(manifest, times, raw["looked_ns"])


def scan(folder: Path, settings: CorpusSettings) -> Manifest:
    """The corpus as it is now, every file read. Raises what `look_at` does."""
    return look_at(folder, settings).manifest


def look_at(folder: Path, settings: CorpusSettings, before: CorpusLook | None = None) -> CorpusLook:
    """The corpus as it is now; files that have not changed since the look `before` are not read.

    What vanishes meanwhile is not there; what can't be read is refused by name. Raises CorpusError when there is no
    such folder, or no file in it that could be a transcript.
    """
    if not folder.is_dir():
        raise CorpusError(
            zh=f"没有文稿目录 {folder}；请在 hcf.toml 的 [corpus] path 里写上文稿所在的目录，或运行 hcf corpus fetch。",
            en=f"There is no corpus folder {folder}; set [corpus] path in hcf.toml, or run hcf corpus fetch.",
        )
    looked_ns, n_hashed = time.time_ns(), 0
    known = _known(before, folder)
    found: list[tuple[CorpusFile, Times]] = []
    refused: list[Refused] = []
    for path, entry in walk(folder, settings, lambda path, reason: refused.append(Refused(path, reason, 0))):
        try:
            stat = entry.stat()
            seen = known.get((path, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns))
            if seen is None:
                n_hashed += 1
                seen = _read(path, entry.path)
            found.append(seen)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            refused.append(Refused(path, f"{UNREADABLE}: {error.strerror}", 0))
    if not found and not refused:
        raise _no_transcript(folder, settings)
    found.sort()
    refused.sort(key=lambda one: one.file)
    manifest = Manifest(str(folder), tuple([file for file, _ in found]), tuple(refused))
    return CorpusLook(manifest, tuple([times for _, times in found]), min(looked_ns, time.time_ns()), n_hashed)


def _no_transcript(folder: Path, settings: CorpusSettings) -> CorpusError:
    looked_for = " ".join(settings.include)
    if wanted := include_for(folder, settings.include):
        return CorpusError(
            zh=f"{folder} 里没有要找的文稿（{looked_for}），别的后缀的有；请在 hcf.toml 的 [corpus] 里写 include = {wanted}，"
            f"或运行 hcf init {folder} --force。",
            en=f"{folder} holds no transcript of those looked for ({looked_for}), but some of other endings: write include = "
            f"{wanted} under [corpus] in hcf.toml, or run hcf init {folder} --force.",
        )
    return CorpusError(
        zh=f"{folder} 里没有文稿（要找的是 {looked_for}）；请检查 [corpus] 的 path、include 和 exclude。",
        en=f"{folder} holds no transcript ({looked_for}); check path, include and exclude of [corpus].",
    )


def _known(before: CorpusLook | None, folder: Path) -> dict[tuple[str, int, int, int], tuple[CorpusFile, Times]]:
    """What may be taken over unread, by path, size and times."""
    if before is None or before.manifest.folder != str(folder):
        return {}
    newest = before.looked_ns - RACY_NS
    return {
        (file.path, file.size, *times): (file, times)
        for file, times in zip(before.manifest.files, before.times, strict=True)
        if max(times) < newest
    }


def _read(path: str, file: str) -> tuple[CorpusFile, Times]:
    """Times are those from before reading: a file that is written to meanwhile is read again by the next look."""
    with Path(file).open("rb", buffering=0) as opened:
        stat = os.fstat(opened.fileno())
        sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
        return CorpusFile(path, opened.tell(), sha256), Times(stat.st_mtime_ns, stat.st_ctime_ns)


def _plain(refused: Sequence[Refused]) -> list[tuple[str, str, int]]:
    return [(one.file, one.reason, one.byte) for one in refused]
