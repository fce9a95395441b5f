"""typer's parser, whose help and complaints go through our own writers.

typer writes both itself, past a stream that it takes for misconfigured (ASCII) and past what a full disk says.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any, Protocol, cast

import typer
from typer.core import TyperCommand, TyperGroup
from typer.exceptions import TyperException

from hcf_pipeline.cli.console import err, out

GLOBAL_OPTIONS = ("--config", "--profile", "--home", "--lang")


class _OwnHelp:
    def get_help_option(self, ctx: Any) -> Any:
        option = super().get_help_option(ctx)  # type: ignore[misc]
        if option is not None:
            option.callback = _show_help
        return option


def _show_help(ctx: typer.Context, param: object, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        out.print(ctx.get_help())
        ctx.exit()


class _Command(_OwnHelp, TyperCommand):
    pass


class _Group(_OwnHelp, TyperGroup):
    pass


class Commands(typer.Typer):
    """A group of commands. No text of theirs is read as markup."""

    def __init__(self, **settings: Any) -> None:
        plain: dict[str, Any] = {"rich_markup_mode": None, "pretty_exceptions_enable": False, "add_completion": False}
        super().__init__(cls=_Group, no_args_is_help=True, **plain, **settings)

    def command(self, name: str | None = None, **settings: Any) -> Callable[[Any], Any]:
        return super().command(name, cls=_Command, **settings)


class _Complaint(Protocol):
    def show(self, file: io.StringIO) -> None: ...


def parsed(app: typer.Typer, arguments: Sequence[str]) -> int:
    """Runs the command that the arguments name; the exit code, 2 where they name none."""
    try:
        code: int | None = app(args=hoist(arguments), prog_name="hcf", standalone_mode=False)
    except TyperException as error:
        shown = io.StringIO()
        cast(_Complaint, error).show(shown)
        err.print(shown.getvalue(), end="")
        return error.exit_code
    return code or 0


def hoist(argv: Sequence[str]) -> list[str]:
    """The global options moved to the front, so that they may stand before or behind the command."""
    first: list[str] = []
    rest: list[str] = []
    words = iter(argv)
    for word in words:
        if word == "--":
            rest += [word, *words]
        elif word in GLOBAL_OPTIONS:
            first += [word, *([value] if (value := next(words, None)) is not None else [])]
        elif word.partition("=")[0] in GLOBAL_OPTIONS:
            first.append(word)
        else:
            rest.append(word)
    return first + rest
