"""Where a model's files lie: built here and kept in the artifact, or a snapshot of the Hub, or a folder of the user's.

What lies outside the store is pinned by the hash of each file. Hashing gigabytes at every start would be a wait, so the size
and the times of a file that was hashed are remembered (as Git does): where they are what they were, the hash is taken
from the record; where they differ, and whenever `deep` is asked for, the file is read.
"""

from __future__ import annotations

import fnmatch
import json
import re
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from hcf_pipeline.errors import ArtifactError, NotReady
from hcf_pipeline.files import file_sha256, files_below, hash_of, parsed_json, replace_text
from hcf_pipeline.settings import EMBEDDED, Settings
from hcf_pipeline.store import Artifact

POINTER = "model.json"
FOLDER = "model"
DESCRIBED_BY = ("config.json", "modules.json")  # one of them lies in every folder that a model is loaded from
SEEN = "cache/model-files"  # under the home
RACY_NS = 2_000_000_000  # a file this young may be written again within a step of the clock, and have the same times

WANTED = ("*.safetensors", "*.json", "*.model", "*.txt", "*.jinja", "*.tiktoken")
UNWANTED = ("onnx/*", "openvino/*", "original/*", "consolidated*")  # other formats of the same weights


@dataclass(frozen=True)
class ModelSource:
    """`files` are the sha256 of what lies at `path`, by name; both are empty where the artifact itself holds the files, and
    of a server's reranker, of which there are none."""

    source: Literal["embedded", "hub", "folder", "server"]
    model: str
    revision: str
    path: str
    files: Mapping[str, str] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        (folder / POINTER).write_text(json.dumps(asdict(self), ensure_ascii=False), encoding="utf-8")

    @property
    def content(self) -> str:
        """20 hex digits over revision and files."""
        return hash_of([self.revision, dict(self.files)])


BUILT_HERE = ModelSource("embedded", EMBEDDED, "", "")


def model_source(artifact: Artifact) -> ModelSource:
    return ModelSource(**json.loads(artifact.file(POINTER).read_text(encoding="utf-8")))


def model_folder(artifact: Artifact, *, deep: bool = False) -> Path:
    """The folder to load from. Raises NotReady when a snapshot or a folder has gone since, ArtifactError when files in
    it are others than those that were pinned; with `deep` every byte of them is read for that."""
    source = model_source(artifact)
    if not source.path:
        return artifact.path / FOLDER
    return require_unchanged(source, artifact.path.parents[1], deep=deep)


def require_unchanged(source: ModelSource, home: Path, *, deep: bool = False) -> Path:
    """The folder of a model outside the store, as in `model_folder`."""
    folder = Path(source.path)
    if not folder.is_dir():
        raise NotReady(
            zh=f"模型 {source.model} 的文件不在 {folder} 了；请运行 hcf refresh --refit 重新取得。",
            en=f"The files of {source.model} are no longer in {folder}; run hcf refresh --refit to bring them back.",
        )
    now = file_digests(folder, home, deep=deep) if source.files else {}
    for name in sorted(source.files.keys() | now.keys()):
        if source.files.get(name) != now.get(name):
            raise ArtifactError(
                zh=f"模型 {source.model} 的文件 {folder / name} 与当时钉住的不同；若是有意的，请运行 hcf refresh，由它重新生成并发布。",
                en=f"{folder / name} of {source.model} is not the file that was pinned; if the change is meant, run hcf refresh, "
                "which builds on it and releases anew.",
            )
    return folder


def model_files(folder: Path) -> dict[str, Path]:
    """The files that a model is loaded from, by their name under the folder; hidden ones and other formats left out."""
    return {name: path for name, path in visible_files(folder).items() if is_wanted(name)}


def visible_files(folder: Path) -> dict[str, Path]:
    """Files below a folder by their relative name, hidden ones left out."""
    found = {path.relative_to(folder).as_posix(): path for path in sorted(files_below(folder))}
    return {name: path for name, path in found.items() if not re.search(r"(^|/)\.", name)}


def is_wanted(name: str) -> bool:
    return matches(name, WANTED) and not matches(name, UNWANTED)


def matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def listing_of(settings: Settings, model: str) -> dict[str, str]:
    """What a recipe holds of a model that is a folder of the user's: it changes when a file there does; nothing is read."""
    folder = settings.own_folder(model) if model else None
    if folder is None or not any((folder / name).is_file() for name in DESCRIBED_BY):
        return {}  # its step refuses a folder of something else, however large that is
    stats = {name: path.stat() for name, path in model_files(folder).items()}
    return {f"files of {model}": hash_of({name: (stat.st_size, stat.st_mtime_ns) for name, stat in stats.items()})}


def file_digests(folder: Path, home: Path, *, deep: bool = False) -> dict[str, str]:
    """The sha256 of each of a model's files; read are those whose size or times are not the remembered ones, or all."""
    record = home / SEEN / f"{hash_of(str(folder.resolve()))}.json"
    known = {} if deep else _remembered(record)
    digests: dict[str, str] = {}
    seen: dict[str, list[object]] = {}
    for name, path in model_files(folder).items():
        stat = path.stat()
        times = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]
        before = known.get(name, [])
        digests[name] = str(before[3]) if before[:3] == times else file_sha256(path)
        if max(stat.st_mtime_ns, stat.st_ctime_ns) < time.time_ns() - RACY_NS:
            seen[name] = [*times, digests[name]]
    if seen != known:
        with suppress(OSError):  # a home that may only be read
            record.parent.mkdir(parents=True, exist_ok=True)
            replace_text(record, json.dumps(seen))
    return digests


def _remembered(record: Path) -> dict[str, list[object]]:
    try:
        raw = parsed_json(record.read_text(encoding="utf-8"))
        return {str(name): list(values) for name, values in raw.items() if len(values) == 4}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}
