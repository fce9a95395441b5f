"""Every error that a user can meet, each with its sentence in Chinese and in English.

    HcfError
    ├── UserError (exit 1: something of the user's is not as it should be)
    │   ├── SettingsError        unknown key, wrong type, impossible value
    │   ├── CorpusError          no folder, no usable transcript
    │   │   └── CorpusMoved      a file changed while the corpus was being read: run again
    │   ├── DataError            nothing to train on, to chunk or to index
    │   ├── ArtifactError        missing, damaged, or made by something else
    │   │   └── InputDamaged     of a step: it can be made when that input was built again
    │   ├── NotReady             nothing released yet, an input never built
    │   ├── HomeBusy             another process is writing to this home
    │   └── GateFailed           a check says that what was built must not be released
    └── MachineError (exit 3: the machine or the network)
        ├── HubError             gated, token refused, not found, offline, disk full
        │   └── HubBusy          too slow, too busy, or broken off: tried again by itself
        ├── ServerError          an encoder or reranker behind an address: key refused, model unknown, no vectors
        │   └── ServerBusy       out of reach, too slow or too busy: tried again by itself
        ├── OutputFailed         stdout cannot be written
        ├── ToolMissing          git, a GPU library
        └── RunFailed            a step of a refresh failed; the cause is told

A message has three parts: what is wrong (and where), why it matters, the next step. A traceback is for
our own bugs only. Usage errors (exit 2) are the command line parser's.
"""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Literal, TypedDict

from hcf_pipeline.files import is_closed
from hcf_pipeline.text import visible

DENIED = (errno.EACCES, errno.EPERM)

Lang = Literal["zh", "en"]


class HcfError(Exception):
    """Base of all errors meant for a person's eyes; `str(error)` is the English sentence.

    Names and other people's words in it are made visible: it is shown in terminals, in logs and in Dagster's UI.
    """

    exit_code = 1
    transient = False  # the same may well succeed in a minute

    def __init__(self, *, zh: str, en: str) -> None:
        self.zh, self.en = visible(zh), visible(en)
        super().__init__(self.en)

    def text(self, lang: Lang) -> str:
        return self.zh if lang == "zh" else self.en


class UserError(HcfError):
    exit_code = 1


class SettingsError(UserError):
    pass


class CorpusError(UserError):
    pass


class CorpusMoved(CorpusError):
    pass


class DataError(UserError):
    pass


class ArtifactError(UserError):
    pass


class InputDamaged(ArtifactError):
    pass


def damaged(file: Path) -> ArtifactError:
    if is_closed(file):
        return ArtifactError(**closed(file))
    return ArtifactError(
        zh=f"{file} 缺失或已损坏；请运行 hcf refresh 重新生成。",
        en=f"{file} is missing or damaged; run hcf refresh to build it again.",
    )


def unwritable(home: Path, error: OSError) -> UserError:
    if error.errno in DENIED and is_closed(file := Path(error.filename or home)):
        return UserError(**closed(file))
    return UserError(
        zh=f"不能写入 {home}（{error.strerror}）；hcf retrieve、ask、chat 只要能读就行，其余命令请换一个目录：--home 或 HCF_HOME。",
        en=f"Cannot write to {home} ({error.strerror}); hcf retrieve, ask and chat only read, for all else choose another "
        "folder with --home or HCF_HOME.",
    )


class Sentence(TypedDict):
    zh: str
    en: str


def closed(file: Path) -> Sentence:
    """What is said of a file that this user may not read: another user's, as a rule."""
    return Sentence(
        zh=f"没有读取权限（{file}）；请让它的主人开放（chmod -R a+rX），或换一个目录：--home 或 HCF_HOME。",
        en=f"There is no permission to read {file}; ask its owner to open it (chmod -R a+rX), or choose another folder with "
        "--home or HCF_HOME.",
    )


class NotReady(UserError):
    pass


class HomeBusy(UserError):
    pass


class GateFailed(UserError):
    pass


class MachineError(HcfError):
    exit_code = 3


class HubError(MachineError):
    pass


class HubBusy(HubError):
    transient = True


class ServerError(MachineError):
    pass


class ServerBusy(ServerError):
    transient = True


class OutputFailed(MachineError):
    pass


class ToolMissing(MachineError):
    pass


class RunFailed(MachineError):
    pass
