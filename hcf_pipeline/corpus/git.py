"""A corpus kept in Git: cloned or updated with the user's own `git`."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from hcf_pipeline.errors import CorpusError, HcfError, MachineError, ToolMissing

TIMEOUT_S = 1800


def fetch_corpus(source: str, data: Path) -> tuple[Path, str]:
    """Clones `source` (an address, or a folder under Git) into `data/NAME`, or brings a clone there up to date.

    Returns the folder and its commit. Local changes in a clone are never overwritten. Raises CorpusError,
    MachineError when the address can't be reached, ToolMissing without git.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        if not (folder / ".git").exists() and not (folder / "HEAD").is_file():
            raise CorpusError(
                zh=f"{folder} 不是 Git 仓库；普通目录不用取，运行 hcf init {folder} 就行。",
                en=f"{folder} is no Git repository; a plain folder needs no fetching: run hcf init {folder}.",
            )
        source = str(folder.resolve())
    name = re.sub(r"[^\w.-]", "-", source.rstrip("/").rsplit("/", 1)[-1].rsplit(":", 1)[-1]).removesuffix(".git")
    if not name.strip(".-"):
        raise CorpusError(zh=f"{_public(source)} 不像 Git 地址。", en=f"{_public(source)} is no Git address.")
    target = data / name
    if (target / ".git").is_dir():
        _git(["pull", "--ff-only", "--quiet"], target, source)
    elif target.exists():
        raise CorpusError(
            zh=f"{target} 已经在那里，却不是 Git 仓库；请移走它再取。",
            en=f"{target} is there already and is no Git repository; move it away first.",
        )
    else:
        data.mkdir(parents=True, exist_ok=True)
        draft = data / f".draft-{name}-{os.getpid()}"
        try:
            _git(["clone", "--depth", "1", "--quiet", "--", source, str(draft)], data, source)
            draft.rename(target)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return target, _git(["rev-parse", "HEAD"], target, source).strip()


def _git(arguments: list[str], folder: Path, source: str) -> str:
    environment = os.environ | {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError as error:
        raise ToolMissing(
            zh="没有找到 git；请先安装它（例如 apt install git）。",
            en="git was not found; install it (such as apt install git).",
        ) from error
    except subprocess.TimeoutExpired as error:
        raise _failed(source, f"no answer in {TIMEOUT_S} s") from error
    if done.returncode:
        raise _failed(source, done.stderr)
    return done.stdout


def _failed(source: str, stderr: str) -> HcfError:
    said = _public(stderr.strip().splitlines()[-1] if stderr.strip() else "git failed")
    if "local changes" in stderr or "fast-forward" in stderr or "diverg" in stderr.lower():
        return CorpusError(
            zh=f"本地的文稿库有自己的改动，没有动它（git：{said}）；请提交、移走或撤销这些改动，再运行一次。",
            en=f"The clone has changes of its own and was left alone (git: {said}); commit, move or undo them, then again.",
        )
    where = _public(source)
    return MachineError(
        zh=f"取不到 {where}（git：{said}）；请检查地址和网络，再运行一次。",
        en=f"Cannot fetch {where} (git: {said}); check the address and the network, then run this again.",
    )


def _public(text: str) -> str:
    """Without the user name and password that an address may carry."""
    return re.sub(r"(\w+://)[^/@\s]+@", r"\1", text)
