"""Files that no pattern of [corpus] include admits are counted, and the sentence says what to write to read them."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from hcf_pipeline.corpus.endings import include_for, other_endings
from hcf_pipeline.corpus.manifest import scan
from hcf_pipeline.errors import CorpusError
from hcf_pipeline.settings import CorpusSettings


def folder_of(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("甲：好", encoding="utf-8")
    return folder


@pytest.mark.parametrize("names", [("a.srt",), ("a.srt", "b/c.srt", "d.TXT"), ("README.md", "x.vtt"), ("e.MD",)])
def test_a_folder_of_transcripts_with_other_endings_is_refused_with_what_to_write(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    folder = folder_of(tmp_path, *names)
    with pytest.raises(CorpusError, match=r"write include = .* or run hcf init") as told:
        scan(folder, CorpusSettings())
    for words in (told.value.zh, told.value.en):
        written = re.search(r"include = \[.*?\]", words)
        assert written is not None
        settings = CorpusSettings.model_validate(tomllib.loads(written[0]))
        assert [file.path for file in scan(folder, settings).files] == sorted(set(names) - {"README.md"})


def test_a_folder_without_a_transcript_of_any_ending_is_refused_as_before(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"holds no transcript \(\*\.md\); check path, include and exclude"):
        scan(folder_of(tmp_path, "talk.mp3", ".hidden/a.srt"), CorpusSettings())


def test_what_is_admitted_by_any_pattern_is_no_other_ending_and_an_ending_in_capitals_is_one(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "2024-01-01.md", "notes.md", "b/2024-01-02.md", "c.MD", "d.srt", "LICENSE")
    assert dict(other_endings(folder, ["*.md"])) == {".md": 1, ".srt": 1, "LICENSE": 1}
    assert dict(other_endings(folder, ["2024-*.md"])) == {".md": 2, ".srt": 1, "LICENSE": 1}
    assert set(tomllib.loads(f"x = {include_for(folder, ['*.md'])}")["x"]) == {"*.md", "*.MD", "*.srt"}
    assert include_for(folder, ["*.md", "*.MD", "*.srt"]) == ""
