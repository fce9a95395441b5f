"""Streams that are closed, full, cut off, or of an encoding without Chinese."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hcf_pipeline_tests.conftest import ROOT, clean_environment

HCF = str(Path(sys.executable).with_name("hcf"))
RUNNER = f"{sys.executable} {ROOT / 'hcf.py'}"
UNTOLD = ("Traceback", "Exception ignored", "BrokenPipe")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "hcf.toml").write_text('[corpus]\npath = "corpus"\n', encoding="utf-8")
    return tmp_path


def shell(folder: Path, command: str, **environ: str) -> subprocess.CompletedProcess[bytes]:
    """A line for bash, in which `hcf` is this environment's."""
    line = f'hcf() {{ {HCF} "$@"; }}; {command}'
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=folder,
        env=clean_environment(**{"HCF_LANG": "en"} | environ),
        capture_output=True,
        check=False,
    )
    assert not [word for word in UNTOLD if word.encode() in done.stderr], done.stderr.decode()
    return done


@pytest.mark.parametrize("command", ["hcf release list", "hcf release list --json", "hcf --help", "hcf --version"])
def test_a_closed_stdout_is_nobodys_wish_to_read(folder: Path, command: str) -> None:
    done = shell(folder, f"{command} >&-")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_status_goes_through_with_no_stream_open_and_its_storage_stays_whole(folder: Path) -> None:
    assert shell(folder, "hcf status >&- 2>&- <&-").returncode == 0
    assert shell(folder, "hcf status >&-").stderr == b""
    assert len(json.loads(shell(folder, "hcf status --json <&- 2>&-").stdout)["assets"]) > 5


def test_a_mistake_keeps_its_exit_code_where_stderr_is_closed_or_full(folder: Path) -> None:
    for stderr in ("2>&-", "2>/dev/full"):
        assert shell(folder, f"hcf ask '  ' {stderr}").returncode == 1
        assert shell(folder, f"hcf nonsense {stderr}").returncode == 2
        assert shell(folder, f"hcf release list {stderr}").returncode == 0


def test_a_chat_without_an_input_ends_at_once(folder: Path) -> None:
    done = shell(folder, "hcf login <&-", HF_TOKEN="")
    assert done.returncode == 3 and b"No token was entered" in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize(
    "command",
    ["hcf release list", "hcf release list --json", "hcf --help", "hcf ask --help", "hcf --version", "hcf status"],
)
def test_an_output_that_cannot_be_written_is_told_as_the_outputs_trouble(folder: Path, command: str) -> None:
    done = shell(folder, f"{command} >/dev/full")
    said = done.stderr.decode()
    assert done.returncode == 3 and said.count("\n") == 1
    assert "The output could not be written (No space left on device)" in said
    assert "refresh" not in said and str(folder) not in said


@pytest.mark.parametrize("command", ["hcf --help", "hcf --version", "hcf --version --json", "hcf status"])
def test_a_pipe_that_is_closed_early_is_no_trouble(folder: Path, command: str) -> None:
    done = shell(folder, f"{command} | true; echo ${{PIPESTATUS[0]}}")
    assert done.stdout in (b"141\n", b"0\n") and done.stderr == b""
    assert shell(folder, f"{command} | head -c 10 | wc -c").stdout.strip() == b"10"


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "gbk", "utf-8"])
def test_no_encoding_makes_any_command_fail(folder: Path, encoding: str) -> None:
    chinese = "发布" if encoding in ("gbk", "utf-8") else "\\u53d1\\u5e03"
    for command, code in (("--help", 0), ("release list", 0), ("ask 你好", 1), ("nonsense 你好", 2)):
        done = shell(folder, f"hcf {command}", HCF_LANG="zh", PYTHONIOENCODING=f"{encoding}:strict")
        assert done.returncode == code, done
        shown = done.stdout.decode(encoding) + done.stderr.decode(encoding)
        assert chinese in shown or code == 2


@pytest.mark.parametrize("encoding", ["ascii", "gbk", "utf-8"])
def test_json_is_valid_utf_8_whatever_the_encoding_is(folder: Path, encoding: str) -> None:
    (folder / "hcf.toml").write_text('[corpus]\npath = "没有/这里"\n', encoding="utf-8")
    done = shell(folder, "hcf check --json", HCF_LANG="zh", PYTHONIOENCODING=encoding)
    assert "没有文稿目录" in json.loads(done.stdout.decode("utf-8"))["findings"][0]["text"]


@pytest.mark.parametrize("encoding", ["ascii", "gbk", "utf-8"])
def test_the_runner_speaks_under_any_encoding_and_without_streams(folder: Path, encoding: str) -> None:
    assert b"the sample corpus" in shell(folder, RUNNER, PYTHONIOENCODING=encoding).stdout
    refused = shell(folder, f"HCF_VENV={folder} {RUNNER} status", PYTHONIOENCODING=encoding)
    assert refused.returncode == 3 and b"is left alone" in refused.stderr
    refused.stderr.decode(encoding)
    assert shell(folder, f"{RUNNER} >&- 2>&- <&-").returncode == 0
    assert shell(folder, f"HCF_VENV={folder} {RUNNER} status 2>&-").returncode == 3
    assert shell(folder, f"{RUNNER} | true").stderr == b""
    full = shell(folder, f"{RUNNER} >/dev/full")
    assert full.returncode == 3 and b"could not be written" in full.stderr
