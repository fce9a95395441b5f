"""The store of one home: publish, find, read and remove versions."""

from __future__ import annotations

import math
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from hcf_pipeline.errors import ArtifactError, HcfError, HomeBusy, NotReady, unwritable
from hcf_pipeline.files import (
    DRAFT,
    draft_name,
    file_sha256,
    fsync,
    hash_of,
    inode,
    readable_by_all,
    replace_text,
)
from hcf_pipeline.store.artifact import CURRENT, MANIFEST, Artifact, Built, current_version, damage, manifest_text
from hcf_pipeline.store.leases import Lease, alone, claim, lease, writing
from hcf_pipeline.store.making import making
from hcf_pipeline.store.recipes import RECIPES, Followed, Recipe, followed, note_followed, read_followed

DYING = ".dying-"
MARK = ".damaged"  # in a version that was found damaged: the file that is
LOCK = ".lock"
OWNER = ".lock-owner"
TIDY_S = 2.0  # the automation holds the lock for a moment when it tidies up
ONCE = math.inf  # as max_age_s: what this process found whole is not read again

_verified: dict[tuple[Path, int, int, int], float] = {}  # path, device, inode and mtime of the manifest -> when


class Store:
    def __init__(self, home: Path) -> None:
        self.home = home

    def publish(
        self,
        asset: str,
        build: Callable[[Path], Built],
        recipe: Recipe,
        *,
        like: Artifact | None = None,
        may_publish: Callable[[], None] = lambda: None,
    ) -> Artifact:
        """What `build(folder)` wrote, as the current version of the asset.

        The version is the one that `build` returns, or the hash of all files. Content that was published before keeps
        its folder, with the inputs and the metadata of its first making. Files that are hard links to those of `like`,
        an intact version, are not read again. `may_publish` is asked once all is written, and raises where the caller
        has lost its right to publish.
        """
        with self.writing(asset):
            parent = self.home / asset
            fsync(self.home)
            draft = parent / draft_name()
            draft.mkdir()
            try:
                built = build(draft)
                files, written = _read(draft, like.digests_by_inode() if like else {})
                readable_by_all(written, draft)
                version = built.version or hash_of(files)
                may_publish()
                if self._intact(asset, version):
                    shutil.rmtree(draft)
                else:
                    if (parent / version).exists():  # damaged
                        self.remove(parent / version)
                    manifest = draft / MANIFEST
                    manifest.write_text(manifest_text(files, recipe.inputs, built.metadata), encoding="utf-8")
                    for path in (manifest, *reversed(written)):  # folders after what is in them
                        fsync(path)
                    draft.rename(parent / version)
                    fsync(parent)
            except BaseException:
                shutil.rmtree(draft, ignore_errors=True)
                raise
            return self.promote(asset, version, recipe)

    def promote(self, asset: str, version: str, recipe: Recipe | None = None) -> Artifact:
        """Makes a version that is there the current one; with `recipe` it is what that recipe gives from now on."""
        with self.writing(asset):
            artifact = self.open(asset, version)
            if recipe is not None:
                self.record(asset, version, recipe)
            replace_text(self.home / asset / CURRENT, version)
            return artifact

    def record(self, asset: str, version: str, recipe: Recipe) -> None:
        """Notes that the recipe, the last one followed, gave this version."""
        with self.writing(asset):
            note_followed(self.home / asset, recipe, version)

    def followed(self, asset: str) -> list[Followed]:
        """The recipes that were followed, the last one first."""
        return followed(self.home / asset)

    def follow(self, asset: str, recipe: str) -> Followed | None:
        """The recipe of that id, if it was followed before."""
        return read_followed(self.home / asset / RECIPES / f"{recipe}.json")

    def open(self, asset: str, version: str) -> Artifact:
        """Raises NotReady when that version is not there, ArtifactError when its manifest is unreadable."""
        return Artifact.open(self.home / asset / version)

    def lease(self, asset: str, version: str) -> Lease:
        """That version, which stays where it is as long as the lease is held. Raises as `open` does."""
        return lease(self.home / asset / version)

    def current(self, asset: str) -> Artifact | None:
        """The version published last or rolled back to; None before the first, and where the pointer is damaged."""
        version = current_version(self.home / asset)
        if version is None or not (self.home / asset / version / MANIFEST).is_file():
            return None
        return self.open(asset, version)

    def readable(self, asset: str) -> Artifact | None:
        """As `current`, and None too where its manifest is damaged."""
        try:
            return self.current(asset)
        except ArtifactError:
            return None

    def find(self, asset: str, recipe: Recipe) -> Artifact | None:
        """The intact version that this recipe gave before, or None."""
        followed = self.follow(asset, recipe.id)
        return self.open(asset, followed.version) if followed and self._intact(asset, followed.version) else None

    def versions(self, asset: str) -> list[str]:
        """Every version that is there, in no order."""
        return [file.parent.name for file in (self.home / asset).glob(f"[!.]*/{MANIFEST}")]

    def assets(self) -> list[str]:
        """The assets that have anything published."""
        return sorted(file.parent.name for file in self.home.glob(f"[!.]*/{CURRENT}"))

    def leftovers(self) -> list[Path]:
        """What was left half-written, or half-removed; some of it may be at work still: see `alone`."""
        names = (f"{DRAFT}*", f"*/{DRAFT}*", f"*/{RECIPES}/{DRAFT}*", f"*/{DYING}*")
        return [path for name in names for path in self.home.glob(name)]

    def remove(self, path: Path) -> None:
        """Removes a version or a leftover. It loses its name first: no half-removed version is taken for a whole one."""
        if path.is_dir():
            dying = path.with_name(draft_name(prefix=DYING))
            path.rename(dying)
            shutil.rmtree(dying, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)

    def remove_version(self, asset: str, version: str) -> bool:
        """Removes a version with the recipes that give it; False where somebody reads it or writes to its asset."""
        folder = self.home / asset
        if (nobody := alone(folder)) is None:
            return False
        with nobody:
            if (unread := claim(folder / version)) is None:
                return False
            with unread:
                for one in self.followed(asset):
                    if one.version == version:
                        self.remove(folder / RECIPES / f"{one.recipe.id}.json")
                self.remove(folder / version)
        return True

    def writing(self, asset: str) -> AbstractContextManager[None]:
        """Held by whoever writes below an asset's folder: nothing is removed there meanwhile."""
        return writing(self.home / asset)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Held by the one command that refreshes or tidies this home; raises HomeBusy with its owner."""
        lock = FileLock(self.home / LOCK)
        try:
            self.home.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=TIDY_S)
        except OSError as error:
            if not isinstance(error, Timeout):
                raise unwritable(self.home, error) from error
            pid = self.owner() or "?"
            raise HomeBusy(
                zh=f"进程 {pid} 正在更新 {self.home}；请等它结束后再运行。",
                en=f"Process {pid} is refreshing {self.home}; run this again when it has ended.",
            ) from None
        try:
            (self.home / OWNER).write_text(str(os.getpid()), encoding="utf-8")
            yield
        finally:
            with suppress(OSError):
                (self.home / OWNER).unlink()
            lock.release()

    def owner(self) -> int | None:
        """The process that holds `lock`, if any; 0 where it didn't say."""
        lock = FileLock(self.home / LOCK)
        try:
            if self.home.is_dir():
                lock.acquire(timeout=0)
                lock.release()
            return None
        except Timeout:
            with suppress(FileNotFoundError, ValueError):
                return int((self.home / OWNER).read_text(encoding="utf-8", errors="replace"))
            return 0

    def making(self, asset: str, run: str, given_up: Callable[[str], bool]) -> AbstractContextManager[None]:
        """Held while one asset is made, by one process at a time: see making.py."""
        return making(self.home / asset, run, given_up)

    def verify(self, artifact: Artifact, max_age_s: float = 0) -> None:
        """As `Artifact.verify`; what this process found whole at most `max_age_s` seconds ago is not read again.

        What is found damaged is marked, so that `known_damage` tells others; what is found whole loses its mark.
        """
        manifest, mark = artifact.path / MANIFEST, artifact.path / MARK
        try:
            key = (artifact.path, *inode(manifest), manifest.stat().st_mtime_ns)
        except FileNotFoundError:
            raise damage(artifact.path, manifest) from None
        if time.monotonic() - _verified.get(key, -math.inf) < max_age_s and not mark.exists():
            return
        _verified.pop(key, None)
        if (name := artifact.damaged_file()) is not None:
            with suppress(OSError):  # a home that can only be read
                mark.write_text(name, encoding="utf-8")
            raise damage(artifact.path, artifact.path / name)
        with suppress(OSError):
            mark.unlink(missing_ok=True)
        _verified[key] = time.monotonic()

    def known_damage(self, asset: str, version: str) -> HcfError | None:
        """Why that version cannot be used, as far as it is known without reading its files: it is gone, or was marked."""
        try:
            path = self.open(asset, version).path
            return damage(path, path / (path / MARK).read_text(encoding="utf-8", errors="replace"))
        except FileNotFoundError:
            return None
        except (NotReady, ArtifactError) as error:
            return error

    def _intact(self, asset: str, version: str) -> bool:
        try:
            self.verify(self.open(asset, version))
        except (NotReady, ArtifactError):
            return False
        return True


def _read(draft: Path, known: Mapping[tuple[int, int], str]) -> tuple[dict[str, str], list[Path]]:
    """(sha256 of every file by its name, what has to reach the disk: files that are not `known`, and all folders)."""
    files: dict[str, str] = {}
    written: list[Path] = [draft]
    for path in sorted(draft.rglob("*")):
        if path.is_dir():
            written.append(path)
        elif digest := known.get(inode(path)):
            files[path.relative_to(draft).as_posix()] = digest
        else:
            files[path.relative_to(draft).as_posix()] = file_sha256(path)
            written.append(path)
    return files, written
