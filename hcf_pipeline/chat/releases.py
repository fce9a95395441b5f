"""The releases that are there: listed, found by the beginning of their id, and gone back to."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from hcf_pipeline.asset_names import RELEASE
from hcf_pipeline.chat.hold import HeldPart, differs, hold
from hcf_pipeline.chat.release import INDEX, POINTER, Pinned, Release, pinned_by, unpin
from hcf_pipeline.errors import ArtifactError, HcfError, NotReady
from hcf_pipeline.store import Artifact, Store


@dataclass(frozen=True)
class ReleaseEntry:
    """A release that is still there; `lost` names the parts that are gone or not as released: it cannot serve again."""

    id: str
    made: float  # seconds since 1970
    serves: bool
    release: Release
    lost: tuple[str, ...] = ()


def releases(store: Store) -> list[ReleaseEntry]:
    """The releases that are there, the newest first. Unreadable ones are passed over; no file of a part is read."""
    serving = store.readable(RELEASE)
    found: list[ReleaseEntry] = []
    for version in release_versions(store):
        try:
            artifact = store.open(RELEASE, version)
            release = Release.load(artifact.file(POINTER))
        except (ArtifactError, NotReady):
            continue
        serves = serving is not None and serving.version == version
        found.append(ReleaseEntry(version, artifact.created, serves, release, tuple(moved_pins(store, artifact))))
    return found


def release_versions(store: Store) -> list[str]:
    """Every version of `release`, the newest first; those whose recipe was lost come last, by their time."""
    made: dict[str, float] = {}
    for version in store.versions(RELEASE):
        with suppress(ArtifactError, NotReady):
            made[version] = store.open(RELEASE, version).created
    known = [followed.version for followed in store.followed(RELEASE)]
    return list(dict.fromkeys([*known, *sorted(made, key=lambda version: -made[version])]))


def find_release(store: Store, beginning: str) -> ReleaseEntry:
    """The release whose id begins so. Raises NotReady where there is none, or more than one."""
    found = [listed for listed in releases(store) if listed.id.startswith(beginning)]
    if len(found) != 1:
        many = bool(found)
        raise NotReady(
            zh=f"以 {beginning} 开头的发布{'不止一个' if many else '没有'}；hcf release list 列出现有的发布。",
            en=f"There is {'more than one' if many else 'no'} release that begins with {beginning}; see hcf release list.",
        )
    return found[0]


def roll_back(store: Store, beginning: str | None = None, what: HeldPart | None = None) -> ReleaseEntry:
    """Lets an earlier release serve (default: the one made before that which serves); all that it pins is verified first.

    What it rejects is held (see hold.py): `what`, by default the parts that differ; the way forward again, to a newer
    release, ends a hold. The caller holds the home's lock. Raises ArtifactError where it could not serve: damaged, or
    written by another version of this program.
    """
    there = releases(store)
    ids = [listed.id for listed in there]
    before = next((listed for listed in there if listed.serves), None)
    listed = find_release(store, beginning) if beginning else _one_before(store)
    for pinned in listed.release.pinned:
        _must_be_whole(store, listed, pinned)
    _can_be_read(store, listed.release)
    store.promote(RELEASE, listed.id)
    if before is not None and before.id != listed.id:
        forward = ids.index(listed.id) < ids.index(before.id)
        rejects = what or ("nothing" if forward else differs(before.release, listed.release))
        hold(store, rejects, listed.release, listed.id, before.id)
    return listed


def _must_be_whole(store: Store, listed: ReleaseEntry, pinned: Pinned) -> None:
    """A refresh never builds again what only an earlier release has, so it is not advised here."""
    try:
        unpin(store, pinned)
    except (ArtifactError, NotReady) as error:
        raise ArtifactError(
            zh=f"发布 {listed.id} 不能再服务了：它的 {pinned.asset}（版本 {pinned.version}）已损坏或不在了；"
            "请在 hcf release list 里选另一个。",
            en=f"Release {listed.id} cannot serve any more: its {pinned.asset} (version {pinned.version}) is damaged or gone; "
            "choose another one of hcf release list.",
        ) from error


def _can_be_read(store: Store, release: Release) -> None:
    from hcf_pipeline.rag.index.sidecar import Sidecar

    Sidecar.load(unpin(store, release.parts[INDEX], verify=False).path)


def _one_before(store: Store) -> ReleaseEntry:
    found = releases(store)
    older = found[next((n for n, listed in enumerate(found) if listed.serves), -1) + 1 :]
    whole = [listed for listed in older if not listed.lost]
    if not whole:
        lost = f"（{len(older)} 个已不完整）" if older else ""
        raise NotReady(
            zh=f"没有更早的发布可以回退{lost}；hcf release list 列出现有的发布。",
            en=f"There is no earlier release to go back to{f' ({len(older)} are no longer whole)' if older else ''}; "
            "see hcf release list.",
        )
    return whole[0]


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


def moved_pins(store: Store, artifact: Artifact) -> list[str]:
    """What a release pins that is gone, known to be damaged, or built again with other bytes; no file of it is read."""
    moved: list[str] = []
    for pinned in pinned_by(artifact):
        try:
            unpin(store, pinned, verify=False)
            damage = store.known_damage(pinned.asset, pinned.version)
        except (ArtifactError, NotReady) as error:
            damage = error
        if damage:
            moved.append(pinned.asset)
    return moved
