"""Where the command line speaks: one language, stdout for results, stderr for everything else."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hcf_pipeline.cli.writer import Writer
from hcf_pipeline.errors import HcfError, Lang
from hcf_pipeline.text import argument_text, one_line

if TYPE_CHECKING:
    from hcf_pipeline.settings import Settings

out = Writer()
err = Writer(stderr=True)


@dataclass(frozen=True)
class Invocation:
    """What stands before or behind every command."""

    lang: Lang
    config: Path | None
    profile: str | None
    home: Path | None

    def settings(self, *, file_optional: bool = False) -> Settings:
        from hcf_pipeline.settings.file import load_settings

        optional = file_optional and not self._file_named
        return load_settings(self.config, profile=self.profile, home=self.home, file_optional=optional)

    @property
    def _file_named(self) -> bool:
        """Whether somebody named the settings file, which then has to be there."""
        return bool(self.config or os.environ.get("HCF_CONFIG"))

    @property
    def home_named(self) -> bool:
        """Whether the home is known without an hcf.toml: what is released there answers from any folder."""
        return bool(self.home or os.environ.get("HCF_HOME"))

    def tried(self, given: Sequence[str]) -> dict[str, object]:
        """ "section.key=value", each, as the validated values of settings by name. Raises SettingsError."""
        from hcf_pipeline.chat.serving import tried
        from hcf_pipeline.settings.file import load_settings

        if not given:
            return {}
        given = [argument_text(one) for one in given]
        optional = self.home_named and not self._file_named
        settings = load_settings(self.config, profile=self.profile, home=self.home, tried=given, file_optional=optional)
        return tried(settings, [one.partition("=")[0].strip() for one in given])

    def say(self, zh: str, en: str) -> str:
        return zh if self.lang == "zh" else en


def language(argv: list[str]) -> Lang:
    """`--lang`, else HCF_LANG, else Chinese; known before the parser runs, since help texts depend on it."""
    for position, word in enumerate(argv):
        if word == "--lang" and position + 1 < len(argv):
            return "en" if argv[position + 1] == "en" else "zh"
        if word.startswith("--lang="):
            return "en" if word == "--lang=en" else "zh"
    return "en" if os.environ.get("HCF_LANG") == "en" else "zh"


def show_error(error: HcfError, lang: Lang) -> None:
    err.print(("错误" if lang == "zh" else "Error", "bold red"), " ", one_line(error.text(lang)))


@contextmanager
def only_json() -> Iterator[None]:
    """Whatever libraries and child processes print meanwhile goes to stderr: stdout keeps to one JSON document."""
    out.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
        out.flush()
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def print_json(document: object) -> None:
    out.json(document)


def human_size(n_bytes: float) -> str:
    for unit in ("B", "KB", "MB"):
        if n_bytes < 1000:
            return f"{n_bytes:.0f} {unit}" if unit == "B" else f"{n_bytes:.1f} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.1f} GB"
