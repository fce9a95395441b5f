"""What may go from a home: versions that neither serve nor belong to one of the last releases, and leftovers.

Kept: what is current, the last `keep` releases, the one that serves, and everything that these were made from.
A refresh tidies up by itself; `hcf gc` does so now, and `hcf gc --dry-run` tells what it would do. The caller holds
the home's lock, and no run is under way.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hcf_pipeline.asset_names import RELEASE
from hcf_pipeline.chat.release import pinned_by, release_versions
from hcf_pipeline.errors import ArtifactError, NotReady, damaged
from hcf_pipeline.store import CURRENT, RECIPES, WORK, Store

WORK_DAYS = 7  # an interrupted training is not taken up again after that


@dataclass(frozen=True)
class Garbage:
    path: Path
    n_bytes: int  # that become free; files shared with what stays don't count


def garbage(store: Store, keep: int) -> list[Garbage]:
    """What nobody needs, in path order. While something is damaged that is only what killed processes left."""
    found = list(store.leftovers())
    with suppress(ArtifactError):
        found += _superfluous(store, _needed(store, keep))
    gone = {(stat.st_dev, stat.st_ino): 0 for path in found for stat in _stats(path)}
    for path in found:
        for stat in _stats(path):
            gone[stat.st_dev, stat.st_ino] += 1
    return [Garbage(path, _freed(path, gone)) for path in sorted(found)]


def _superfluous(store: Store, needed: set[tuple[str, str]]) -> list[Path]:
    found: list[Path] = []
    for asset in store.assets():
        folder = store.home / asset
        found += [folder / version for version in store.versions(asset) if (asset, version) not in needed]
        found += [f for f in (folder / RECIPES).glob("[!.]*.json") if not _gives(store, asset, f, needed)]
        found += [work for work in folder.glob(f"{WORK}*") if _age_days(work) > WORK_DAYS]
    return found


def clear(store: Store, found: Iterable[Garbage]) -> None:
    for one in found:
        store.remove(one.path)


def _needed(store: Store, keep: int) -> set[tuple[str, str]]:
    """(asset, version) of all that stays. Raises ArtifactError where that can't be told, because of damage."""
    roots = [(RELEASE, version) for version in release_versions(store)[:keep]]
    for asset in store.assets():
        artifact = store.current(asset)
        if artifact is None:
            raise damaged(store.home / asset / CURRENT)
        roots.append((asset, artifact.version))
        last = next((f for f in store.followed(asset) if f.version == artifact.version), None)
        roots += [one for one in (last.recipe.inputs.items() if last else ()) if one[0] != RELEASE]
    needed: set[tuple[str, str]] = set()
    while roots:
        asset, version = roots.pop()
        if (asset, version) in needed:
            continue
        needed.add((asset, version))
        with suppress(NotReady):  # gone already
            artifact = store.open(asset, version)
            roots += [made_from for made_from in artifact.inputs.items() if made_from[0] != RELEASE]  # answers about it
            if asset == RELEASE:
                roots += [(pinned.asset, pinned.version) for pinned in pinned_by(artifact)]
    return needed


def _gives(store: Store, asset: str, recipe: Path, needed: set[tuple[str, str]]) -> bool:
    followed = store.follow(asset, recipe.stem)
    return followed is not None and (asset, followed.version) in needed


def _stats(path: Path) -> list[os.stat_result]:
    files = path.rglob("*") if path.is_dir() else [path]
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
