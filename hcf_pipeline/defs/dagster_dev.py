"""What a bare `dagster dev` in a project's folder goes by: workspace.yaml names the code, .env the home.

Dagster puts the variables of a .env in its working folder over those of the environment. Both names are written: storage
and artifacts belong to one home, whatever HCF_HOME says where `dagster dev` is started.
"""

from __future__ import annotations

import io
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from dotenv import dotenv_values

from hcf_pipeline.errors import Sentence
from hcf_pipeline.files import replace_text
from hcf_pipeline.settings import Settings
from hcf_pipeline.settings.file import CONFIG_NAME, own_home

ENV = ".env"
HEADER = "# Written by hcf: `dagster dev` in this folder shows what hcf builds. Delete this line to keep changes of your own.\n"
DAGSTER_HOME = "DAGSTER_HOME"
WORKSPACE = """\
load_from:
  - python_module:
      module_name: hcf_pipeline.definitions
      working_directory: .
"""


def set_up_dagster_dev(settings: Settings) -> Sentence | None:
    """Writes both files where there are none, and mends a .env of ours, as after a move; a user's own are left alone.

    Does nothing for a home that was given for this once (--home, HCF_HOME), nor where `dagster dev` would not find these
    settings. Returns what to add to a user's own .env that names no home.
    """
    if settings.config.name != CONFIG_NAME or not settings.config.is_file():
        return None
    folder, home = settings.root, own_home(settings.config)
    if settings.home != home:
        return None
    with suppress(OSError):  # a folder that can only be read; nothing here is needed for a refresh
        if not _names_code(folder):
            replace_text(folder / "workspace.yaml", WORKSPACE)
        file, wanted = folder / ENV, env_text(home)
        written = file.read_text(encoding="utf-8", errors="replace") if file.exists() else None
        if written is None or written.startswith(HEADER):
            if wanted and written != wanted:
                replace_text(file, wanted)
        elif DAGSTER_HOME not in env_values(file):
            return Sentence(
                zh=f"{file} 是你自己的，没有动它；要让 dagster dev 看到 hcf 做的，请在里面加一行 {DAGSTER_HOME}={home}。",
                en=f"{file} is your own and was left alone; for dagster dev to show what hcf builds, add the line "
                f"{DAGSTER_HOME}={home} to it.",
            )
    return None


def env_text(home: Path) -> str | None:
    """None for a path that a .env cannot say: ${…} in it would be replaced, and bytes that are no text lost."""
    escaped = str(home).replace("\\", "\\\\").replace("'", "\\'")
    text = HEADER + "".join(f"{name}='{escaped}'\n" for name in (DAGSTER_HOME, "HCF_HOME"))
    said = dotenv_values(stream=io.StringIO(text)).get(DAGSTER_HOME)
    return text if said == str(home) == str(home).encode("utf-8", "replace").decode() else None


def env_values(file: Path) -> Mapping[str, str]:
    """The variables of a .env as Dagster reads them; none where there is no such file."""
    return {name: value for name, value in dotenv_values(file).items() if value is not None} if file.is_file() else {}


def _names_code(folder: Path) -> bool:
    """Whether Dagster finds something to load there: a workspace.yaml, or a pyproject.toml that speaks of Dagster."""
    if (folder / "workspace.yaml").exists():
        return True
    try:
        tool = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8")).get("tool", {})
    except (OSError, ValueError):
        return False
    return isinstance(tool, dict) and bool({"dagster", "dg"} & tool.keys())
