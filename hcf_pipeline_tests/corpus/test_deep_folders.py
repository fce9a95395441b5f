"""Folders in folders, far beyond what anybody makes on purpose: a broken copy, a loop of some tool."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hcf_pipeline.cli.check import _disk
from hcf_pipeline.cli.console import Invocation
from hcf_pipeline.corpus.grammar import Grammar
from hcf_pipeline.corpus.manifest import scan
from hcf_pipeline.corpus.survey import survey
from hcf_pipeline.corpus.tables import read_transcript
from hcf_pipeline.corpus.transcript import Transcript
from hcf_pipeline.errors import SettingsError, UserError
from hcf_pipeline.files import files_below, remove_tree
from hcf_pipeline.gc import _weighed
from hcf_pipeline.hub.models import visible_files
from hcf_pipeline.rag.encode.static_encoder import is_static
from hcf_pipeline.rag.evaluation.questions import read_questions
from hcf_pipeline.settings import CorpusSettings
from hcf_pipeline.settings.file import load_settings

DEPTH = 1200
TEXT = "水友：在吗\n江照野：在，什么事？\n水友：没事\n江照野：那挂了啊。\n水友：好\n江照野：再见。\n"


def nest(folder: Path, name: str, depth: int) -> None:
    """Folders in folders with a transcript in the innermost one; step by step, so that no path is too long."""
    at = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=at)
        inner = os.open(name, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = inner
    file = os.open("2024-01-02.md", os.O_WRONLY | os.O_CREAT, dir_fd=at)
    os.write(file, TEXT.encode())
    os.close(file)
    os.close(at)


@pytest.fixture
def corpus(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "corpus"
    folder.mkdir()
    (folder / "2024-01-01.md").write_text(TEXT, encoding="utf-8")
    yield folder
    remove_tree(folder)  # pytest's own way would fail on it for ever
    assert not folder.exists()


def test_a_transcript_under_a_thousand_folders_is_read(corpus: Path) -> None:
    nest(corpus, "d", DEPTH)
    manifest = scan(corpus, CorpusSettings())
    assert [file.path for file in manifest.files] == ["2024-01-01.md", "d/" * DEPTH + "2024-01-02.md"]
    assert all(isinstance(read_transcript(corpus, f, Grammar(CorpusSettings())), Transcript) for f in manifest.files)
    assert survey(corpus).n_files == 2


def test_a_path_that_is_longer_than_the_system_takes_is_refused_with_the_reason(corpus: Path) -> None:
    nest(corpus, "d" * 200, 40)
    manifest = scan(corpus, CorpusSettings())
    assert [file.path for file in manifest.files] == ["2024-01-01.md"]
    (refused,) = manifest.refused
    assert refused.reason == "cannot be read: File name too long" and refused.file.startswith("d" * 200)


def test_a_file_whose_own_name_is_too_much_is_refused_alone(corpus: Path) -> None:
    """The folder can still be listed, and what lies in it can't be opened."""
    room = 4094 - len(str(corpus))
    nest(corpus, "d" * 200, room // 201)
    innermost, left = corpus.joinpath(*["d" * 200] * (room // 201)), room % 201
    at = os.open(innermost, os.O_RDONLY)
    os.rename("2024-01-02.md", "x" * left + "-.md", src_dir_fd=at, dst_dir_fd=at)
    os.close(at)
    manifest = scan(corpus, CorpusSettings())
    assert [file.path for file in manifest.files] == ["2024-01-01.md"]
    assert [refused.reason for refused in manifest.refused] == ["cannot be read: File name too long"]


def test_a_link_whose_target_is_too_long_is_refused_and_no_loop(corpus: Path) -> None:
    (corpus / "2024-01-03.md").symlink_to("d/" * 2000 + "2024-01-02.md")
    (corpus / "2024-01-04.md").symlink_to("x" * 300)
    reasons = {refused.file: refused.reason for refused in scan(corpus, CorpusSettings()).refused}
    assert reasons["2024-01-04.md"] == "cannot be read: File name too long"


def test_all_that_weighs_or_lists_folders_gets_along_with_deep_ones(corpus: Path, tmp_path: Path) -> None:
    nest(corpus, "d", DEPTH)
    (tmp_path / "hcf.toml").write_text('[corpus]\npath = "corpus"\n', encoding="utf-8")
    settings = load_settings(tmp_path / "hcf.toml", environ={})
    call = Invocation("en", None, None, None)
    assert [finding.name for finding in _disk(settings, call)] == ["disk"]
    assert len(visible_files(corpus)) == len(list(files_below(corpus))) == 2
    (garbage,) = _weighed([corpus])
    assert garbage.n_bytes == 2 * len(TEXT.encode())


def test_removing_a_tree_follows_no_link(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "kept").touch()
    (corpus / "inner").mkdir()
    (corpus / "inner" / "link").symlink_to(tmp_path / "mine")
    (corpus / "link").symlink_to(tmp_path / "mine")
    (tmp_path / "alias").symlink_to(tmp_path / "mine")
    for folder in (corpus, tmp_path / "alias", tmp_path / "nothing"):
        remove_tree(folder)
    assert not corpus.exists() and (tmp_path / "mine" / "kept").exists()


@pytest.mark.parametrize("text", ['{"a":' * 100_000, "[" * 100_000, '{"question":' + "[" * 100_000])
def test_json_that_is_nested_without_end_is_refused_by_its_line(tmp_path: Path, text: str) -> None:
    from hcf_pipeline.cli.retrieve import _read

    file = tmp_path / "questions.jsonl"
    file.write_text('{"question": "在吗", "date": null}\n' + text + "\n", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"questions\.jsonl:2 has to be a JSON object"):
        read_questions(file)
    with pytest.raises(UserError, match=r"questions\.jsonl:2 has to be a JSON object"):
        list(_read(file))
    (tmp_path / "modules.json").write_text(text, encoding="utf-8")
    assert not is_static(tmp_path)
