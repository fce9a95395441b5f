"""Vectors that were computed before, by encoder and content hash: a text is encoded once, whatever table it is in.

    <folder>/<encoder identity>/*.vectors   see vector_file.py; a folder's mtime says when it was last used

Never the source of truth: what is deleted or damaged is encoded again. Files are only added or removed whole, so a
reader that has one open is not disturbed, and a killed writer leaves at most a draft behind. Who adds holds the folder's
`.writing`, shared; who prunes needs it alone.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from hcf_pipeline.files import DRAFT
from hcf_pipeline.rag.arrays import Vectors
from hcf_pipeline.rag.encode.vector_file import SUFFIX, Hashes, VectorFile
from hcf_pipeline.store.leases import alone, writing

FAN = 8  # files of about one size are merged into one, so there are at most some eight of each power of eight
MAX_ROWS = 1 << 18  # of a merged file: what a merge holds in memory stays bounded

_intact: set[tuple[int, int, int]] = set()  # (device, inode, mtime) of files that this process has verified


class VectorCache:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def open(self, identity: str) -> list[VectorFile]:
        """All there is of one encoder, the largest file first. Damaged files are removed."""
        folder = self.folder / identity
        folder.mkdir(parents=True, exist_ok=True)
        os.utime(folder)
        found: list[VectorFile] = []
        for path in folder.glob(f"[!.]*{SUFFIX}"):
            try:
                stat = path.stat()
                file = VectorFile.open(path)
                key = (stat.st_dev, stat.st_ino, stat.st_mtime_ns)
                if key not in _intact and not file.is_intact():
                    raise ValueError(path)
            except FileNotFoundError:
                continue  # merged or pruned meanwhile
            except ValueError:
                path.unlink(missing_ok=True)
                continue
            _intact.add(key)
            found.append(file)
        return sorted(found, key=lambda file: (-len(file), file.path.name))

    def add(self, identity: str, hashes: Hashes, vectors: Vectors) -> VectorFile:
        """Keeps some vectors, in a file of their own."""
        folder = self.folder / identity
        with writing(self.folder):
            folder.mkdir(parents=True, exist_ok=True)  # pruned when it was empty
            return VectorFile.write(folder, hashes, vectors)

    def merge(self, identity: str, files: Sequence[VectorFile]) -> list[VectorFile]:
        """The same vectors in fewer files, where many of about one size have come together."""
        tiers: dict[int, list[VectorFile]] = defaultdict(list)
        for file in files:
            tiers[(len(file).bit_length() - 1) // (FAN.bit_length() - 1)].append(file)
        merged: list[VectorFile] = []
        for tier in tiers.values():
            for group in _groups(tier) if len(tier) >= FAN else [[file] for file in tier]:
                merged.append(self._merge(identity, group) if len(group) > 1 else group[0])
        return merged

    def _merge(self, identity: str, group: Sequence[VectorFile]) -> VectorFile:
        hashes = np.concatenate([file.hashes for file in group])
        whole = self.add(identity, hashes, np.concatenate([file.vectors for file in group]))
        for file in group:
            if file.path != whole.path:
                file.path.unlink(missing_ok=True)
        return whole

    def prune(self, max_bytes: int, keep: Collection[str], *, dry_run: bool = False) -> int:
        """Removes what was used longest ago until `max_bytes` hold the rest; returns the bytes that become free.

        Encoders that are not in `keep` go first, then single files of the others. Files that a published version
        shares take no room of their own: they neither count nor go. What is open stays readable. Nothing goes while
        somebody adds vectors.
        """
        if not self.folder.is_dir() or (nobody_adds := alone(self.folder)) is None:
            return 0
        with nobody_adds:
            return self._prune(max_bytes, keep, dry_run=dry_run)

    def _prune(self, max_bytes: int, keep: Collection[str], *, dry_run: bool) -> int:
        files = [file for file in self.folder.glob(f"*/[!.]*{SUFFIX}") if file.stat().st_nlink == 1]
        left = sum(file.stat().st_size for file in files)
        doomed = list(self.folder.glob(f"*/{DRAFT}*"))
        for file in sorted(files, key=lambda file: _eviction_key(file, keep)):
            if left <= max_bytes:
                break
            left -= file.stat().st_size
            doomed.append(file)
        freed = sum(file.stat().st_size for file in doomed)
        if not dry_run:
            for file in doomed:
                file.unlink()
            for folder in self.folder.glob("[!.]*"):
                if folder.is_dir() and not any(folder.iterdir()):
                    folder.rmdir()
        return freed


def _eviction_key(file: Path, keep: Collection[str]) -> tuple[bool, float, float]:
    encoder = file.parent
    return encoder.name in keep, 0.0 if encoder.name in keep else encoder.stat().st_mtime, file.stat().st_mtime


def _groups(files: Sequence[VectorFile]) -> list[list[VectorFile]]:
    groups: list[list[VectorFile]] = [[]]
    for file in sorted(files, key=len):
        if groups[-1] and sum(map(len, groups[-1])) + len(file) > MAX_ROWS:
            groups.append([])
        groups[-1].append(file)
    return groups
