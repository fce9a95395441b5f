"""A release: the small pointer that pins one adapter and one index, each with the corpus snapshot it was made from.

The chat model serves a release and nothing else. Adapter and index may come from different snapshots, while training
waits; base and encoder are those that they were made with.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from hcf_pipeline.asset_names import CHUNK_TABLE, PARSED_PAIRS, RAW_TRANSCRIPTS, RELEASE, SFT_DATASET, TURN_TABLE
from hcf_pipeline.errors import ArtifactError, HcfError, NotReady
from hcf_pipeline.files import hash_of
from hcf_pipeline.store import Artifact, Store

POINTER = "release.json"
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

    @property
    def pinned(self) -> tuple[Pinned, ...]:
        return (self.adapter, self.base, self.index, self.encoder, self.turns)

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


@dataclass(frozen=True)
class Listed:
    """A release that is still there."""

    id: str
    made: float  # seconds since 1970
    serves: bool
    release: Release


def releases(store: Store) -> list[Listed]:
    """The releases that can serve, the newest first. Unreadable ones are passed over."""
    serving = store.readable(RELEASE)
    found: list[Listed] = []
    for version in release_versions(store):
        try:
            artifact = store.open(RELEASE, version)
            release = Release.load(artifact.file(POINTER))
        except (ArtifactError, NotReady):
            continue
        found.append(Listed(version, artifact.created, serving is not None and serving.version == version, release))
    return found


def release_versions(store: Store) -> list[str]:
    """Every version of `release`, the newest first; those whose recipe was lost come last, by their time."""
    made: dict[str, float] = {}
    for version in store.versions(RELEASE):
        with suppress(ArtifactError, NotReady):
            made[version] = store.open(RELEASE, version).created
    known = [followed.version for followed in store.followed(RELEASE)]
    return list(dict.fromkeys([*known, *sorted(made, key=lambda version: -made[version])]))


def serving_damage(store: Store) -> HcfError | None:
    """What keeps the release that serves from it, if anything; every byte of what it pins is read."""
    try:
        if serving := store.current(RELEASE):
            serving.verify()
            for pinned in pinned_by(serving):
                store.verify(unpin(store, pinned, verify=False), max_age_s=60)
            _can_be_read(store, Release.load(serving.file(POINTER)))
    except HcfError as error:
        return error
    return None


def find_release(store: Store, beginning: str) -> Listed:
    """The release whose id begins so. Raises NotReady where there is none, or more than one."""
    found = [listed for listed in releases(store) if listed.id.startswith(beginning)]
    if len(found) != 1:
        many = bool(found)
        raise NotReady(
            zh=f"以 {beginning} 开头的发布{'不止一个' if many else '没有'}；hcf release list 列出现有的发布。",
            en=f"There is {'more than one' if many else 'no'} release that begins with {beginning}; see hcf release list.",
        )
    return found[0]


def roll_back(store: Store, beginning: str | None = None) -> Listed:
    """Lets an earlier release serve (default: the one made before that which serves); all that it pins is verified first.

    It serves until another release is published. The caller holds the home's lock. Raises ArtifactError where it could
    not serve: damaged, or written by another version of this program.
    """
    listed = find_release(store, beginning) if beginning else _one_before(store)
    for pinned in listed.release.pinned:
        unpin(store, pinned)
    _can_be_read(store, listed.release)
    store.promote(RELEASE, listed.id)
    return listed


def _can_be_read(store: Store, release: Release) -> None:
    from hcf_pipeline.rag.sidecar import Sidecar

    Sidecar.load(unpin(store, release.index, verify=False).path)


def _one_before(store: Store) -> Listed:
    found = releases(store)
    older = found[next((n for n, listed in enumerate(found) if listed.serves), -1) + 1 :]
    if not older:
        raise NotReady(
            zh="没有更早的发布可以回退；hcf release list 列出现有的发布。",
            en="There is no earlier release to go back to; see hcf release list.",
        )
    return older[0]


def pinned_by(artifact: Artifact) -> tuple[Pinned, ...]:
    """What a release artifact pins."""
    return Release.load(artifact.file(POINTER)).pinned


def moved_pins(store: Store, artifact: Artifact) -> list[str]:
    """What a release pins that is gone, or was built again with other bytes (after damage); nothing is read for it."""
    moved: list[str] = []
    for pinned in pinned_by(artifact):
        try:
            unpin(store, pinned, verify=False)
        except (ArtifactError, NotReady):
            moved.append(pinned.asset)
    return moved


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
