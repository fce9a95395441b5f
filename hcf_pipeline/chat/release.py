"""A release: the small pointer that pins everything that an answer depends on, and nothing else.

Its parts are versions of artifacts, each with a checksum; beside them stand the settings that change an answer, as they were
when it was made. So two releases never differ in silence, and a rollback brings back what was rolled back to. Adapter
and index may come from different snapshots of the corpus, while training waits; base and encoder are those that they were
made with. Where nothing was trained there is no adapter and no base, and answers are quotations.

The file has a format number. Format 1, of earlier versions of this program, is read too: it pins no settings, so those
of hcf.toml hold.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from hcf_pipeline.asset_names import CHUNK_TABLE, PARSED_PAIRS, RAW_TRANSCRIPTS, RELEASE, SFT_DATASET, TURN_TABLE
from hcf_pipeline.errors import ArtifactError, NotReady
from hcf_pipeline.files import hash_of
from hcf_pipeline.hub.models import ModelSource
from hcf_pipeline.rag.search.fusion import Fusion
from hcf_pipeline.store import Artifact, Store

POINTER = "release.json"
FORMAT = 2

ADAPTER, BASE, INDEX, ENCODER, TURNS = "adapter", "base", "index", "encoder", "turns"  # names of parts
NEEDED = (INDEX, ENCODER, TURNS)
ADAPTER_CORPUS = (SFT_DATASET, PARSED_PAIRS, TURN_TABLE, RAW_TRANSCRIPTS)
INDEX_CORPUS = (CHUNK_TABLE, TURN_TABLE, RAW_TRANSCRIPTS)


@dataclass(frozen=True)
class Pinned:
    """One artifact in one version; `checksum` is over the sha256 of each of its files."""

    asset: str
    version: str
    checksum: str


@dataclass(frozen=True)
class Release:
    parts: Mapping[str, Pinned]  # by name; ADAPTER and BASE are missing where nothing was trained
    corpora: Mapping[str, str]  # root hash of the corpus snapshot that INDEX, and ADAPTER, were made from
    persona: str
    host_labels: tuple[str, ...]  # those found in the corpus, the most frequent first
    toy: bool  # the base is the embedded one
    serving: Mapping[str, object]  # the settings that change an answer, by name: "retrieval.top_k" -> 5
    reranker: ModelSource | None = None
    fusion: Fusion | None = (
        None  # what "auto" comes to in [retrieval]; None in older releases, whose settings are numbers
    )
    format: int = FORMAT

    @property
    def id(self) -> str:
        return hash_of(self.as_json())

    def as_json(self) -> dict[str, object]:
        """What release.json holds."""
        written = asdict(self)
        if self.fusion is None:
            del written["fusion"]  # so that the id of an older one stays as it is
        return written

    @property
    def pinned(self) -> tuple[Pinned, ...]:
        return tuple(self.parts.values())

    @property
    def is_trained(self) -> bool:
        return ADAPTER in self.parts

    def save(self, folder: Path) -> None:
        text = json.dumps(self.as_json(), ensure_ascii=False, indent=1)
        (folder / POINTER).write_text(text, encoding="utf-8")

    @staticmethod
    def load(file: Path) -> Release:
        """Raises ArtifactError for a file that is damaged, or that a later version of this program wrote."""
        try:
            raw = json.loads(file.read_text(encoding="utf-8"))
            if (written := int(raw.get("format", 1))) > FORMAT:
                raise _too_new(file, written)
            release = _format_1(raw) if written == 1 else _format_2(raw)
            if missing := [name for name in NEEDED if name not in release.parts]:
                raise ValueError(missing)
            return release
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ArtifactError(
                zh=f"发布文件 {file} 已损坏；请运行 hcf refresh。",
                en=f"The release {file} is damaged; run hcf refresh.",
            ) from error


def _format_2(raw: Mapping[str, object]) -> Release:
    values = dict(raw)
    values["parts"] = {name: Pinned(**pinned) for name, pinned in raw["parts"].items()}  # type: ignore[attr-defined]
    values["host_labels"] = tuple(raw["host_labels"])  # type: ignore[arg-type]
    values["fusion"] = Fusion.from_json(raw["fusion"]) if raw.get("fusion") else None  # type: ignore[arg-type]
    values["reranker"] = ModelSource(**raw["reranker"]) if raw["reranker"] else None  # type: ignore[arg-type]
    return Release(**values)  # type: ignore[arg-type]


def _format_1(raw: Mapping[str, object]) -> Release:
    return Release(
        parts={name: Pinned(**raw[name]) for name in (ADAPTER, BASE, INDEX, ENCODER, TURNS)},  # type: ignore[arg-type]
        corpora={ADAPTER: str(raw["adapter_corpus"]), INDEX: str(raw["index_corpus"])},
        persona=str(raw["persona"]),
        host_labels=tuple(raw["host_labels"]),  # type: ignore[arg-type]
        toy=bool(raw["toy"]),
        serving={"chat.persona_prompt": str(raw["persona_prompt"])},
        format=1,
    )


def _too_new(file: Path, written: int) -> ArtifactError:
    return ArtifactError(
        zh=f"发布文件 {file} 是更新版本的程序写的（格式 {written}，这个版本读到 {FORMAT}）；请更新程序，或运行 hcf refresh 重新发布。",
        en=f"The release {file} was written by a later version of this program (format {written}, this one reads up to {FORMAT}); "
        "update the program, or run hcf refresh to release anew.",
    )


def current_release(store: Store) -> Release:
    """The release that serves. Raises NotReady before the first."""
    artifact = store.current(RELEASE)
    if artifact is None:
        raise NotReady(
            zh=f"{store.home} 里还没有发布；请先运行 hcf refresh（或 hcf demo）。",
            en=f"Nothing is released in {store.home} yet; run hcf refresh (or hcf demo) first.",
        )
    return Release.load(artifact.file(POINTER))


def pinned_by(artifact: Artifact) -> tuple[Pinned, ...]:
    """What a release artifact pins."""
    return Release.load(artifact.file(POINTER)).pinned


def pin(artifact: Artifact) -> Pinned:
    return Pinned(artifact.asset, artifact.version, checksum_of(artifact))


def unpin(store: Store, pinned: Pinned, *, verify: bool = True) -> Artifact:
    """The pinned version; with `verify` every file is read and compared with its checksum.

    Raises NotReady when it is gone, ArtifactError when anything in it differs from what was released.
    """
    artifact = store.open(pinned.asset, pinned.version)
    require_pinned(artifact, pinned)
    if verify:
        store.verify(artifact)  # which marks what it finds damaged
    return artifact


def require_pinned(artifact: Artifact, pinned: Pinned) -> None:
    """Raises ArtifactError where the version was built again, with other bytes than were released."""
    if checksum_of(artifact) != pinned.checksum:
        raise ArtifactError(
            zh=f"{artifact.path} 与发布时不一致；请运行 hcf refresh，由新的发布接替。",
            en=f"{artifact.path} differs from what was released; run hcf refresh, which releases anew.",
        )


def made_from(store: Store, artifact: Artifact, path: Sequence[str]) -> Artifact:
    """What an artifact was made from, following `path` asset by asset."""
    for asset in path:
        artifact = store.open(asset, artifact.inputs[asset])
    return artifact


def checksum_of(artifact: Artifact) -> str:
    return hash_of(dict(artifact.files))
