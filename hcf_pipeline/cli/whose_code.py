"""Whether the code that runs is that of the folder where it was started.

An environment knows the folder that it was installed from by its full path. Copied or moved together with that folder, it
goes on running the old one's code, on the new one's settings and artifacts.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from hcf_pipeline.errors import MachineError

RUNNING = Path(__file__).resolve().parents[2]  # what hcf_pipeline/ lies in


def require_own_code() -> str | None:
    """Raises MachineError where the environment lies in one clone and runs the code of another.

    Returns that other clone where it only is the working folder: whoever gave `hcf` its path may mean it.
    """
    if _is_meant(RUNNING):
        return None
    started = Path(sys.argv[0]).absolute()  # CLONE/.venv/bin/hcf, in a copy with the python of where it was copied from
    for environment in (started.parents[1] if len(started.parents) > 1 else started, Path(sys.prefix)):
        clone = environment.parent
        if (environment / "pyvenv.cfg").is_file() and _is_other_clone(clone):
            raise MachineError(
                zh=f"{environment} 是从 {RUNNING} 安装的，运行的是那里的代码，不是 {clone} 的（文件夹被复制或移动过）；"
                f"请运行 python3 {clone / 'hcf.py'} …，它会重新安装。",
                en=f"{environment} was installed from {RUNNING} and runs the code there, not that of {clone} (the folder was "
                f"copied or moved); run python3 {clone / 'hcf.py'} …, which installs anew.",
            )
    here = Path.cwd()
    return str(here) if _is_other_clone(here) else None


def _is_meant(package: Path) -> bool:
    """Found by a path that somebody gave, or beside the script; or installed as a copy, which belongs to no folder."""
    given: Iterable[str] = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return package.is_relative_to(Path(sys.prefix).resolve()) or any(
        Path(place).resolve() == package for place in (*filter(None, given), sys.path[0])
    )


def _is_other_clone(folder: Path) -> bool:
    return (
        (folder / "hcf_pipeline" / "__init__.py").is_file()
        and (folder / "hcf.py").is_file()
        and folder.resolve() != RUNNING
    )
