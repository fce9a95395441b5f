"""A release: the small pointer that pins one adapter and one index, each with the corpus snapshot it was made from.

The chat model serves a release and nothing else. Adapter and index may come from different snapshots, while training
waits; base and encoder are those that they were made with.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from hcf_pipeline.errors import ArtifactError, NotReady
from hcf_pipeline.store import Artifact, Store, hash_of

RELEASE = "release"
POINTER = "release.json"
ADAPTER_CORPUS = ("sft_dataset", "parsed_pairs", "turn_table", "raw_transcripts")
INDEX_CORPUS = ("chunk_table", "turn_table", "raw_transcripts")


@dataclass(frozen=True)
class Pinned:
    """One artifact in one version; `checksum` is over the sha256 of each of its files."""

    asset: str
    version: str
    checksum: str


@dataclass(frozen=True)
class Release:
    toy: bool  # the base is the embedded one
    persona: str
    persona_prompt: str
    host_labels: tuple[str, ...]  # those found in the corpus, the most frequent first
    adapter: Pinned
    adapter_corpus: str  # root of the corpus snapshot that the adapter was trained on
    base: Pinned
    index: Pinned
    index_corpus: str
    encoder: Pinned
    turns: Pinned

    @property
    def id(self) -> str:
        return hash_of(asdict(self))

    def save(self, folder: Path) -> None:
        text = json.dumps(asdict(self), ensure_ascii=False, indent=1)
        (folder / POINTER).write_text(text, encoding="utf-8")

    @staticmethod
    def load(file: Path) -> Release:
        try:
            raw = json.loads(file.read_text(encoding="utf-8"))
            pinned = {name: Pinned(**raw[name]) for name in ("adapter", "base", "index", "encoder", "turns")}
            return Release(**{**raw, **pinned, "host_labels": tuple(raw["host_labels"])})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ArtifactError(
                zh=f"发布文件 {file} 已损坏；请运行 hcf refresh。",
                en=f"The release {file} is damaged; run hcf refresh.",
            ) from error


def current_release(store: Store) -> Release:
    """The release that serves. Raises NotReady before the first."""
    artifact = store.current(RELEASE)
    if artifact is None:
        raise NotReady(
            zh=f"{store.home} 里还没有发布；请先运行 hcf refresh（或 hcf demo）。",
            en=f"Nothing is released in {store.home} yet; run hcf refresh (or hcf demo) first.",
        )
    return Release.load(artifact.file(POINTER))


def pin(artifact: Artifact) -> Pinned:
    return Pinned(artifact.asset, artifact.version, _checksum(artifact))


def unpin(store: Store, pinned: Pinned, *, verify: bool = True) -> Artifact:
    """The pinned version; with `verify` every file is read and compared with its checksum.

    Raises NotReady when it is gone, ArtifactError when anything in it differs from what was released.
    """
    artifact = store.open(pinned.asset, pinned.version)
    if _checksum(artifact) != pinned.checksum:
        raise ArtifactError(
            zh=f"{artifact.path} 与发布时不一致；请运行 hcf refresh 重新生成。",
            en=f"{artifact.path} differs from what was released; run hcf refresh to build it again.",
        )
    if verify:
        artifact.verify()
    return artifact


def made_from(store: Store, artifact: Artifact, path: Sequence[str]) -> Artifact:
    """What an artifact was made from, following `path` asset by asset."""
    for asset in path:
        artifact = store.open(asset, artifact.inputs[asset])
    return artifact


def _checksum(artifact: Artifact) -> str:
    return hash_of(dict(artifact.files))
