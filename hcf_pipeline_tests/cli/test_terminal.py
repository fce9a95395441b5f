"""Other people's text in a terminal: names, labels, settings, a model's words, Git's. Nothing of it is obeyed."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from hcf_pipeline.chat.answer import Answer, Citation, OwnWords
from hcf_pipeline.cli.answers import show_answer
from hcf_pipeline.cli.writer import Writer
from hcf_pipeline_tests.cli.terminal import terminal
from hcf_pipeline_tests.conftest import Finished, Project, new_project

EVIL = "[/b][chunks]\x1b]0;标题\x07\x1b]52;c;ZWNobw==\x1b\\\r\x9b2J\u202e"
SHOWN = "[/b][chunks]␛]0;标题␇␛]52;c;ZWNobw==␛\\␍\\u009b2J\\u202e"

EVIL_NAME, SHOWN_NAME = EVIL.replace("/", ""), SHOWN.replace("/", "")

TALK = "小李：老师好，能讲讲怎么种番茄吗\n\n陈老师：番茄要先育苗，十五天以后再移栽，水不要太多。\n\n" * 3


def is_plain(text: str) -> bool:
    """Whether nothing in it moves a cursor, sets a title or turns the reading direction round."""
    return not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)


@pytest.fixture
def bare(tmp_path: Path) -> Project:
    (tmp_path / "corpus").mkdir()
    (tmp_path / "hcf.toml").write_text('[corpus]\npath = "corpus"\n', encoding="utf-8")
    return Project(tmp_path)


def test_the_writer_shows_everything_and_obeys_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    writer = Writer()
    writer.print(EVIL, (EVIL, "bold"), style="dim")
    writer.table([EVIL], [[EVIL], [(EVIL + "\n", "red")]])
    writer.rule(EVIL)
    for piece in (EVIL[:13], EVIL[13:40], EVIL[40:]):
        writer.print(piece, end="")
    shown = capsys.readouterr().out
    assert is_plain(shown) and shown.count(SHOWN) == 7 and SHOWN + "␊" in shown


def test_an_answer_shows_its_words_names_and_labels_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    quotes, citations = OwnWords(1, EVIL, None, 4, EVIL, EVIL), Citation(1, EVIL, None, (3, 6), EVIL)
    show_answer(Answer((quotes,), (citations,), EVIL, "r", abstained=False), toy=False, lang="en")
    shown = capsys.readouterr().out
    assert is_plain(shown) and shown.count(SHOWN) == 4


@pytest.mark.parametrize(
    "arguments",
    [
        [EVIL],
        ["ask", "x", "--since", EVIL],
        ["retrieve", "x", "-k", EVIL],
        ["--lang", EVIL, "status"],
        ["ask", f"--{EVIL}"],
    ],
)
def test_wrong_usage_obeys_nothing_of_what_was_typed(bare: Project, arguments: list[str]) -> None:
    done = bare.hcf(*arguments)
    assert done.returncode == 2 and is_plain(done.stderr + done.stdout) and "Traceback" not in done.stderr
    assert "[/b][chunks]" in done.stderr or "-k" in arguments or "--lang" in arguments  # whose sentences repeat nothing


@pytest.mark.parametrize(
    "arguments",
    [
        ["--profile", EVIL, "status"],
        ["--config", f"{EVIL}.toml", "status"],
        ["--home", EVIL, "ask", "x"],
        ["init", EVIL, "--force"],
        ["ask", "x", "-s", EVIL],
        ["retrieve", "--questions", EVIL],
        ["corpus", "fetch", f"./{EVIL}"],
        ["release", "show", EVIL],
    ],
)
def test_an_error_names_what_was_given_on_one_line_and_obeys_none_of_it(bare: Project, arguments: list[str]) -> None:
    done = bare.hcf(*arguments)
    assert done.returncode and is_plain(done.stderr + done.stdout) and SHOWN[:20] in done.stderr
    assert done.stderr.count("\n") == 1


def test_init_shows_the_names_of_files_as_they_are_and_not_all_of_a_thousand(bare: Project) -> None:
    folder = bare.root / "直播"
    folder.mkdir()
    (folder / "2025-02-01.md").write_text(TALK, encoding="utf-8")
    for n in range(30):
        (folder / f"{n:02} {EVIL_NAME}\n写好了.md").write_text("没有称呼的文字", encoding="utf-8")
    done = bare.hcf("init", "直播", "--force", "--lang", "en")
    named = next(line for line in done.stdout.split("\n") if line.startswith("without turns"))
    assert is_plain(done.stdout) and SHOWN_NAME[:20] in named and named.endswith("and 22 more")


def test_check_names_a_few_unknown_labels_and_how_many_more(bare: Project) -> None:
    text = TALK + "".join(f"路人{chr(0x4E00 + n)}：插一句\n陈老师：好\n" for n in range(300))
    (bare.corpus / "2025-02-01.md").write_text(text, encoding="utf-8")
    toml = '[corpus]\npath = "corpus"\nhost_labels = ["陈老师"]\nguest_labels = ["小李"]\n'
    (bare.root / "hcf.toml").write_text(toml, encoding="utf-8")
    found = {one["name"]: one["text"] for one in bare.json("check", "--lang", "en")["findings"]}
    assert found["corpus"].endswith(" and 292 more") and len(found["corpus"]) < 400


def test_status_shows_names_and_settings_with_brackets_whole(project: Project) -> None:
    (project.corpus / "直播[").mkdir()
    name = f"直播[/回放]{EVIL_NAME}.md"
    (project.corpus / name).write_text(TALK, encoding="utf-8")
    done = project.hcf("status", "--lang", "en", HCF_CHUNKS__MAX_CHARS="401", COLUMNS="400")
    assert done.returncode == 0 and is_plain(done.stdout + done.stderr)
    assert "[chunks] max_chars 500 → 401" in done.stdout
    assert f"直播[/回放]{SHOWN_NAME}.md" in done.stdout


def test_the_bars_of_a_refresh_show_what_its_steps_say_and_obey_none_of_it() -> None:
    code = f"""
import time
from hcf_pipeline.cli.refresh import Bars
with Bars("en") as bars:
    bars.wave(["one"])
    bars.started("one")
    bars.said("one", "[1/2] " + {EVIL!r})
    time.sleep(0.5)  # until it is drawn
    bars.finished("one")
"""
    with terminal(["-c", code], COLUMNS="200") as shell:
        assert shell.end() == 0
        shown = shell.shown.decode()
    assert "1/2 " + SHOWN in shown and "✔ one" in shown
    assert "\x1b]" not in shown and "\x9b" not in shown and "\u202e" not in shown


def test_a_traceback_of_a_bug_obeys_nothing_either(bare: Project) -> None:
    """A folder in the place of a record is nothing that is ever written."""
    code = f"import hcf_pipeline.cli.status as s\ndef broken(*_, **__): raise RuntimeError({EVIL!r})\ns.run_status = broken\n"
    code += "import sys\nsys.argv = ['hcf', 'status']\nfrom hcf_pipeline.cli import main\nmain()"
    with terminal(["-c", code], bare.root) as shell:
        assert shell.end() == 1
        shown = shell.shown.decode()
    assert "Traceback" in shown and SHOWN in shown and "\x1b]" not in shown


@pytest.mark.parametrize("question", [b"\xc4\xe3\xba\xc3", "你好".encode()[:-1], b"\xff\xfe", "\ufdd0\u2028".encode()])
def test_a_question_of_any_bytes_is_a_question(finished: Finished, question: bytes) -> None:
    for arguments in (["retrieve", "--json"], ["retrieve"]):
        done = finished.project.hcf(*arguments, os.fsdecode(question + " 小顾的工资".encode()), "-k", "1")
        assert done.returncode == 0 and "Traceback" not in done.stderr and "2024-" in done.stdout


def test_a_question_in_gbk_finds_what_the_same_in_utf_8_finds(finished: Finished) -> None:
    question = "小顾头一个月的工资是多少？"
    told = finished.project.json("retrieve", os.fsdecode(question.encode("gbk")))
    assert told == finished.project.json("retrieve", question)


def test_paths_keep_the_bytes_that_the_file_system_wants(tmp_path: Path) -> None:
    root = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xd6\xb1\xb2\xa5"))
    root.mkdir()
    project = new_project(root)
    assert project.json("release", "list")["releases"] == []
    assert project.json("check", "--lang", "en")["findings"][0]["verdict"] == "ok"
    refused = project.hcf("--config", "other.toml", "--lang", "en", "init", str(root / "corpus"))
    assert refused.returncode == 0
    odd = Path(os.fsdecode(os.fsencode(root) + b"/\xd6\xb1\xb2\xa5"))
    (root / "corpus").rename(odd)
    before = (root / "hcf.toml").read_bytes()
    refused = project.hcf("--lang", "en", "init", str(odd), "--force")
    assert refused.returncode == 1 and "is not UTF-8" in refused.stderr and "\\xb2\\xa5" in refused.stderr
    assert (root / "hcf.toml").read_bytes() == before


def test_a_variable_of_the_environment_in_any_bytes_is_a_mistake_at_most(bare: Project) -> None:
    for value in (os.fsdecode(b"\xff\xfe"), os.fsdecode("江".encode("gbk"))):
        done = bare.hcf("check", "--lang", "en", HCF_CORPUS__HOST_LABELS=value, HCF_CORPUS__PATH=value)
        assert done.returncode == 1 and is_plain(done.stdout + done.stderr) and "Traceback" not in done.stderr
