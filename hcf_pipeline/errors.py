"""Every error that a user can meet, each with its sentence in Chinese and in English.

    HcfError
    ├── UserError (exit 1: something of the user's is not as it should be)
    │   ├── SettingsError        unknown key, wrong type, impossible value
    │   ├── CorpusError          no folder, no usable transcript, changed while being read
    │   ├── DataError            nothing to train on, to chunk or to index
    │   ├── ArtifactError        missing, damaged, or made by something else
    │   ├── NotReady             nothing released yet, an input never built
    │   └── HomeBusy             another process is writing to this home
    └── MachineError (exit 3: the machine or the network)
        ├── HubError             gated, token refused, not found, offline, disk full
        ├── ToolMissing          git, a GPU library
        └── RunFailed            a step of a refresh failed; the cause is told

A message has three parts: what is wrong (and where), why it matters, the next step. A traceback is for
our own bugs only. Usage errors (exit 2) are the command line parser's.
"""

from __future__ import annotations

from typing import Literal

Lang = Literal["zh", "en"]


class HcfError(Exception):
    """Base of all errors meant for a person's eyes; `str(error)` is the English sentence."""

    exit_code = 1

    def __init__(self, *, zh: str, en: str) -> None:
        super().__init__(en)
        self.zh = zh
        self.en = en

    def text(self, lang: Lang) -> str:
        return self.zh if lang == "zh" else self.en


class UserError(HcfError):
    exit_code = 1


class SettingsError(UserError):
    pass


class CorpusError(UserError):
    pass


class DataError(UserError):
    pass


class ArtifactError(UserError):
    pass


class NotReady(UserError):
    pass


class HomeBusy(UserError):
    pass


class MachineError(HcfError):
    exit_code = 3


class HubError(MachineError):
    pass


class ToolMissing(MachineError):
    pass


class RunFailed(MachineError):
    pass
