"""A hold: what a rollback rejected stays out of new releases until somebody lifts it.

    <home>/release/hold.json   which assets new releases take in which version, and since when

Without it the next transcript would bring the rejected adapter back the same night.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hcf_pipeline.asset_names import FAISS_INDEX, LORA_ADAPTER, RELEASE
from hcf_pipeline.chat.release import ADAPTER, INDEX, Release
from hcf_pipeline.errors import GateFailed
from hcf_pipeline.files import replace_text, sealed, unsealed
from hcf_pipeline.store import Store

FILE = "hold.json"

HeldPart = Literal["adapter", "index", "all", "nothing"]
ASSETS = {"adapter": (LORA_ADAPTER,), "index": (FAISS_INDEX,), "all": (RELEASE,), "nothing": ()}


@dataclass(frozen=True)
class Hold:
    """`versions`: asset -> the version that new releases keep to; of RELEASE, that no new one is made at all."""

    versions: Mapping[str, str]
    rejected: str  # the release that was rolled back
    since: float  # seconds since 1970

    @property
    def everything(self) -> bool:
        return RELEASE in self.versions

    @property
    def names(self) -> str:
        """The held assets, for a person."""
        return " ".join(sorted(self.versions))


def hold_on(store: Store) -> Hold | None:
    """The hold on this home's releases, if there is one. A record that cannot be read holds everything: nothing that a
    person rejected may come back because a byte went bad."""
    try:
        raw = unsealed(_file(store).read_text(encoding="utf-8"))
        return Hold(dict(raw["versions"]), str(raw["rejected"]), float(raw["since"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        return Hold({RELEASE: ""}, "", 0.0)


def with_holds(store: Store, asset: str, inputs: Mapping[str, str]) -> dict[str, str]:
    """The inputs of an asset (name -> version) as they are to be taken: those of a release are the held ones, if any."""
    held = hold_on(store) if asset == RELEASE else None
    taken = dict(inputs) | {
        name: version for name, version in (held.versions if held else {}).items() if name != RELEASE
    }
    return {name: version for name, version in taken.items() if version}  # "": it goes without


def hold(store: Store, what: HeldPart, target: Release, target_id: str, rejected: str) -> Hold | None:
    """Holds new releases to what the release `target` has; the caller holds the home's lock."""
    versions: dict[str, str] = {}
    for asset in ASSETS[what]:
        if asset == RELEASE:
            versions[asset] = target_id
        else:
            part = target.parts.get(ADAPTER if asset == LORA_ADAPTER else INDEX)
            versions[asset] = part.version if part else ""
    if not versions:
        lift(store)
        return None
    made = Hold(versions, rejected, time.time())
    replace_text(_file(store), sealed({"versions": versions, "rejected": rejected, "since": made.since}))
    return made


def refuse_while_held(store: Store) -> None:
    """Raises GateFailed while a hold keeps every new release back."""
    held = hold_on(store)
    if held is not None and held.everything:
        raise GateFailed(
            zh="回退之后不再发布新的（hcf release list 里看扣住的）；hcf release lift 解除，然后再运行 hcf refresh。",
            en="After a rollback nothing new is released (hcf release list shows what is held); hcf release lift ends that, then "
            "run hcf refresh.",
        )


def lift(store: Store) -> Hold | None:
    """Ends the hold; returns what was held. The caller holds the home's lock."""
    held = hold_on(store)
    _file(store).unlink(missing_ok=True)
    return held


def differs(rejected: Release, target: Release) -> HeldPart:
    """What a rollback rejects, where nobody says: the part that differs, or all where it is more than one."""
    other = [name for name in (ADAPTER, INDEX) if rejected.parts.get(name) != target.parts.get(name)]
    return (
        "all" if len(other) != 1 or rejected.serving != target.serving else "adapter" if other == [ADAPTER] else "index"
    )


def _file(store: Store) -> Path:
    return store.home / RELEASE / FILE
