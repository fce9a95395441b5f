"""Which files the corpus holds, and what a look at it reads."""

from __future__ import annotations

import dataclasses
import os
import sys
import threading
from pathlib import Path

import pytest

from hcf_pipeline.corpus import manifest as looking
from hcf_pipeline.corpus.manifest import CorpusLook, Manifest, look_at, scan
from hcf_pipeline.corpus.walk import LINK_BROKEN, LINK_LOOP, LINK_OUT, NAME_NOT_UTF8, UNREADABLE, walk
from hcf_pipeline.errors import ArtifactError, CorpusError
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


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"folder": "x", "files": [["a", 1]], "refused": []}', '{"folder": "x", "files": 3}']
)
def test_a_manifest_that_cannot_be_read_is_damaged(tmp_path: Path, text: str) -> None:
    with pytest.raises(ArtifactError, match="damaged"):
        Manifest.load(tmp_path / "none.json")
    (tmp_path / "corpus.json").write_text(text, encoding="utf-8")
    with pytest.raises(ArtifactError, match="damaged"):
        Manifest.load(tmp_path / "corpus.json")


@pytest.mark.parametrize("pattern", ["2024-01-01.md", "a/*.md", "a/2024-01-01.md"])
def test_a_pattern_is_that_of_a_name_or_of_a_path(corpus: Path, pattern: str) -> None:
    assert paths(scan(corpus, CorpusSettings(include=[pattern]))) == ["a/2024-01-01.md"]
    assert paths(scan(corpus, CorpusSettings(exclude=[pattern]))) == ["2024-01-02.md"]


def test_a_link_deep_in_the_corpus_to_a_folder_it_lies_in_is_a_loop_at_once(corpus: Path) -> None:
    (corpus / "a" / "b" / "c").mkdir(parents=True)
    (corpus / "a" / "b" / "c" / "up").symlink_to(corpus / "a" / "b")
    manifest = scan(corpus, SETTINGS)
    assert [(one.file, one.reason) for one in manifest.refused] == [("a/b/c/up", LINK_LOOP)]


def test_an_excluded_folder_is_left_out(corpus: Path) -> None:
    assert paths(scan(corpus, CorpusSettings(exclude=["a"]))) == ["2024-01-02.md"]


def test_the_root_follows_contents_and_names_and_not_times(corpus: Path) -> None:
    root = scan(corpus, SETTINGS).root
    os.utime(corpus / "2024-01-02.md", (1, 1))
    assert scan(corpus, SETTINGS).root == root
    (corpus / "2024-01-02.md").rename(corpus / "2024-01-03.md")
    assert scan(corpus, SETTINGS).root != root


def test_a_manifest_comes_back_as_it_was_saved(corpus: Path, tmp_path: Path) -> None:
    (corpus / "gone.md").symlink_to("nowhere.md")
    manifest = scan(corpus, SETTINGS)
    manifest.save(tmp_path / "manifest")
    loaded = Manifest.load(tmp_path / "manifest")
    assert loaded == manifest and loaded.root == manifest.root


def later(look: CorpusLook, seconds: float = 60) -> CorpusLook:
    """The same look, taken when the files were no longer new."""
    return dataclasses.replace(look, looked_ns=look.looked_ns + int(seconds * 1e9))


def test_what_has_not_changed_since_the_last_look_is_not_read(corpus: Path) -> None:
    before = look_at(corpus, SETTINGS)
    again = look_at(corpus, SETTINGS, later(before))
    assert (before.n_hashed, again.n_hashed) == (2, 0)
    assert again.manifest == before.manifest


def test_a_file_that_was_new_at_the_last_look_is_read_once_more(corpus: Path) -> None:
    before = look_at(corpus, SETTINGS)
    assert look_at(corpus, SETTINGS, before).n_hashed == 2
    os.utime(corpus / "2024-01-02.md", (1, 1))
    assert look_at(corpus, SETTINGS, later(before)).n_hashed == 1
    assert look_at(corpus, SETTINGS, later(look_at(corpus, SETTINGS, before))).n_hashed == 0


def test_a_clock_that_was_set_back_costs_reading_and_no_change(corpus: Path) -> None:
    before = look_at(corpus, SETTINGS)
    assert look_at(corpus, SETTINGS, later(before, -3600)).n_hashed == 2
    next_day = (before.looked_ns + 86_400 * 10**9,) * 2
    os.utime(corpus / "2024-01-02.md", ns=next_day)
    assert look_at(corpus, SETTINGS, later(look_at(corpus, SETTINGS, before))).n_hashed == 1


def test_a_change_under_the_old_size_and_modification_time_is_seen(corpus: Path) -> None:
    file = corpus / "2024-01-02.md"
    before, stat = look_at(corpus, SETTINGS), file.stat()
    while file.stat().st_ctime_ns == stat.st_ctime_ns:  # the clock of files goes by milliseconds
        file.write_text("甲：三", encoding="utf-8")
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    after = look_at(corpus, SETTINGS, later(before))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (stat.st_size, stat.st_mtime_ns)
    assert after.n_hashed == 1 and after.manifest.root != before.manifest.root


def test_a_look_at_another_folder_is_no_help(corpus: Path, tmp_path: Path) -> None:
    before = later(look_at(corpus, SETTINGS))
    corpus.rename(tmp_path / "moved")
    assert look_at(tmp_path / "moved", SETTINGS, before).n_hashed == 2


def test_a_look_comes_back_as_it_was_saved_and_a_damaged_one_not_at_all(corpus: Path, tmp_path: Path) -> None:
    (corpus / "gone.md").symlink_to("nowhere.md")
    look, record = look_at(corpus, SETTINGS), tmp_path / "look"
    assert CorpusLook.load(record) is None
    look.save(record)
    look.save(record)
    assert CorpusLook.load(record) == look
    assert [p.name for p in tmp_path.iterdir() if p != corpus] == ["look"]
    whole = record.read_bytes()
    for place in range(0, len(whole), 7):
        record.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert CorpusLook.load(record) is None
    for place in (0, 10, 65, len(whole) - 1):
        record.write_bytes(whole[:place])
        assert CorpusLook.load(record) is None


def test_a_file_that_vanishes_during_the_look_is_not_there(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def walk_while_one_vanishes(*given: object) -> list[object]:
        found = list(walk(*given))  # type: ignore[arg-type]
        (corpus / "2024-01-02.md").unlink()
        return list(found)

    monkeypatch.setattr(looking, "walk", walk_while_one_vanishes)
    assert paths(scan(corpus, SETTINGS)) == ["a/2024-01-01.md"]


def test_a_folder_that_vanishes_during_the_look_is_not_there(corpus: Path) -> None:
    (corpus / "b").mkdir()
    (corpus / "b" / "2024-01-03.md").write_text("甲：三", encoding="utf-8")
    (corpus / "2024-01-02.md").unlink()
    refused: list[object] = []
    walking = walk(corpus, SETTINGS, lambda *reason: refused.append(reason))
    first, _ = next(walking)
    other = corpus / ("b" if first.startswith("a/") else "a")
    next(other.iterdir()).unlink()
    other.rmdir()
    assert (list(walking), refused) == ([], [])


def test_files_that_come_and_go_all_the_time_break_no_look(corpus: Path) -> None:
    ended = threading.Event()

    def come_and_go() -> None:
        while not ended.is_set():
            (corpus / "moving").mkdir()
            (corpus / "moving" / "x.md").write_text("甲：在", encoding="utf-8")
            (corpus / "moving" / "y.md").symlink_to("x.md")
            for name in ("x.md", "y.md"):
                (corpus / "moving" / name).unlink()
            (corpus / "moving").rmdir()

    thread = threading.Thread(target=come_and_go)
    thread.start()
    try:
        manifests = [scan(corpus, SETTINGS) for _ in range(300)]
    finally:
        ended.set()
        thread.join()
    assert {refused.reason for manifest in manifests for refused in manifest.refused} <= {LINK_BROKEN}
    assert all({"2024-01-02.md", "a/2024-01-01.md"} <= set(paths(manifest)) for manifest in manifests)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_what_cannot_be_read_is_refused_by_name(corpus: Path) -> None:
    (corpus / "2024-01-02.md").chmod(0)
    (corpus / "a").chmod(0)
    manifest = scan(corpus, SETTINGS)
    (corpus / "a").chmod(0o755)
    assert [one.file for one in manifest.refused] == ["2024-01-02.md", "a/"]
    assert all(one.reason.startswith(UNREADABLE) for one in manifest.refused)


@pytest.mark.skipif(os.name == "nt" or sys.platform == "darwin", reason="names are text there")
def test_a_name_that_is_no_text_is_refused_and_the_rest_goes_on(corpus: Path, tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(corpus) + b"/\xd6\xd0.md")).write_text("甲：一", encoding="utf-8")
    manifest = scan(corpus, SETTINGS)
    assert [(one.file, one.reason) for one in manifest.refused] == [("\\xd6\\xd0.md", NAME_NOT_UTF8)]
    manifest.save(tmp_path / "manifest")
    assert len(manifest.files) == 2 and manifest.root


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


def test_a_link_to_a_folder_it_lies_in_is_a_loop_however_the_corpus_is_reached(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(corpus)
    (corpus / "a" / "again").symlink_to(corpus / "a")
    manifest = scan(tmp_path / "link", SETTINGS)
    assert paths(manifest) == ["2024-01-02.md", "a/2024-01-01.md"]
    assert [(one.file, one.reason) for one in manifest.refused] == [("a/again", LINK_LOOP)]


@pytest.mark.parametrize("make", [False, True])
def test_no_folder_or_no_transcript_is_an_error_with_the_path(tmp_path: Path, make: bool) -> None:
    folder = tmp_path / "nothing"
    if make:
        folder.mkdir()
    with pytest.raises(CorpusError, match="nothing"):
        scan(folder, SETTINGS)
