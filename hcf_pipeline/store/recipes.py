"""What an asset was made by: recipes, and the version that each gave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hcf_pipeline.files import hash_of, replace_text, sealed, unsealed

RECIPES = "recipes"


@dataclass(frozen=True)
class Recipe:
    """What an asset is made by. Two recipes with the same id give the same content."""

    revision: int  # hand-kept, of the asset's logic
    settings: Mapping[str, object] = field(
        default_factory=dict
    )  # those that the asset reads: "chunks.max_chars" -> 500
    inputs: Mapping[str, str] = field(default_factory=dict)  # asset -> version

    @property
    def code_version(self) -> str:
        return f"{self.revision}+{hash_of(dict(self.settings))[:12]}"

    @property
    def id(self) -> str:
        return hash_of({"code": self.code_version, "inputs": dict(self.inputs)})


@dataclass(frozen=True)
class Followed:
    """A recipe that was followed, the version it gave, and its place among those of its asset (1, 2, …)."""

    recipe: Recipe
    version: str
    number: int


def followed(asset: Path) -> list[Followed]:
    """The recipes that were followed for an asset, the last one first."""
    found = [read_followed(file) for file in (asset / RECIPES).glob("[!.]*.json")]
    return sorted((one for one in found if one), key=lambda one: -one.number)


def read_followed(file: Path) -> Followed | None:
    """None where it was lost or damaged: the recipe is followed once more."""
    try:
        raw = unsealed(file.read_text(encoding="utf-8"))
        recipe = Recipe(int(raw["revision"]), dict(raw["settings"]), dict(raw["inputs"]))
        return Followed(recipe, str(raw["version"]), int(raw["number"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def note_followed(asset: Path, recipe: Recipe, version: str) -> None:
    """Notes that the recipe, the last one followed, gave this version."""
    folder = asset / RECIPES
    folder.mkdir(exist_ok=True)
    number = max((one.number for one in followed(asset)), default=0) + 1
    written = {"revision": recipe.revision, "settings": dict(recipe.settings), "inputs": dict(recipe.inputs)}
    replace_text(folder / f"{recipe.id}.json", sealed(written | {"version": version, "number": number}))
