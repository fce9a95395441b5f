"""Artifacts in immutable folders, published by one rename.

    <home>/<asset>/<version>/manifest.json   sha256 of every file, versions of the inputs, metadata
    <home>/<asset>/<version>/.damaged        names the file that somebody found damaged
    <home>/<asset>/recipes/<recipe>.json     a recipe (code, settings, input versions) and the version that it gave
    <home>/<asset>/current                   the version that was published last, or rolled back to
    <home>/<asset>/.making…                  who makes this asset: see making.py
    <home>/<asset>/.writing                  locked by who writes below this folder: see leases.py
    <home>/.lock                             held by the one `hcf refresh` (or gc, or rollback) of this home

A version is written under a temporary name beside its final one, files and folders fsynced, then renamed; `current`
and the recipe files are replaced with os.replace. So a reader sees a whole version or none. Readers open a version
once and keep it, with a lease where they keep it for long: they never read `current` twice. Versions share unchanged
files as hard links.
"""

from hcf_pipeline.store.artifact import CURRENT, MANIFEST, Artifact, Built, Markdown, Metadata
from hcf_pipeline.store.leases import Lease
from hcf_pipeline.store.recipes import RECIPES, Followed, Recipe
from hcf_pipeline.store.store import ONCE, Store

WORK = ".work-"  # what a step keeps beside its asset's versions, so that it can go on after a crash

__all__ = [
    "CURRENT",
    "MANIFEST",
    "ONCE",
    "RECIPES",
    "WORK",
    "Artifact",
    "Built",
    "Followed",
    "Lease",
    "Markdown",
    "Metadata",
    "Recipe",
    "Store",
]
