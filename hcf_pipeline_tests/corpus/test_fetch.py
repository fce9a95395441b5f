"""Fetching a corpus: forks, rewritten histories, secrets in addresses, and fetches that are ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote

import pytest

from hcf_pipeline.corpus.address import address_of
from hcf_pipeline.corpus.git import FETCHING, fetch_corpus
from hcf_pipeline.errors import CorpusError, MachineError
from hcf_pipeline.store.locks import try_exclusive
from hcf_pipeline_tests.conftest import clean_environment, no_signal_ignored
from hcf_pipeline_tests.corpus.git_server import git_server

SECRET = "p@ss/w:rd"


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, encoding="utf-8")
    return done.stdout.strip()


def commit(folder: Path, name: str, text: str, *how: str) -> str:
    (folder / name).write_text(text, encoding="utf-8")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", name, *how)
    return git(folder, "rev-parse", "HEAD")


def repository(folder: Path, text: str = "甲：一") -> Path:
    folder.mkdir(parents=True)
    git(folder, "init", "-q", "-b", "main")
    commit(folder, "2024-01-01.md", text)
    return folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def upstream(tmp_path: Path) -> Path:
    return repository(tmp_path / "them" / "transcripts")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "project" / "data"


def test_a_fork_is_not_taken_for_the_repository_that_is_there(upstream: Path, tmp_path: Path, data: Path) -> None:
    fork = repository(tmp_path / "me" / "transcripts", "甲：分叉")
    first, _ = fetch_corpus(upstream.as_uri(), data)
    second, at = fetch_corpus(fork.as_uri(), data)
    assert (first.name, second.name) == ("transcripts", "me-transcripts")
    assert (second / "2024-01-01.md").read_text(encoding="utf-8") == "甲：分叉" and at == git(fork, "rev-parse", "HEAD")
    assert (first / "2024-01-01.md").read_text(encoding="utf-8") == "甲：一"
    newer = commit(fork, "2024-01-02.md", "甲：二")
    assert fetch_corpus(fork.as_uri(), data) == (second, newer)
    assert names(first) == [".git", "2024-01-01.md"]


def test_a_third_repository_of_the_name_is_refused_with_both_addresses(tmp_path: Path, data: Path) -> None:
    for place in ("a", "b/me"):
        fetch_corpus(repository(tmp_path / place / "transcripts").as_uri(), data)
    third = repository(tmp_path / "c" / "me" / "transcripts")
    with pytest.raises(CorpusError, match="rename it or move it away") as refusal:
        fetch_corpus(third.as_uri(), data)
    assert third.as_uri() in refusal.value.en and "b/me/transcripts" in refusal.value.en


def test_a_clone_keeps_its_repository_when_its_folder_is_renamed(upstream: Path, data: Path) -> None:
    folder, _ = fetch_corpus(upstream.as_uri(), data)
    folder.rename(data / "mine")
    newer = commit(upstream, "2024-01-02.md", "甲：二")
    assert fetch_corpus(upstream.as_uri(), data) == (data / "mine", newer)
    assert fetch_corpus(str(data / "mine"), data) == (data / "mine", newer)  # its origin is meant
    assert names(data) == ["mine"]


ONE = "https://example.org/owner/transcripts"


@pytest.mark.parametrize(
    "written",
    [
        "https://example.org/owner/transcripts.git",
        "https://example.org:443/owner/transcripts.git/",
        "http://EXAMPLE.org/owner/transcripts",
        "ssh://git@example.org/owner/transcripts",
        "ssh://example.org:22/owner/transcripts.git",
        "git@example.org:owner/transcripts.git",
        "https://someone:secret@example.org/owner/transcripts",
        "https://example.org/owner/tr%61nscripts",
    ],
)
def test_all_ways_of_writing_an_address_mean_one_repository(written: str) -> None:
    assert address_of(written).place == address_of(ONE).place
    assert (address_of(written).owner, address_of(written).name) == ("owner", "transcripts")


@pytest.mark.parametrize(
    "written",
    [
        "https://example.org/fork/transcripts",
        "https://example.org:8443/owner/transcripts",
        "https://example.com/owner/transcripts",
        "https://example.org/owner/transcripts2",
        "alice@example.org:owner/transcripts",  # in a home of hers
        "/owner/transcripts",
    ],
)
def test_another_host_owner_or_name_is_another_repository(written: str) -> None:
    assert address_of(written).place != address_of(ONE).place


def test_a_folder_and_its_file_address_are_one_repository(upstream: Path, data: Path) -> None:
    folder, at = fetch_corpus(upstream.as_uri(), data)
    assert fetch_corpus(str(upstream), data) == fetch_corpus(f"{upstream}/.git", data) == (folder, at)


@pytest.mark.parametrize("cloned_by", ["us", "git"])
def test_a_history_that_was_rewritten_upstream_is_followed(upstream: Path, data: Path, cloned_by: str) -> None:
    commit(upstream, "2024-01-02.md", "甲：二")
    if cloned_by == "git":
        data.mkdir(parents=True)
        git(data, "clone", "-q", upstream.as_uri())
    else:
        fetch_corpus(upstream.as_uri(), data)
    rewritten = commit(upstream, "2024-01-02.md", "甲：改写", "--amend")
    folder, at = fetch_corpus(upstream.as_uri(), data)
    assert at == rewritten and (folder / "2024-01-02.md").read_text(encoding="utf-8") == "甲：改写"
    assert git(folder, "status", "--porcelain") == "" and git(folder, "rev-parse", "@{upstream}") == rewritten


def test_a_clone_that_a_pull_left_behind_follows_too(upstream: Path, data: Path) -> None:
    """As a plain `git pull --ff-only` leaves it: what upstream has is known, and the work tree is where it was."""
    folder, first = fetch_corpus(upstream.as_uri(), data)
    commit(upstream, "2024-01-01.md", "甲：改写", "--amend")
    git(folder, "fetch", "-q", "origin")
    rewritten = commit(upstream, "2024-01-01.md", "甲：又改写", "--amend")
    assert git(folder, "rev-parse", "HEAD") == first
    assert fetch_corpus(upstream.as_uri(), data) == (folder, rewritten)


def test_commits_of_the_users_own_are_never_moved_and_named_as_such(upstream: Path, data: Path) -> None:
    folder, _ = fetch_corpus(upstream.as_uri(), data)
    mine = commit(folder, "2024-03-01.md", "甲：我的")
    assert fetch_corpus(upstream.as_uri(), data) == (folder, mine)  # nothing new there
    commit(upstream, "2024-01-01.md", "甲：改写", "--amend")
    with pytest.raises(CorpusError, match="has commits of its own") as refusal:
        fetch_corpus(upstream.as_uri(), data)
    assert mine[:10] in refusal.value.en and "你自己的提交" in refusal.value.zh
    assert git(folder, "rev-parse", "HEAD") == mine


def test_changes_in_no_commit_stay_and_the_file_is_named(upstream: Path, data: Path) -> None:
    folder, _ = fetch_corpus(upstream.as_uri(), data)
    (folder / "2024-01-01.md").write_text("甲：我改的", encoding="utf-8")
    newer = commit(upstream, "2024-01-02.md", "甲：二")
    assert fetch_corpus(upstream.as_uri(), data) == (folder, newer)  # of another file
    assert (folder / "2024-01-01.md").read_text(encoding="utf-8") == "甲：我改的"
    commit(upstream, "2024-01-01.md", "甲：上游改的")
    with pytest.raises(CorpusError, match=r"changes that are in no commit.*2024-01-01\.md"):
        fetch_corpus(upstream.as_uri(), data)
    assert (folder / "2024-01-01.md").read_text(encoding="utf-8") == "甲：我改的"


def test_a_file_of_ones_own_in_the_place_of_a_new_one_stays(upstream: Path, data: Path) -> None:
    folder, first = fetch_corpus(upstream.as_uri(), data)
    (folder / "文稿.md").write_text("甲：我的", encoding="utf-8")
    commit(upstream, "文稿.md", "甲：上游的")
    with pytest.raises(CorpusError, match=r"changes that are in no commit.*文稿\.md"):
        fetch_corpus(upstream.as_uri(), data)
    assert (folder / "文稿.md").read_text(encoding="utf-8") == "甲：我的" and git(folder, "rev-parse", "HEAD") == first


def test_a_branch_that_upstream_renamed_is_followed(upstream: Path, data: Path) -> None:
    folder, _ = fetch_corpus(upstream.as_uri(), data)
    git(upstream, "branch", "-m", "main", "trunk")
    newer = commit(upstream, "2024-01-02.md", "甲：二")
    assert fetch_corpus(upstream.as_uri(), data) == (folder, newer)


def test_a_commit_that_was_checked_out_on_purpose_stays(upstream: Path, data: Path) -> None:
    folder, first = fetch_corpus(upstream.as_uri(), data)
    git(folder, "checkout", "-q", first)
    with pytest.raises(CorpusError, match="on no branch"):
        fetch_corpus(upstream.as_uri(), data)


def test_a_clone_whose_git_folder_is_broken_is_not_the_project_around_it(upstream: Path, data: Path) -> None:
    data.mkdir(parents=True)
    project = data.parent
    git(project, "init", "-q", "-b", "main")
    before = commit(project, "hcf.toml", "")
    (data / "transcripts" / ".git").mkdir(parents=True)
    folder, _ = fetch_corpus(upstream.as_uri(), data)
    assert folder.name == "them-transcripts" and git(project, "rev-parse", "HEAD") == before


def test_an_empty_repository_is_refused_and_leaves_nothing(tmp_path: Path, data: Path) -> None:
    git(tmp_path, "init", "-q", "empty")
    with pytest.raises(CorpusError, match="no commit yet"):
        fetch_corpus((tmp_path / "empty").as_uri(), data)
    assert names(data) == []


@pytest.mark.parametrize(
    "source", ["", "  ", "\0", "https://host/x\0", "~nobody-of-that-name", "x" * 5000, "https:///x"]
)
def test_what_is_no_address_is_refused(
    source: str, upstream: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(upstream)  # a repository, which "" would name
    with pytest.raises((CorpusError, MachineError)) as refusal:
        fetch_corpus(source, data)
    assert len(refusal.value.en) < 1000
    assert not data.exists() or names(data) == []


SECRETS = [
    "https://someone:{}@127.0.0.1:9/corpus.git",
    "https://{}@127.0.0.1:9/corpus",
    "https://127.0.0.1:9/corpus.git?access_token={}",
    "https://127.0.0.1:9/corpus#{}",
    "ssh://git:{}@127.0.0.1:9/corpus",
    "https://x:12/{}@127.0.0.1:9/corpus",
]


@pytest.mark.parametrize("secret", ["s3cr3t", "p@ss-w0rd", "p%40ss-w0rd", "p@s:s/w0rd"])
@pytest.mark.parametrize("address", SECRETS)
def test_no_secret_of_an_address_is_told(address: str, secret: str, data: Path) -> None:
    with pytest.raises((CorpusError, MachineError)) as refusal:
        fetch_corpus(address.format(secret), data)
    told = refusal.value.zh + refusal.value.en
    assert not any(part in told for part in (secret, "s3cr3t", "w0rd"))
    assert not data.exists() or names(data) == []


def everything_below(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())


def test_a_password_opens_the_repository_and_is_kept_nowhere(upstream: Path, data: Path, tmp_path: Path) -> None:
    with git_server(upstream.parent, "some@one", SECRET) as server:
        account = f"{quote('some@one')}:{quote(SECRET, safe='')}"
        address = f"http://{account}@{server.host}/transcripts/.git"
        with pytest.raises(MachineError, match="lets nobody in"):
            fetch_corpus(f"http://{server.host}/transcripts/.git", data)
        folder, first = fetch_corpus(address, data)
        newer = commit(upstream, "2024-01-02.md", "甲：二")
        assert fetch_corpus(address, data) == (folder, newer) and first != newer
        kept = everything_below(data)
        assert b"w:rd" not in kept and account.encode() not in kept and b"some@one" not in kept
        # what git itself, or an earlier version, made with the password in its configuration
        git(folder, "remote", "set-url", "origin", address)
        newest = commit(upstream, "2024-01-03.md", "甲：三")
        assert fetch_corpus(f"http://{server.host}/transcripts/.git", data) == (folder, newest)
        assert fetch_corpus(address, data) == (folder, newest)
        assert git(folder, "remote", "get-url", "origin") == f"http://{server.host}/transcripts/.git"


def test_a_token_alone_opens_the_repository_too(upstream: Path, data: Path) -> None:
    with git_server(upstream.parent, "ghp_0123456789abcdef", "") as server:
        folder, _ = fetch_corpus(f"http://ghp_0123456789abcdef@{server.host}/transcripts/.git", data)
        assert b"ghp_0123" not in everything_below(data) and (folder / "2024-01-01.md").exists()


def test_drafts_of_killed_fetches_go_with_the_next_one(upstream: Path, data: Path) -> None:
    (data / ".draft-transcripts-4711" / "objects").mkdir(parents=True)
    (data / "transcripts.bak").mkdir()
    fetch_corpus(upstream.as_uri(), data)
    assert names(data) == ["transcripts", "transcripts.bak"]


def test_two_do_not_fetch_into_a_folder_at_once(upstream: Path, data: Path) -> None:
    (data / ".draft-other").mkdir(parents=True)
    with try_exclusive(data / FETCHING) or pytest.fail():
        with pytest.raises(CorpusError, match="Another hcf is fetching"):
            fetch_corpus(upstream.as_uri(), data)
        assert (data / ".draft-other").is_dir()  # the other's
    fetch_corpus(upstream.as_uri(), data)


STALLING = """#!/bin/sh
case "$*" in *clone*)
  for last; do :; done
  mkdir -p "$last/.git/objects"
  echo $$ > "$STARTED"
  sleep 600 &
  wait
esac
exec {git} "$@"
"""


@pytest.mark.parametrize("wish", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_fetch_that_is_ended_ends_git_and_leaves_nothing(
    upstream: Path, tmp_path: Path, wish: signal.Signals
) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    real = subprocess.run(
        ["/bin/sh", "-c", "command -v git"], capture_output=True, text=True, check=True
    ).stdout.strip()
    (tools / "git").write_text(STALLING.format(git=real), encoding="utf-8")
    (tools / "git").chmod(0o755)
    (tmp_path / "hcf.toml").touch()
    started = tmp_path / "started"
    path = f"{tools}{os.pathsep}{os.environ['PATH']}"
    with no_signal_ignored():
        hcf = subprocess.Popen(
            [sys.executable, "-c", "from hcf_pipeline.cli import main; main()", "corpus", "fetch", upstream.as_uri()],
            cwd=tmp_path,
            env=clean_environment(PATH=path, STARTED=str(started)),
            stderr=subprocess.PIPE,
            text=True,
        )
    while not (started.exists() and started.read_text().strip()):
        assert hcf.poll() is None, hcf.communicate()
        time.sleep(0.02)
    assert len(names(tmp_path / "data")) == 2
    hcf.send_signal(wish)
    _, said = hcf.communicate(timeout=60)
    assert hcf.returncode == 130 and "Traceback" not in said
    assert names(tmp_path / "data") == []
    with pytest.raises(ProcessLookupError):
        os.kill(int(started.read_text()), 0)


def test_a_secret_of_git_url_reaches_neither_dagsters_events_nor_the_home(tmp_path: Path) -> None:
    from hcf_pipeline.defs.automation.sensors import LOOK_JOB
    from hcf_pipeline.defs.build import build_definitions
    from hcf_pipeline.defs.home import dagster_instance
    from hcf_pipeline.settings.file import load_settings

    (tmp_path / "2024-01-01.md").write_text("水友：在吗\n江照野：在。", encoding="utf-8")
    address = "https://someone:p@ss-w0rd@127.0.0.1:9/corpus.git"
    (tmp_path / "hcf.toml").write_text(f'[corpus]\npath = "."\ngit_url = "{address}"\n', encoding="utf-8")
    settings = load_settings(tmp_path / "hcf.toml", environ={})
    with dagster_instance(settings) as instance:
        job = build_definitions(settings).resolve_job_def(LOOK_JOB)
        assert job.execute_in_process(instance=instance).success
    kept = everything_below(settings.home)
    assert b"127.0.0.1:9/corpus.git" in kept  # what failed is told
    assert b"w0rd" not in kept and b"someone" not in kept
