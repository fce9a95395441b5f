"""The scan that `.ci/run` ends with, on repositories with planted fakes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCAN = Path(__file__).parents[1] / ".ci" / "scan_secrets.py"

# Put together here, so that this file is none itself.
FAKES = {
    "Hugging Face token": "hf_" + "a1B2c3D4e5" * 4,
    "GitHub token": "ghp_" + "a1B2c3D4e5F6" * 3,
    "AWS access key": "AKIA" + "ABCDEFGH12345678",
    "private key": "-----BEGIN OPENSSH " + "PRIVATE KEY-----",
}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / ".gitignore").write_text("ignored/\n", encoding="utf-8")
    (tmp_path / "notes.md").write_text("HF_TOKEN=hf_xxx\nask for a hf_token\n", encoding="utf-8")
    return tmp_path


def scan(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(SCAN), str(folder)], capture_output=True, encoding="utf-8", check=False)


def test_a_clean_repository_passes(repository: Path) -> None:
    done = scan(repository)
    assert (done.returncode, done.stdout) == (0, "scan for secrets: 0 found in 2 files\n")


@pytest.mark.parametrize("kind", FAKES)
def test_a_planted_secret_is_found_at_its_line_and_not_repeated(repository: Path, kind: str) -> None:
    (repository / "设置.toml").write_text(f"# first\ntoken = '{FAKES[kind]}'\n", encoding="utf-8")
    done = scan(repository)
    assert done.returncode == 1
    assert f"设置.toml:2: {kind}" in done.stdout
    assert FAKES[kind] not in done.stdout + done.stderr


def test_a_secret_between_other_bytes_is_found(repository: Path) -> None:
    (repository / "state.bin").write_bytes(b"\xff\x00 " + FAKES["Hugging Face token"].encode() + b"\xfe")
    subprocess.run(["git", "-C", str(repository), "add", "state.bin"], check=True)
    assert "state.bin:1: Hugging Face token" in scan(repository).stdout


def test_what_git_ignores_is_not_looked_at(repository: Path) -> None:
    (repository / "ignored").mkdir()
    (repository / "ignored" / "token").write_text(FAKES["Hugging Face token"], encoding="utf-8")
    assert scan(repository).returncode == 0
