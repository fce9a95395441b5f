"""The command line around the pipeline."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from hcf_pipeline.cli.check import _gpu, _memory
from hcf_pipeline.cli.console import Invocation
from hcf_pipeline.cli.parser import hoist
from hcf_pipeline.settings.file import load_settings
from hcf_pipeline_tests.conftest import Project, modules_loaded_by

COMMANDS = ["demo", "refresh", "status", "retrieve", "ask", "chat", "check", "login", "init", "turns", "ui", "corpus"]


@pytest.fixture
def bare(tmp_path: Path) -> Project:
    """A project where nothing was built yet."""
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "2024-01-01.md").write_text("水友：在吗\n\n江照野：在的，你说。", encoding="utf-8")
    (tmp_path / "hcf.toml").write_text('[corpus]\npath = "corpus"\n', encoding="utf-8")
    return Project(tmp_path)


def test_help_lists_every_command_in_both_languages(bare: Project) -> None:
    chinese, english = bare.hcf("--help"), bare.hcf("--lang", "en", "--help")
    assert all(command in chinese.stdout and command in english.stdout for command in COMMANDS)
    assert "文稿" in chinese.stdout and "transcripts" in english.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(bare: Project, command: str) -> None:
    assert bare.hcf(command, "--help").returncode == 0


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["refresh", "--nope"], ["ask"], ["retrieve"], ["retrieve", "x", "-k", "0"]]
)
def test_wrong_usage_exits_with_2(bare: Project, arguments: list[str]) -> None:
    done = bare.hcf(*arguments)
    assert done.returncode == 2 and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["ask", "你好"], "hcf refresh"),
        (["retrieve", "你好", "--json"], "hcf refresh"),
        (["chat"], "hcf refresh"),
        (["ask", "  "], "empty"),
        (["--config", "none.toml", "status"], "hcf init"),
        (["--profile", "big", "status"], "embedded, gte-base, qwen"),
        (["init", "nowhere"], "hcf.toml exists"),
        (["corpus", "fetch"], "git_url"),
        (["corpus", "fetch", "corpus"], "hcf init"),
    ],
)
def test_a_mistake_is_one_sentence_on_stderr_and_exit_1(bare: Project, arguments: list[str], said: str) -> None:
    done = bare.hcf("--lang", "en", *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr and "Traceback" not in done.stderr and done.stderr.count("\n") == 1


def test_a_mistake_is_told_in_chinese_unless_english_is_asked_for(bare: Project) -> None:
    assert "还没有发布" in bare.hcf("ask", "你好").stderr
    assert "Nothing is released" in bare.hcf("ask", "你好", HCF_LANG="en").stderr


def test_global_options_may_stand_before_or_behind_the_command() -> None:
    behind = ["refresh", "--json", "--home", "x", "--profile=qwen"]
    assert hoist(behind) == ["--home", "x", "--profile=qwen", "refresh", "--json"]
    assert hoist(["ask", "--", "--home"]) == ["ask", "--", "--home"]


def test_status_before_anything_was_built_says_missing(bare: Project) -> None:
    status = bare.json("status", "--home", "elsewhere")
    assert {asset["state"] for asset in status["assets"]} == {"missing"} and status["release"] is None
    assert (bare.root / "elsewhere" / "dagster.yaml").is_file()


def test_an_own_dagster_yaml_is_left_alone(bare: Project) -> None:
    bare.home.mkdir()
    (bare.home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n", encoding="utf-8")
    bare.json("status")
    assert (bare.home / "dagster.yaml").read_text(encoding="utf-8") == "telemetry:\n  enabled: false\n"


def test_a_home_that_cannot_be_written_is_named(bare: Project) -> None:
    done = bare.hcf("--lang", "en", "status", "--home", str(bare.root / "hcf.toml" / "home"))
    assert done.returncode == 1 and "--home" in done.stderr and "Traceback" not in done.stderr


def test_init_writes_settings_for_an_unknown_folder_and_keeps_the_old_file(bare: Project, tmp_path: Path) -> None:
    folder = tmp_path / "直播"
    folder.mkdir()
    for day in (1, 2, 3):
        text = "\n\n".join(
            ["小李：老师好，能讲讲怎么种番茄吗", "陈老师：番茄要先育苗，十五天以后再移栽，水不要太多。"] * 3
        )
        (folder / f"2025-02-0{day}.md").write_text(text, encoding="utf-8")
    refused = bare.hcf("init", "直播")
    assert refused.returncode == 1 and "--force" in refused.stderr
    before = (bare.root / "hcf.toml").read_text(encoding="utf-8")
    done = bare.hcf("init", "直播", "--force")
    assert done.returncode == 0 and "陈老师" in done.stdout
    assert (bare.root / "hcf.toml.bak").read_text(encoding="utf-8") == before
    findings = {finding["name"]: finding for finding in bare.json("check", "--lang", "en")["findings"]}
    assert findings["corpus"]["verdict"] == "ok" and "3 of 3 files usable, 18 turns" in findings["corpus"]["text"]


def test_turns_shows_how_a_file_is_read(bare: Project) -> None:
    file = bare.corpus / "2024-01-01.md"
    text = "---\ntitle: 一\n---\n# 第1期\n**水友** (00:05)：在吗\n\n**江照野** (00:07)：在的，你说。\n老魏：我插一句\n"
    file.write_bytes(text.encode("gb18030"))
    assert bare.json("turns", "2024-01-01.md") == bare.json("turns", str(file)) == {
        "file": "2024-01-01.md", "form": "label", "encoding": "GB18030", "date": "2024-01-01",
        "turns": [
            {"turn": 1, "side": "guest", "label": "水友", "text": "在吗", "start_s": 5.0, "flags": []},
            {"turn": 2, "side": "host", "label": "江照野", "text": "在的，你说。", "start_s": 7.0, "flags": ["unknown_label"]},
        ],
        "unknown_labels": {"老魏": 1},
        "left_out": {"heading": 1, "speaker in doubt": 1, "front matter": 3},
    }  # fmt: skip
    shown = bare.hcf("--lang", "en", "turns", "2024-01-01.md").stdout
    assert "host 江照野" in shown and "0:07" in shown and "老魏 1" in shown
    file.write_text("谁也没有写明", encoding="utf-8")
    refused = bare.hcf("--lang", "en", "turns", "2024-01-01.md")
    assert refused.returncode == 1 and "no turn with a known label" in refused.stderr and "hcf init" in refused.stderr


def test_check_says_what_would_stop_a_refresh(bare: Project) -> None:
    done = bare.hcf("--lang", "en", "check", HCF_CORPUS__PATH="nowhere")
    assert done.returncode == 1 and "no corpus folder" in done.stdout
    findings = {finding["name"] for finding in bare.json("check")["findings"]}
    assert findings == {"corpus", "turns", "turn", "pairs", "disk", "memory", "gpu", "token"}


def corpus_findings(bare: Project, text: str, toml: str = "") -> dict[str, dict[str, str]]:
    (bare.root / "corpus" / "2024-01-01.md").write_text(text, encoding="utf-8")
    (bare.root / "hcf.toml").write_text(f'[corpus]\npath = "corpus"\n{toml}', encoding="utf-8")
    told = bare.hcf("--lang", "en", "check", "--json").stdout
    return {finding["name"]: finding for finding in json.loads(told)["findings"]}


EXCHANGE = "水友：那我怎么办？\n江照野：先看刹车，再看链条。\n"


def test_check_ticks_pairs_that_times_stand_between(bare: Project) -> None:
    text = "".join(f"0{n}:10\n{line}\n" for n, line in enumerate((EXCHANGE * 4).splitlines()))
    found = corpus_findings(bare, text, r'noise = ["^\\d\\d:\\d\\d$"]')
    assert (found["pairs"]["verdict"], found["pairs"]["text"]) == ("ok", "pairs: 4, 4 of them to learn from")


def test_check_warns_of_pairs_left_out_and_says_why_and_what_to_do(bare: Project) -> None:
    found = corpus_findings(bare, EXCHANGE + (EXCHANGE + "老魏：我插一句。\n") * 2 + EXCHANGE + "【API调用失败】")
    assert (found["corpus"]["verdict"], found["pairs"]["verdict"]) == ("warning", "warning")
    assert "2 lines of unknown labels: 老魏 2" in found["corpus"]["text"]
    assert "1 of them to learn from" in found["pairs"]["text"] and "other_labels" in found["pairs"]["text"]
    assert "1 where [corpus] noise took something away" in found["pairs"]["text"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("江照野：今天聊搬家。\n水友：那我呢？", "There is no pair to learn from"),
        ("水友：在吗？\n江照野：在", "Of 1 pairs none is left to learn from: 1 with an answer shorter"),
    ],
)
def test_check_says_where_nothing_is_left_to_learn_from(bare: Project, text: str, why: str) -> None:
    """Search and quotations are released all the same, so nothing stands in a refresh's way."""
    found = corpus_findings(bare, text)
    assert found["corpus"]["verdict"] == "ok"
    assert found["pairs"]["verdict"] == "warning" and why in found["pairs"]["text"]
    assert "nothing will be trained" in found["pairs"]["text"] and "nothing is trained" in found["gpu"]["text"]


def test_check_says_that_labels_which_are_not_set_part_questions_from_answers(bare: Project) -> None:
    found = corpus_findings(bare, "水友：在吗？\n消息对象：群\n江照野：在，你说。\n消息对象：群\n" * 3)
    assert "There is no pair" in found["pairs"]["text"] and "words into not_labels" in found["pairs"]["text"]


def memory_findings(bare: Project, **environ: str) -> tuple[str, str]:
    """(main memory, GPU) in words, where models are on the CPU."""
    settings = load_settings(bare.root / "hcf.toml", environ={"HCF_CHAT__DEVICE": "cpu", **environ})
    call = Invocation("en", None, None, None)
    (memory,), (gpu,) = _memory(settings, call), _gpu(settings, call)
    return memory.text, gpu.text


def test_check_speaks_of_what_the_chosen_profile_needs_and_in_which_memory(bare: Project) -> None:
    assert "the embedded models take less than 3.0 GB" in memory_findings(bare)[0]
    memory, gpu = memory_findings(bare, HCF_PROFILE="qwen")
    assert memory.startswith("main memory: ") and "about 22.9 GB in all" in memory
    assert "Qwen/Qwen1.5-4B-Chat" in memory and "embedded" not in memory and "of GPU memory" in gpu


def test_check_weighs_a_model_in_a_folder_and_admits_what_it_cannot_know(bare: Project) -> None:
    (bare.root / "model").mkdir()
    with (bare.root / "model" / "model.safetensors").open("wb") as file:
        file.truncate(10_000_000_000)  # 5e9 parameters, 4 bytes each on a CPU
    assert "about 73.2 GB" in memory_findings(bare, HCF_BASE__MODEL="model", HCF_LORA__MAX_LENGTH="768")[0]
    assert all("at least" in told and "not known" in told for told in memory_findings(bare, HCF_BASE__MODEL="x/y"))


def test_check_names_the_tokens_source_and_never_the_token(bare: Project) -> None:
    done = bare.hcf("check", FUCHENFENG_TOKEN="hf_" + "x" * 30)
    assert "FUCHENFENG_TOKEN" in done.stdout and "xxx" not in done.stdout + done.stderr


def test_the_ui_refuses_a_port_that_is_taken(bare: Project) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = bare.hcf("--lang", "en", "ui", HCF_SERVE__PORT=str(taken.getsockname()[1]))
    assert done.returncode == 1 and "HCF_SERVE__PORT" in done.stderr


def test_a_question_file_with_a_bad_line_names_it(finished: object, bare: Project) -> None:
    file = bare.root / "q.jsonl"
    file.write_text('{"question": "好"}\n{"frage": 1}\n', encoding="utf-8")
    done = bare.hcf("--lang", "en", "retrieve", "--questions", str(file))
    assert done.returncode == 1 and "q.jsonl:2" in done.stderr


def test_help_loads_no_heavy_library() -> None:
    assert not modules_loaded_by("--help") & {"dagster", "torch", "numpy", "pyarrow", "pandas", "transformers"}
