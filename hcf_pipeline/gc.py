"""What may go from a home: versions that neither serve nor belong to one of the last releases, and leftovers.

Kept: what is current, the last `keep` releases, the one that serves, what some process reads just now, and everything
that these were made from. A version that was found damaged and is no longer current can never be built again: it goes,
whoever names it. A refresh tidies up by itself; `hcf gc` does so now, and `hcf gc --dry-run` tells what it would do. The
caller holds the home's lock; where somebody writes to an asset all the same, nothing of that asset goes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from hcf_pipeline.asset_names import RELEASE
from hcf_pipeline.chat.release import pinned_by
from hcf_pipeline.chat.releases import release_versions
from hcf_pipeline.errors import ArtifactError, NotReady, damaged
from hcf_pipeline.files import files_below
from hcf_pipeline.store import CURRENT, RECIPES, WORK, Store
from hcf_pipeline.store.artifact import current_version
from hcf_pipeline.store.leases import alone, claim

WORK_DAYS = 7  # an interrupted training is not taken up again after that

Version = tuple[str, str]  # asset, version


@dataclass(frozen=True)
class Garbage:
    path: Path
    n_bytes: int  # that become free; files shared with what stays don't count


@dataclass(frozen=True)
class Swept:
    gone: tuple[Garbage, ...]  # in path order
    in_use: tuple[Path, ...]  # versions that nobody needs but whoever reads them, or writes to their asset, just now


def sweep(store: Store, keep: int, *, dry_run: bool = False) -> Swept:
    """Removes what nobody needs. While something that serves is damaged that is only what killed processes left."""
    with ExitStack() as held:
        folders = {
            store.home,
            *(store.home / asset for asset in store.assets()),
            *(_written_in(store, path) for path in store.leftovers()),
        }
        free = {folder for folder in folders if (lock := alone(folder)) and held.enter_context(lock)}
        found = [path for path in store.leftovers() if _written_in(store, path) in free]
        in_use: list[Path] = []
        with suppress(ArtifactError):
            superfluous, in_use = _superfluous(store, keep, free, held)
            found += superfluous
        gone = _weighed(found)
        if not dry_run:
            for one in gone:
                store.remove(one.path)
        return Swept(tuple(gone), tuple(sorted(in_use)))


def _superfluous(store: Store, keep: int, free: set[Path], held: ExitStack) -> tuple[list[Path], list[Path]]:
    """(what nobody needs, claimed until `held` ends; what nobody needs but is in use)."""
    claimed: dict[Version, Path] = {}
    busy: set[Path] = set()
    read: set[Version] = set()
    needed = _needed(store, keep)
    while doubtful := [one for one in _versions(store, free) if one not in needed and one not in claimed]:
        for asset, version in doubtful:
            path = store.home / asset / version
            if lock := claim(path):
                claimed[asset, version] = path
                held.enter_context(lock)
            else:
                busy.add(path)
                read.add((asset, version))
        needed = _needed(store, keep, read)
    found = [path for one, path in claimed.items() if one not in needed]
    for asset in store.assets():
        folder = store.home / asset
        if folder in free:
            found += [f for f in (folder / RECIPES).glob("[!.]*.json") if not _gives(store, asset, f, needed)]
            found += [work for work in folder.glob(f"{WORK}*") if _age_days(work) > WORK_DAYS]
        else:
            busy |= {folder / version for version in store.versions(asset) if (asset, version) not in needed}
    return found, list(busy)


def _needed(store: Store, keep: int, read: Iterable[Version] = ()) -> set[Version]:
    """All that stays, with what is `read` just now. Raises ArtifactError where that can't be told, because of damage."""
    roots = [*read, *((RELEASE, version) for version in release_versions(store)[:keep])]
    for asset in store.assets():
        artifact = store.current(asset)
        if artifact is None:
            raise damaged(store.home / asset / CURRENT)
        roots.append((asset, artifact.version))
        last = next((f for f in store.followed(asset) if f.version == artifact.version), None)
        roots += [one for one in (last.recipe.inputs.items() if last else ()) if one[0] != RELEASE]
    needed: set[Version] = set(read)
    looked_at: set[Version] = set()
    while roots:
        asset, version = roots.pop()
        if (asset, version) in looked_at:
            continue
        looked_at.add((asset, version))
        is_current = current_version(store.home / asset) == version
        if not is_current and store.known_damage(asset, version):
            continue
        try:
            artifact = store.open(asset, version)
            pinned = pinned_by(artifact) if asset == RELEASE else ()
        except NotReady:  # gone already
            continue
        except ArtifactError:
            if is_current:
                raise
            continue
        needed.add((asset, version))
        roots += [made_from for made_from in artifact.inputs.items() if made_from[0] != RELEASE]  # answers about it
        roots += [(pin.asset, pin.version) for pin in pinned]
    return needed


def _versions(store: Store, free: set[Path]) -> list[Version]:
    return [
        (asset, version) for asset in store.assets() if store.home / asset in free for version in store.versions(asset)
    ]


def _weighed(found: list[Path]) -> list[Garbage]:
    gone = {(stat.st_dev, stat.st_ino): 0 for path in found for stat in _stats(path)}
    for path in found:
        for stat in _stats(path):
            gone[stat.st_dev, stat.st_ino] += 1
    return [Garbage(path, _freed(path, gone)) for path in sorted(found)]


def _written_in(store: Store, leftover: Path) -> Path:
    """The folder whose writers may be at work on a leftover."""
    inside = leftover.relative_to(store.home).parts
    return store.home / inside[0] if len(inside) > 1 else store.home


def _gives(store: Store, asset: str, recipe: Path, needed: set[tuple[str, str]]) -> bool:
    followed = store.follow(asset, recipe.stem)
    return followed is not None and (asset, followed.version) in needed


def _stats(path: Path) -> list[os.stat_result]:
    files = files_below(path) if path.is_dir() else [path]
    found: list[os.stat_result] = []
    for file in files:
        with suppress(FileNotFoundError):  # a draft may be published meanwhile
            if file.is_file():
                found.append(file.stat())
    return found


def _freed(path: Path, gone: dict[tuple[int, int], int]) -> int:
    return sum(
        stat.st_size // gone[stat.st_dev, stat.st_ino]
        for stat in _stats(path)
        if stat.st_nlink <= gone[stat.st_dev, stat.st_ino]
    )


def _age_days(path: Path) -> float:
    return (time.time() - path.stat().st_mtime) / 86_400
