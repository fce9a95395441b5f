"""`hcf --version`: this package and what it stands on, as they are installed; nothing of it is imported."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from hcf_pipeline.cli.console import out, print_json

OWN = "hcf-pipeline"
CORE = (
    "dagster",
    "torch",
    "transformers",
    "peft",
    "trl",
    "datasets",
    "bitsandbytes",
    "faiss-cpu",
    "sentence-transformers",
    "huggingface_hub",
    "pandas",
)


def show_version(*, as_json: bool) -> None:
    versions = {OWN: _installed(OWN), "python": platform.python_version(), **{name: _installed(name) for name in CORE}}
    code = Path(__file__).resolve().parents[1]  # a copied folder may run another one's
    if as_json:
        print_json({"versions": versions, "code": str(code)})
        return
    for name, found in versions.items():
        out.print(f"{name} {found or 'not installed'}" + (f" ({code})" if name == OWN else ""))


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
