"""Artifacts in immutable folders, published by one rename.

    <home>/<asset>/<version>/manifest.json   sha256 of every file, versions of the inputs, metadata
    <home>/<asset>/recipes/<recipe>.json     a recipe (code, settings, input versions) and the version that it gave
    <home>/<asset>/current                   the version that was published last, or rolled back to
    <home>/<asset>/.lock                     held by the step that makes this asset
    <home>/.lock                             held by the one `hcf refresh` (or gc, or rollback) of this home

A version is written under a temporary name beside its final one, files and folders fsynced, then renamed; `current`
and the recipe files are replaced with os.replace. So a reader sees a whole version or none. Readers open a version
once and keep it: they never read `current` twice. Versions share unchanged files as hard links.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import psutil
from filelock import FileLock, Timeout

from hcf_pipeline.errors import ArtifactError, HomeBusy, NotReady, unwritable
from hcf_pipeline.files import DRAFT, file_sha256, fsync, hash_of, inode, replace_text, sealed, unsealed

MANIFEST = "manifest.json"
RECIPES = "recipes"
CURRENT = "current"
DYING = ".dying-"
WORK = ".work-"  # what a step keeps, so that it can go on after a crash
LOCK = ".lock"
OWNER = ".lock-owner"
WAIT_S = 0.5
TIDY_S = 2.0  # the automation holds the lock for a moment when it tidies up


class Markdown(str):
    """Metadata that a page should render: a table, a picture, a list of samples."""


Metadata: TypeAlias = Mapping[str, int | float | str | Markdown]


@dataclass(frozen=True)
class Built:
    """What a build says of the folder that it wrote; without a version, the hash of its files is taken."""

    metadata: Metadata
    version: str | None = None


@dataclass(frozen=True)
class Recipe:
    """What an asset is made by. Two recipes with the same id give the same content."""

    revision: int  # hand-kept, of the asset's logic
    settings: Mapping[str, object] = field(
        default_factory=dict
    )  # those that the asset reads: "chunks.max_chars" -> 500
    inputs: Mapping[str, str] = field(default_factory=dict)  # asset -> version

    @property
    def code_version(self) -> str:
        return f"{self.revision}+{hash_of(dict(self.settings))[:12]}"

    @property
    def id(self) -> str:
        return hash_of({"code": self.code_version, "inputs": dict(self.inputs)})


@dataclass(frozen=True)
class Followed:
    """A recipe that was followed, the version it gave, and its place among those of its asset (1, 2, …)."""

    recipe: Recipe
    version: str
    number: int


@dataclass(frozen=True)
class Artifact:
    """One published version of one asset."""

    asset: str
    version: str
    path: Path
    files: Mapping[str, str] = field(repr=False)
    inputs: Mapping[str, str] = field(repr=False)  # asset -> version of what it was made from
    metadata: Metadata = field(repr=False)
    size: int
    created: float

    def file(self, name: str) -> Path:
        if name not in self.files:
            raise _damaged(self.asset, self.version, self.path / name)
        return self.path / name

    def verify(self) -> None:
        """Raises ArtifactError when a file is missing or its bytes differ from those published."""
        for name, digest in self.files.items():
            file = self.path / name
            if not file.is_file() or file_sha256(file) != digest:
                raise _damaged(self.asset, self.version, file)


class Store:
    def __init__(self, home: Path) -> None:
        self.home = home
        self._verified: dict[Path, float] = {}

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
        parent = self.home / asset
        parent.mkdir(parents=True, exist_ok=True)
        draft = parent / f"{DRAFT}{os.getpid()}-{recipe.id}"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        try:
            built = build(draft)
            known = _digests_by_inode(like) if like else {}
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
            version = built.version or hash_of(files)
            may_publish()
            if self._intact(asset, version):
                shutil.rmtree(draft)
            else:
                if (parent / version).exists():  # damaged
                    self.remove(parent / version)
                manifest = {"files": files, "inputs": dict(recipe.inputs), "metadata": _encode(built.metadata)}
                (draft / MANIFEST).write_text(sealed(manifest), encoding="utf-8")
                for path in (draft / MANIFEST, *reversed(written)):  # folders after what is in them
                    fsync(path)
                draft.rename(parent / version)
                fsync(parent)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        return self.promote(asset, version, recipe)

    def promote(self, asset: str, version: str, recipe: Recipe | None = None) -> Artifact:
        """Makes a version that is there the current one; with `recipe` it is what that recipe gives from now on."""
        artifact = self.open(asset, version)
        if recipe is not None:
            self.record(asset, version, recipe)
        replace_text(self.home / asset / CURRENT, version)
        return artifact

    def record(self, asset: str, version: str, recipe: Recipe) -> None:
        """Notes that the recipe, the last one followed, gave this version."""
        recipes = self.home / asset / RECIPES
        recipes.mkdir(exist_ok=True)
        number = max((followed.number for followed in self.followed(asset)), default=0) + 1
        written = {"revision": recipe.revision, "settings": dict(recipe.settings), "inputs": dict(recipe.inputs)}
        replace_text(recipes / f"{recipe.id}.json", sealed(written | {"version": version, "number": number}))

    def followed(self, asset: str) -> list[Followed]:
        """The recipes that were followed, the last one first."""
        found = [self._followed(file) for file in (self.home / asset / RECIPES).glob("[!.]*.json")]
        return sorted((f for f in found if f), key=lambda followed: -followed.number)

    def follow(self, asset: str, recipe: str) -> Followed | None:
        """The recipe of that id, if it was followed before."""
        return self._followed(self.home / asset / RECIPES / f"{recipe}.json")

    def _followed(self, file: Path) -> Followed | None:
        try:
            raw = unsealed(file.read_text(encoding="utf-8"))
            recipe = Recipe(int(raw["revision"]), dict(raw["settings"]), dict(raw["inputs"]))
            return Followed(recipe, str(raw["version"]), int(raw["number"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None  # lost or damaged: the recipe is followed once more

    def open(self, asset: str, version: str) -> Artifact:
        """Raises NotReady when that version is not there, ArtifactError when its manifest is unreadable."""
        path = self.home / asset / version
        manifest = path / MANIFEST
        try:
            written = unsealed(manifest.read_text(encoding="utf-8"))
            files, inputs, metadata = dict(written["files"]), dict(written["inputs"]), _decode(written["metadata"])
        except FileNotFoundError:
            raise NotReady(
                zh=f"产物 {asset} 的版本 {version} 不在 {self.home} 里；请运行 hcf refresh 重新生成。",
                en=f"Version {version} of {asset} is not in {self.home}; run hcf refresh to build it again.",
            ) from None
        except (ValueError, KeyError, TypeError) as error:
            raise _damaged(asset, version, manifest) from error
        size = sum((path / name).stat().st_size for name in files if (path / name).is_file())
        return Artifact(asset, version, path, files, inputs, metadata, size, manifest.stat().st_mtime)

    def current(self, asset: str) -> Artifact | None:
        """The version published last or rolled back to; None before the first, and where the pointer is damaged."""
        try:
            version = (self.home / asset / CURRENT).read_text(encoding="utf-8", errors="replace").strip()
        except FileNotFoundError:
            return None
        return self.open(asset, version) if (self.home / asset / version / MANIFEST).is_file() else None

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
        """What processes left half-written that are no longer there."""
        names = (f"{DRAFT}*", f"*/{DRAFT}*", f"*/{RECIPES}/{DRAFT}*", f"*/{DYING}*")
        found = [path for name in names for path in self.home.glob(name)]
        return [path for path in found if not _alive(path.name.split("-")[1])]

    def remove(self, path: Path) -> None:
        """Removes a version or a leftover. It loses its name first: no half-removed version is taken for a whole one."""
        if path.is_dir():
            dying = path.with_name(f"{DYING}{os.getpid()}-{path.name.lstrip('.')}")
            path.rename(dying)
            shutil.rmtree(dying, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)

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

    @contextmanager
    def making(self, asset: str, owner: str, given_up: Callable[[str], bool]) -> Iterator[None]:
        """Held while one asset is made, by one process at a time; `owner` (a run) is told to those who wait.

        Waits for the owner before, unless `given_up(its name)` says that it was ended: then it may live on, as an
        orphan, but has no right to publish any more.
        """
        folder = self.home / asset
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK, thread_local=False)
        while True:
            try:
                lock.acquire(timeout=WAIT_S)
                break
            except Timeout:
                with suppress(FileNotFoundError):
                    if given_up((folder / OWNER).read_text(encoding="utf-8")):
                        break
        try:
            replace_text(folder / OWNER, owner)
            yield
        finally:
            if lock.is_locked:
                lock.release()

    def verify(self, artifact: Artifact, max_age_s: float = 0) -> None:
        """As `Artifact.verify`; what was found whole at most `max_age_s` seconds ago is not read again."""
        if time.monotonic() - self._verified.get(artifact.path, -1e9) >= max_age_s:
            self._verified.pop(artifact.path, None)
            artifact.verify()
            self._verified[artifact.path] = time.monotonic()

    def _intact(self, asset: str, version: str) -> bool:
        try:
            self.open(asset, version).verify()
        except (NotReady, ArtifactError):
            return False
        return True


def _damaged(asset: str, version: str, file: Path) -> ArtifactError:
    return ArtifactError(
        zh=f"产物 {asset} 的版本 {version} 已损坏（{file}）；请运行 hcf refresh 重新生成。",
        en=f"Version {version} of {asset} is damaged ({file}); run hcf refresh to build it again.",
    )


def _encode(metadata: Metadata) -> dict[str, object]:
    return {k: {"md": str(v)} if isinstance(v, Markdown) else v for k, v in metadata.items()}


def _decode(written: Mapping[str, object]) -> Metadata:
    decoded: dict[str, int | float | str | Markdown] = {}
    for key, value in written.items():
        if isinstance(value, dict):
            decoded[key] = Markdown(value["md"])
        elif isinstance(value, (int, float, str)):
            decoded[key] = value
    return decoded


def _digests_by_inode(artifact: Artifact) -> dict[tuple[int, int], str]:
    return {inode(artifact.path / name): digest for name, digest in artifact.files.items()}


def _alive(pid: str) -> bool:
    return pid.isdecimal() and bool(psutil.pid_exists(int(pid)))
