"""One published version: its manifest, and whether its files are what was published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from hcf_pipeline.errors import ArtifactError, NotReady
from hcf_pipeline.files import file_sha256, inode, sealed, unsealed

MANIFEST = "manifest.json"
CURRENT = "current"


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

    @staticmethod
    def open(path: Path) -> Artifact:
        """Raises NotReady when that version is not there, ArtifactError when its manifest is unreadable."""
        asset, version, manifest = path.parent.name, path.name, path / MANIFEST
        try:
            written = unsealed(manifest.read_text(encoding="utf-8"))
            files, inputs, metadata = dict(written["files"]), dict(written["inputs"]), _decode(written["metadata"])
            created = manifest.stat().st_mtime
        except (FileNotFoundError, NotADirectoryError):
            raise gone(path) from None
        except (ValueError, KeyError, TypeError) as error:
            raise damage(path, manifest) from error
        size = sum((path / name).stat().st_size for name in files if (path / name).is_file())
        return Artifact(asset, version, path, files, inputs, metadata, size, created)

    def file(self, name: str) -> Path:
        if name not in self.files:
            raise damage(self.path, self.path / name)
        return self.path / name

    def verify(self) -> None:
        """Raises ArtifactError when a file is missing or its bytes differ from those published."""
        if (name := self.damaged_file()) is not None:
            raise damage(self.path, self.path / name)

    def damaged_file(self) -> str | None:
        """The first file that is missing or whose bytes differ from those published; every byte is read for it."""
        for name, digest in self.files.items():
            file = self.path / name
            if not file.is_file() or file_sha256(file) != digest:
                return name
        return None

    def digests_by_inode(self) -> dict[tuple[int, int], str]:
        return {inode(self.path / name): digest for name, digest in self.files.items()}


def manifest_text(files: Mapping[str, str], inputs: Mapping[str, str], metadata: Metadata) -> str:
    return sealed({"files": files, "inputs": dict(inputs), "metadata": _encode(metadata)})


def damage(version: Path, file: Path) -> ArtifactError:
    zh, en = _remedy(version)
    return ArtifactError(
        zh=f"产物 {version.parent.name} 的版本 {version.name} 已损坏（{file}）；{zh}",
        en=f"Version {version.name} of {version.parent.name} is damaged ({file}); {en}",
    )


def gone(version: Path) -> NotReady:
    zh, en = _remedy(version)
    return NotReady(
        zh=f"产物 {version.parent.name} 的版本 {version.name} 不在 {version.parent.parent} 里；{zh}",
        en=f"Version {version.name} of {version.parent.name} is not in {version.parent.parent}; {en}",
    )


def _remedy(version: Path) -> tuple[str, str]:
    """What helps: a refresh builds again what is current, and nothing else."""
    if current_version(version.parent) in (version.name, None):
        return "请运行 hcf refresh 重新生成。", "run hcf refresh to build it again."
    return (
        "它不是当前版本，不会再生成；如果正在服务的发布要用它，hcf refresh 会换回最新的发布。",
        "it is not the current one and is not built again; where the release that serves needs it, hcf refresh lets the "
        "latest one serve.",
    )


def current_version(asset: Path) -> str | None:
    """What an asset's folder names as the current version, whether it is there or not; None where it names none."""
    try:
        return (asset / CURRENT).read_text(encoding="utf-8", errors="replace").strip()
    except (FileNotFoundError, NotADirectoryError):
        return None


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
