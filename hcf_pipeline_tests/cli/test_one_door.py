"""Nothing stands beside the writer and the reader: no print, no markup, no input() anywhere in the package."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from hcf_pipeline_tests.conftest import ROOT

PACKAGE = ROOT / "hcf_pipeline"
WRITERS = {"cli/writer.py", "cli/streams.py"}
READERS = {"cli/reader.py", "cli/streams.py"}
BARS = "cli/refresh.py"  # rich.progress, on the console of the writer
TOOLS = {"settings/reference.py"}  # python -m hcf_pipeline.settings.reference > docs/settings.md


def found(source: str, name: str = "some/module.py") -> list[str]:
    return [f"{name}:{node.lineno} {what}" for node, what in _doors(ast.parse(source), name)]


def _doors(tree: ast.Module, name: str) -> Iterator[tuple[ast.expr | ast.stmt, str]]:
    tool = {id(inside) for node in tree.body if name in TOOLS and _is_main(node) for inside in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in ("print", "input") and id(node) not in tool:
            yield node, node.id
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            for module in _imported(node):
                if (
                    module.split(".")[0] == "rich"
                    and name not in WRITERS
                    and not (name == BARS and module.startswith("rich.progress"))
                ):
                    yield node, module
                if (
                    module.split(".")[0] in ("getpass", "readline", "termios", "click", "curses")
                    and name not in READERS
                ):
                    yield node, module
                if module in (
                    "typer.echo",
                    "typer.secho",
                    "typer.prompt",
                    "typer.confirm",
                    "sys.stdout",
                    "sys.stderr",
                    "sys.stdin",
                ):
                    yield node, module
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            whole = f"{node.value.id}.{node.attr}"
            if whole in ("sys.stdout", "sys.stderr", "sys.__stdout__", "sys.__stderr__") and name not in WRITERS:
                yield node, whole
            if whole in ("sys.stdin", "sys.__stdin__") and name not in READERS:
                yield node, whole
            if whole in ("typer.echo", "typer.secho", "typer.prompt", "typer.confirm", "typer.style"):
                yield node, whole
        if isinstance(node, ast.keyword) and node.arg in ("markup", "emoji") and not _is_false(node.value):
            yield node.value, f"{node.arg}="
        if (
            isinstance(node, ast.Call)
            and _name_of(node.func) in ("TextColumn", "Console")
            and not _switches_markup_off(node)
        ):
            yield node, f"{_name_of(node.func)} with markup"


def _imported(node: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [f"{node.module}.{alias.name}" for alias in node.names]


def _name_of(function: ast.expr) -> str:
    return function.id if isinstance(function, ast.Name) else ""


def _is_main(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and "__main__" in ast.unparse(node.test)


def _is_false(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value is False


def _switches_markup_off(call: ast.Call) -> bool:
    return any(keyword.arg == "markup" and _is_false(keyword.value) for keyword in call.keywords)


def test_no_other_door_leads_to_the_terminal() -> None:
    files = sorted(PACKAGE.rglob("*.py"))
    assert len(files) > 100
    assert [door for file in files for door in found(file.read_text(encoding="utf-8"), _name(file))] == []


def _name(file: Path) -> str:
    return file.relative_to(PACKAGE).as_posix()


@pytest.mark.parametrize(
    "source",
    [
        "print('x')",
        "from functools import partial\nsay = partial(print, end='')",
        "x = input()",
        "import getpass",
        "from rich.console import Console",
        "from rich import print as show",
        "import rich.markup",
        "import sys\nsys.stdout.write('x')",
        "from sys import stderr",
        "import typer\ntyper.echo('x')",
        "from typer import secho",
        "column = TextColumn('{task.description}')",
        "out.print('x', markup=True)",
    ],
)
def test_each_other_door_would_be_found(source: str) -> None:
    assert found(source)


def test_the_tools_own_print_is_the_only_one_that_is_let_be() -> None:
    assert not found("if __name__ == '__main__':\n    print('x')", "settings/reference.py")
    assert found("print('x')", "settings/reference.py") and found("if __name__ == '__main__':\n    print('x')")
