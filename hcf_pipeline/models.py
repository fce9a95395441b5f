"""Where a model's files lie: built here and kept in the artifact, or a snapshot of the Hub, or a folder of the user's."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from hcf_pipeline.errors import NotReady
from hcf_pipeline.settings import EMBEDDED
from hcf_pipeline.store import Artifact

POINTER = "model.json"
FOLDER = "model"


@dataclass(frozen=True)
class ModelSource:
    source: Literal["embedded", "hub", "folder"]
    model: str
    revision: str
    path: str  # empty where the artifact itself holds the files

    def save(self, folder: Path) -> None:
        (folder / POINTER).write_text(json.dumps(asdict(self), ensure_ascii=False), encoding="utf-8")


BUILT_HERE = ModelSource("embedded", EMBEDDED, "", "")


def model_source(artifact: Artifact) -> ModelSource:
    return ModelSource(**json.loads(artifact.file(POINTER).read_text(encoding="utf-8")))


def model_folder(artifact: Artifact) -> Path:
    """The folder to load from. Raises NotReady when a snapshot or a folder has gone since."""
    source = model_source(artifact)
    folder = Path(source.path) if source.path else artifact.path / FOLDER
    if not folder.is_dir():
        raise NotReady(
            zh=f"模型 {source.model} 的文件不在 {folder} 了；请运行 hcf refresh --refit 重新取得。",
            en=f"The files of {source.model} are no longer in {folder}; run hcf refresh --refit to bring them back.",
        )
    return folder
