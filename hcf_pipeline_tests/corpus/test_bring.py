"""Bringing a corpus: Git, and a look at an unknown folder."""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path

import pytest

from hcf_pipeline.corpus.git import fetch_corpus
from hcf_pipeline.corpus.survey import survey
from hcf_pipeline.corpus.tables import NO_TURN
from hcf_pipeline.errors import CorpusError, MachineError, ToolMissing
from hcf_pipeline.settings import CorpusSettings


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def upstream(tmp_path: Path) -> Path:
    folder = tmp_path / "transcripts"
    folder.mkdir()
    git(folder, "init", "-q")
    (folder / "2024-01-01.md").write_text("甲：一", encoding="utf-8")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "one")
    return folder


def test_a_git_corpus_is_cloned_then_updated(upstream: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    folder, first = fetch_corpus(str(upstream), data)
    assert (folder.name, (folder / "2024-01-01.md").read_text(encoding="utf-8")) == ("transcripts", "甲：一")
    (upstream / "2024-01-02.md").write_text("甲：二", encoding="utf-8")
    git(upstream, "add", ".")
    git(upstream, "commit", "-qm", "two")
    again, second = fetch_corpus(str(upstream), data)
    assert again == folder and second != first and (folder / "2024-01-02.md").exists()


def test_two_corpora_lie_beside_each_other(upstream: Path, tmp_path: Path) -> None:
    other = upstream.rename(tmp_path / "others")
    fetch_corpus(str(other), tmp_path / "data")
    fetch_corpus(str(other.rename(upstream)), tmp_path / "data")
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["others", "transcripts"]


def test_changes_of_the_users_own_are_never_overwritten(upstream: Path, tmp_path: Path) -> None:
    folder, _ = fetch_corpus(str(upstream), tmp_path / "data")
    (folder / "2024-01-01.md").write_text("甲：我改的", encoding="utf-8")
    (upstream / "2024-01-01.md").write_text("甲：上游改的", encoding="utf-8")
    git(upstream, "commit", "-qam", "changed")
    with pytest.raises(CorpusError, match="left alone"):
        fetch_corpus(str(upstream), tmp_path / "data")
    assert (folder / "2024-01-01.md").read_text(encoding="utf-8") == "甲：我改的"


def test_an_address_out_of_reach_leaves_nothing_behind_and_no_password(tmp_path: Path) -> None:
    with pytest.raises(MachineError) as refusal:
        fetch_corpus("http://someone:s3cret@127.0.0.1:9/corpus.git", tmp_path / "data")
    assert "s3cret" not in refusal.value.zh + refusal.value.en
    assert list((tmp_path / "data").iterdir()) == []


def test_without_git_the_way_to_get_it_is_told(upstream: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with pytest.raises(ToolMissing, match="apt install git"):
        fetch_corpus(str(upstream), tmp_path / "data")


def test_a_folder_that_is_in_the_way_and_no_clone_is_left_alone(upstream: Path, tmp_path: Path) -> None:
    (tmp_path / "data" / "transcripts").mkdir(parents=True)
    with pytest.raises(CorpusError, match="move it away"):
        fetch_corpus(str(upstream), tmp_path / "data")


@pytest.mark.parametrize("address", ["/", "https://"])
def test_what_has_no_name_in_it_is_no_address(address: str, tmp_path: Path) -> None:
    with pytest.raises((CorpusError, MachineError)):
        fetch_corpus(address, tmp_path / "data")


def test_a_plain_folder_is_sent_to_init(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="hcf init"):
        fetch_corpus(str(tmp_path), tmp_path / "data")


def test_a_look_at_a_folder_finds_labels_dates_and_noise(tmp_path: Path) -> None:
    for day in range(1, 6):
        lines = ["观众A：开播了吗", "老王：开了开了，今天讲讲怎么挑西瓜，先听声音再看瓜蒂。", "观众B：怎么听"] * 4
        text = "\n\n".join([*lines, "【接口调用失败：超时】", "老王：听这个，砰砰的就是熟了。"])
        (tmp_path / f"直播2024.3.{day}.txt").write_text(text, encoding="utf-8")
    (tmp_path / "说明.md").write_text("这里没有发言", encoding="utf-8")
    found = survey(tmp_path)
    assert found.host == "老王"
    assert found.labels == (("老王", 25), ("观众A", 20), ("观众B", 20))  # by the text behind them
    assert [n for _, n in found.noise] == [5] and found.refused == ()
    assert (found.n_dated, found.without_turns, found.n_files) == (5, (("说明.md", NO_TURN),), 6)
    corpus = tomllib.loads(found.toml("x"))["corpus"]
    settings = CorpusSettings.model_validate(corpus)
    assert settings.host_labels == ["老王"] and settings.noise and "*.txt" in settings.include


def test_words_with_a_colon_are_no_labels_and_a_turns_further_lines_count_for_the_host(tmp_path: Path) -> None:
    answer = "阿强：看。\n注意：先听声音，再看瓜蒂，别买太生的。\n第一：拍一拍，听听是闷还是脆。\n晚上8点：收摊，剩下的便宜卖。"
    for day in range(1, 6):
        text = f"观众：今天西瓜怎么挑才甜？\n{answer}\n最后看纹路清不清楚。"
        (tmp_path / f"2024-03-0{day}.md").write_text(text, encoding="utf-8")
    found = survey(tmp_path)
    assert (found.host, found.guests) == ("阿强", ["观众"])


def test_a_folder_without_two_labels_says_what_it_saw(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("独白：一\n独白：二\n独白：三\n旁人：一\n旁人：二\n", encoding="utf-8")
    with pytest.raises(CorpusError, match=r"独白 \(3\), 旁人 \(2\)"):
        survey(tmp_path)
    (tmp_path / "b.md").write_text("旁人：三\n", encoding="utf-8")
    assert survey(tmp_path).labels == (("独白", 3), ("旁人", 3))


def test_of_a_large_folder_a_spread_of_files_is_read_and_all_are_counted(tmp_path: Path) -> None:
    for n in range(1001):
        (tmp_path / f"2024010{n % 9 + 1}-{n:04}.md").write_text("问：好\n答：好的，好的。\n", encoding="utf-8")
    found = survey(tmp_path)
    assert found.n_files == 1001 and 500 <= found.n_dated < 1001
    assert found.labels == (("答", found.n_dated), ("问", found.n_dated))
