"""Which files the corpus holds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hcf_pipeline.corpus.manifest import LINK_BROKEN, LINK_LOOP, LINK_OUT, Manifest, scan
from hcf_pipeline.errors import CorpusError
from hcf_pipeline.settings import CorpusSettings

SETTINGS = CorpusSettings()


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "2024-01-01.md").write_text("甲：一", encoding="utf-8")
    (folder / "2024-01-02.md").write_text("甲：二", encoding="utf-8")
    return folder


def paths(manifest: Manifest) -> list[str]:
    return [file.path for file in manifest.files]


def test_files_come_in_path_order_without_readmes_and_hidden_folders(corpus: Path) -> None:
    (corpus / "README.md").write_text("x", encoding="utf-8")
    (corpus / ".git").mkdir()
    (corpus / ".git" / "x.md").write_text("x", encoding="utf-8")
    (corpus / "notes.txt").write_text("x", encoding="utf-8")
    assert paths(scan(corpus, SETTINGS)) == ["2024-01-02.md", "a/2024-01-01.md"]


def test_an_excluded_folder_is_left_out(corpus: Path) -> None:
    assert paths(scan(corpus, CorpusSettings(exclude=["a"]))) == ["2024-01-02.md"]


def test_the_root_follows_contents_and_names_and_not_times(corpus: Path) -> None:
    root = scan(corpus, SETTINGS).root
    os.utime(corpus / "2024-01-02.md", (1, 1))
    assert scan(corpus, SETTINGS).root == root
    (corpus / "2024-01-02.md").rename(corpus / "2024-01-03.md")
    assert scan(corpus, SETTINGS).root != root


def test_a_known_manifest_spares_reading_and_still_sees_a_change(corpus: Path, tmp_path: Path) -> None:
    known = scan(corpus, SETTINGS)
    known.save(tmp_path / "manifest")
    assert scan(corpus, SETTINGS, Manifest.load(tmp_path / "manifest")) == known
    (corpus / "2024-01-02.md").write_text("甲：二，改了", encoding="utf-8")
    assert scan(corpus, SETTINGS, known).root != known.root


def test_links_out_loops_and_broken_links_are_refused_by_name(corpus: Path, tmp_path: Path) -> None:
    outside = tmp_path / "secret.md"
    outside.write_text("甲：外面", encoding="utf-8")
    (corpus / "out.md").symlink_to(outside)
    (corpus / "a" / "up").symlink_to(corpus)
    (corpus / "self.md").symlink_to("self.md")
    (corpus / "gone.md").symlink_to("nowhere.md")
    manifest = scan(corpus, SETTINGS)
    assert paths(manifest) == ["2024-01-02.md", "a/2024-01-01.md"]
    assert {refused.file: refused.reason for refused in manifest.refused} == {
        "out.md": LINK_OUT,
        "a/up": LINK_LOOP,
        "self.md": LINK_LOOP,
        "gone.md": LINK_BROKEN,
    }


def test_a_link_inside_the_corpus_is_followed(corpus: Path) -> None:
    (corpus / "again.md").symlink_to(corpus / "a" / "2024-01-01.md")
    assert "again.md" in paths(scan(corpus, SETTINGS))


@pytest.mark.parametrize("make", [False, True])
def test_no_folder_or_no_transcript_is_an_error_with_the_path(tmp_path: Path, make: bool) -> None:
    folder = tmp_path / "nothing"
    if make:
        folder.mkdir()
    with pytest.raises(CorpusError, match="nothing"):
        scan(folder, SETTINGS)
