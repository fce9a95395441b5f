"""Running the user's `git`, in one folder, for one address.

A name and a password that stand in the address reach git through its environment, which only the same user can read, and
by way of a credential helper: they are given to the host that was asked for, and kept nowhere.
"""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from hcf_pipeline.corpus.address import Address, public
from hcf_pipeline.errors import HcfError, MachineError, ToolMissing

TIMEOUT_S = 1800
GRACE_S = 5  # that git has to clear up behind itself
ELSEWHERE = (  # set where this runs in one of git's own hooks: then they name the repository of the hook
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_COMMON_DIR",
    "GIT_OBJECT_DIRECTORY",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
)
HELPER = '!f() { test "$1" = get && printf "username=%s\\npassword=%s\\n" "$HCF_GIT_USER" "$HCF_GIT_PASSWORD"; }; f'
ASKS = (
    "could not read Username",
    "could not read Password",
    "Authentication failed",
    "Permission denied",
    "terminal prompts",
)


class _Done(NamedTuple):
    well: bool
    said: str
    complaint: str


@dataclass(frozen=True)
class Git:
    """`git(…)` gives what it printed; `address` is where it may have to go."""

    address: Address | None
    folder: Path

    def __call__(self, *arguments: str) -> str:
        """Raises MachineError where git fails, ToolMissing where it isn't there."""
        return self._checked(arguments, self.folder)

    def outside(self, *arguments: str) -> str:
        """As before, of a folder that is still to be made."""
        return self._checked(arguments, self.folder.parent)

    def says(self, *arguments: str) -> str:
        """What it printed, or nothing where it fails."""
        done = self._run(arguments, self.folder)
        return done.said if done.well else ""

    def succeeds(self, *arguments: str) -> bool:
        return self._run(arguments, self.folder).well

    def try_to(self, *arguments: str, unless: str) -> bool:
        """False where git complains of `unless`; raises MachineError where it fails otherwise."""
        done = self._run(arguments, self.folder)
        if done.well:
            return True
        if unless in done.complaint:
            return False
        raise self._failed(done.complaint)

    def _checked(self, arguments: tuple[str, ...], folder: Path) -> str:
        done = self._run(arguments, folder)
        if not done.well:
            raise self._failed(done.complaint)
        return done.said

    def _run(self, arguments: tuple[str, ...], folder: Path) -> _Done:
        try:
            git = subprocess.Popen(
                ["git", "-c", "core.quotePath=false", *self._credentials(), *arguments],
                cwd=folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                errors="replace",
            )
        except FileNotFoundError as error:
            if not folder.is_dir():
                raise
            raise ToolMissing(
                zh="没有找到 git；请先安装它（例如 apt install git）。",
                en="git was not found; install it (such as apt install git).",
            ) from error
        try:
            said, complaint = git.communicate(timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            _end(git)
            return _Done(False, "", f"no answer in {TIMEOUT_S} s")
        except BaseException:
            _end(git)
            raise
        return _Done(git.returncode == 0, said.strip(), complaint.strip())

    def _credentials(self) -> list[str]:
        """With a password only ours are asked; a user without one may be a token, or somebody whom the user's know."""
        if not (self.address and self.address.user):
            return []
        only = ["-c", "credential.helper="] if self.address.password else []
        return [*only, "-c", f"credential.helper={HELPER}"]

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name not in ELSEWHERE}
        kept |= {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
        kept["GIT_CEILING_DIRECTORIES"] = str(
            self.folder.parent
        )  # a clone that is damaged is not the project around it
        if self.address and self.address.user:
            kept |= {"HCF_GIT_USER": self.address.user, "HCF_GIT_PASSWORD": self.address.password}
            n = int(kept.get("GIT_CONFIG_COUNT") or 0)
            kept |= {"GIT_CONFIG_COUNT": str(n + 1), f"GIT_CONFIG_KEY_{n}": "credential.username"}
            kept[f"GIT_CONFIG_VALUE_{n}"] = self.address.user
        return kept

    def _failed(self, stderr: str) -> HcfError:
        lines = [line.strip() for line in stderr.splitlines() if line.strip()]
        line = next((line for line in lines if line.startswith("fatal: ")), lines[-1] if lines else "git failed")
        said = (self.address.public if self.address else public)(line.removeprefix("fatal: "))
        where = self.address.url if self.address else str(self.folder)
        if any(words in stderr for words in ASKS):
            return MachineError(
                zh=f"{where} 不让进（git：{said}）；私有库请先让 git 自己能取（凭据管理，或 SSH 地址），或写成 https://用户:令牌@…。",
                en=f"{where} lets nobody in without a valid account (git: {said}); let git know it (a credential helper, or an "
                "SSH address), or write https://USER:TOKEN@….",
            )
        return MachineError(
            zh=f"取不到 {where}（git：{said}）；请检查地址和网络，再运行一次。",
            en=f"Cannot fetch {where} (git: {said}); check the address and the network, then run this again.",
        )


def _end(git: subprocess.Popen[str]) -> None:
    """Ends git and all that it started: what goes on writing would spoil the next try."""
    import psutil

    try:
        started = psutil.Process(git.pid).children(recursive=True)
    except psutil.Error:
        started = []
    git.terminate()
    try:
        git.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        git.kill()
        git.wait()
    for child in started:
        with suppress(psutil.Error):
            child.kill()
    psutil.wait_procs(started, GRACE_S)
    for pipe in (git.stdout, git.stderr):
        if pipe:
            pipe.close()
