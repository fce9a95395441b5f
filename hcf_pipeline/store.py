"""Artifacts in immutable folders, published by one rename.

    <home>/<asset>/<version>/manifest.json   sha256 of every file, versions of the inputs, metadata
    <home>/<asset>/recipes/<recipe>          the version that a recipe (code version + input versions) gave
    <home>/<asset>/current                   the version that was published last
    <home>/.lock                             held by the one process that writes

A version is written under a temporary name beside its final one, files and folders fsynced, then renamed; `current`
and the recipe files are replaced with os.replace. So a reader sees a whole version or none. Readers open a version
once and keep it: they never read `current` twice.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

import psutil
from filelock import FileLock, Timeout

from hcf_pipeline.errors import ArtifactError, HomeBusy, NotReady

MANIFEST = "manifest.json"
DRAFT = ".draft-"


class Markdown(str):
    """Metadata that a page should render: a table, a picture, a list of samples."""


Metadata: TypeAlias = Mapping[str, int | float | str | Markdown]


@dataclass(frozen=True)
class Built:
    """What a build says of the folder that it wrote; without a version, the hash of its files is taken."""

    metadata: Metadata
    version: str | None = None


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

    def publish(
        self,
        asset: str,
        build: Callable[[Path], Built],
        *,
        recipe: str,
        inputs: Mapping[str, str] = MappingProxyType({}),
    ) -> Artifact:
        """What `build(folder)` wrote, as the current version of the asset.

        The version is the one that `build` returns, or the hash of all files. Content that was published before keeps
        its folder, with the inputs and the metadata of its first making.
        """
        parent = self.home / asset
        parent.mkdir(parents=True, exist_ok=True)
        draft = parent / f"{DRAFT}{os.getpid()}-{recipe}"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        try:
            built = build(draft)
            files = {p.relative_to(draft).as_posix(): file_sha256(p) for p in sorted(draft.rglob("*")) if p.is_file()}
            version = built.version or hash_of(files)
            if self._intact(asset, version):
                shutil.rmtree(draft)
            else:
                shutil.rmtree(parent / version, ignore_errors=True)
                manifest = {"files": files, "inputs": dict(inputs), "metadata": _encode(built.metadata)}
                _write_json(draft / MANIFEST, manifest)
                _fsync_tree(draft)
                draft.rename(parent / version)
                _fsync(parent)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        return self.promote(asset, version, recipe=recipe)

    def promote(self, asset: str, version: str, *, recipe: str | None = None) -> Artifact:
        """Makes a version that is there the current one."""
        artifact = self.open(asset, version)
        if recipe is not None:
            recipes = self.home / asset / "recipes"
            recipes.mkdir(exist_ok=True)
            _replace_text(recipes / recipe, version)
        _replace_text(self.home / asset / "current", version)
        return artifact

    def open(self, asset: str, version: str) -> Artifact:
        """Raises NotReady when that version is not there, ArtifactError when its manifest is unreadable."""
        path = self.home / asset / version
        manifest = path / MANIFEST
        try:
            written = json.loads(manifest.read_text(encoding="utf-8"))
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
        """The version published last, or None."""
        try:
            version = (self.home / asset / "current").read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return None
        return self.open(asset, version) if (self.home / asset / version / MANIFEST).is_file() else None

    def find(self, asset: str, recipe: str) -> Artifact | None:
        """The intact version that this recipe gave before, or None."""
        try:
            version = (self.home / asset / "recipes" / recipe).read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return None
        return self.open(asset, version) if self._intact(asset, version) else None

    def clear_leftovers(self) -> None:
        """Removes what processes left half-written that are no longer there."""
        for draft in [*self.home.glob(f"*/{DRAFT}*"), *self.home.glob(f"*/recipes/{DRAFT}*")]:
            writer = draft.name.removeprefix(DRAFT).partition("-")[0]
            if not (writer.isdecimal() and psutil.pid_exists(int(writer))):
                shutil.rmtree(draft, ignore_errors=True) if draft.is_dir() else draft.unlink(missing_ok=True)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Held by the one process that writes to this home; raises HomeBusy with its owner."""
        self.home.mkdir(parents=True, exist_ok=True)
        owner = self.home / ".lock-owner"
        lock = FileLock(self.home / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            pid = owner.read_text(encoding="utf-8") if owner.is_file() else "?"
            raise HomeBusy(
                zh=f"进程 {pid} 正在更新 {self.home}；请等它结束后再运行。",
                en=f"Process {pid} is refreshing {self.home}; run this again when it has ended.",
            ) from None
        try:
            owner.write_text(str(os.getpid()), encoding="utf-8")
            yield
        finally:
            lock.release()

    def _intact(self, asset: str, version: str) -> bool:
        try:
            self.open(asset, version).verify()
        except (NotReady, ArtifactError):
            return False
        return True


def recipe_of(code_version: str, inputs: Mapping[str, str]) -> str:
    """Names what an asset is made by: its code version and the versions of its inputs."""
    return hash_of({"code": code_version, "inputs": dict(inputs)})


def hash_of(value: object) -> str:
    """20 hex digits of the sha256 of a value's canonical JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:20]


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True), encoding="utf-8")


def _replace_text(path: Path, text: str) -> None:
    draft = path.with_name(f"{DRAFT}{os.getpid()}-{path.name}")
    with draft.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    _fsync(path.parent)


def _fsync(path: Path) -> None:
    if os.name == "nt" and path.is_dir():  # Windows cannot open a folder
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _fsync_tree(folder: Path) -> None:
    for path in folder.rglob("*"):
        _fsync(path)
    _fsync(folder)
