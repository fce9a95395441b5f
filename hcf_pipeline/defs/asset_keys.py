"""Between the names of assets, by which the store keeps them, and Dagster's keys. All of the package goes through here."""

from __future__ import annotations

import dagster as dg


def key_of(name: str) -> dg.AssetKey:
    return dg.AssetKey(name)


def name_of(key: dg.AssetKey) -> str:
    return key.to_user_string()
