"""A conversation in the terminal goes on, whatever is typed and whatever goes wrong with one question."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from hcf_pipeline.chat.engine import Engine, engine_for
from hcf_pipeline.cli.chat import _Conversation
from hcf_pipeline.cli.console import Invocation
from hcf_pipeline.rag.search.periods import EVER
from hcf_pipeline.settings.file import load_settings
from hcf_pipeline_tests.cli.terminal import terminal
from hcf_pipeline_tests.conftest import Finished, Project, clean_environment

HCF = str(Path(sys.executable).with_name("hcf"))
QUESTION = "小顾头一个月的工资是多少？".encode()


def chat(project: Project, lines: Sequence[bytes], **environ: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [HCF, "chat", "--lang", "en"],
        input=b"".join(line + b"\n" for line in lines),
        cwd=project.root,
        env=clean_environment(**environ),
        capture_output=True,
        check=False,
    )


def test_no_bytes_that_are_typed_end_a_chat(finished: Finished) -> None:
    half = QUESTION[:8] + QUESTION[9:]  # as Backspace leaves it on a terminal that deletes bytes
    odd = [
        half,
        b"\xed\xa0\x80" + QUESTION,
        b"\x1b[A\x00",
        QUESTION * 20_000,
        b"/sources",
        QUESTION.decode().encode("gbk"),
    ]
    done = chat(finished.project, [*odd, b"exit", b"never asked"])
    shown = done.stdout.decode()
    assert (
        done.returncode == 0
        and "Traceback" not in done.stderr.decode()
        and "could not be answered" not in done.stderr.decode()
    )
    assert shown.count("You: ") == 7 and shown.count("江照野: ") >= 4 and "never asked" not in shown


def test_what_goes_wrong_with_one_question_is_told_and_the_next_is_answered(project: Project) -> None:
    (table,) = (project.home / "turn_table").glob("*/turns/table.json")
    with terminal([HCF, "chat", "--lang", "en"], project.root) as shell:
        shell.wait_for(b"You: ")
        shell.type("小顾们\x7f头一个月的工资是多少？\n".encode())
        shell.wait_for(b"You: ")
        table.rename(table.with_name("gone"))
        shell.type(b"/sources\n")
        shell.wait_for(b"You: ")
        assert b"Error" in shell.shown and b"damaged" in shell.shown
        n_answers = shell.shown.count("江照野: ".encode())
        shell.type(QUESTION + b"\n")
        shell.wait_for(b"You: ")
        assert shell.shown.count("江照野: ".encode()) > n_answers
        shell.type(b"\x04")
        assert shell.end() == 0 and b"Traceback" not in shell.shown


class Buggy(Engine):
    """An engine with a bug that its second question meets."""

    n_asked = 0

    def stream(self, *arguments: object, **more: object) -> Iterator[object]:  # type: ignore[override]
        self.n_asked += 1
        if self.n_asked == 2:
            raise TypeError("[/x] cannot be converted\x1b[2J")
        yield from super().stream(*arguments, **more)  # type: ignore[arg-type]


def test_a_bug_costs_one_answer_and_not_the_conversation(
    finished: Finished, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = load_settings(finished.project.root / "hcf.toml", environ={})
    known = engine_for(settings)
    engine = Buggy(known.release, known._store, settings)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\n".join([QUESTION] * 3)), encoding="utf-8"))
    _Conversation(Invocation("en", None, None, None), engine, lambda: engine, EVER).run()
    shown = capsys.readouterr()
    assert engine.n_asked == 3 and shown.out.count("江照野: ") >= 2
    assert "could not be answered (TypeError: [/x] cannot be converted␛[2J)" in shown.err


def test_a_question_may_come_through_a_pipe(finished: Finished) -> None:
    piped = finished.project.hcf("ask", "-", "--json", stdin="小顾头一个月的\n工资是多少？\n")
    assert piped.returncode == 0 and json.loads(piped.stdout)["citations"]
    assert finished.project.hcf("ask", "-", "--lang", "en", stdin=" \n").returncode == 1
