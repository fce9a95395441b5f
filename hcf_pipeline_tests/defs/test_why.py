"""Why an asset is stale, in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from hcf_pipeline.corpus.manifest import MANIFEST, CorpusFile, Manifest
from hcf_pipeline.defs.why import both_languages, why_stale
from hcf_pipeline.store import Built, Recipe, Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path)
    for version, hashes in {"v1": {"a.md": "1", "b.md": "2"}, "v2": {"a.md": "9", "c.md": "2", "d.md": "4"}}.items():
        manifest = Manifest("/corpus", tuple(CorpusFile(path, 1, sha) for path, sha in hashes.items()), ())

        def build(folder: Path, manifest: Manifest = manifest, version: str = version) -> Built:
            manifest.save(folder / MANIFEST)
            return Built({}, version)

        store.publish("raw", build, Recipe(1, {"v": version}))
    return store


def test_a_setting_is_named_with_its_value_before_and_after(store: Store) -> None:
    before, now = (
        Recipe(1, {"chunks.max_chars": 500, "chat.persona_prompt": "你" * 90}),
        Recipe(1, {"chunks.max_chars": 300, "chat.persona_prompt": "我"}),
    )
    words = [why.en for why in why_stale(store, before, now)]
    assert words[1] == "setting [chunks] max_chars 500 → 300"
    assert words[0].startswith('setting [chat] persona_prompt "你') and words[0].endswith('… → "我"')


def test_transcripts_are_named_that_came_changed_went_or_have_another_name(store: Store) -> None:
    why = why_stale(store, Recipe(1, {}, {"raw": "v1"}), Recipe(1, {}, {"raw": "v2"}))
    assert [one.en for one in why] == ["raw: new d.md, changed a.md, renamed b.md → c.md"]
    assert (
        both_languages(why)
        == "raw：新增 d.md，改动 a.md，改名 b.md → c.md | raw: new d.md, changed a.md, renamed b.md → c.md"
    )


def test_where_the_old_version_is_gone_the_versions_are_named(store: Store) -> None:
    why = why_stale(store, Recipe(1, {}, {"raw": "0123456789"}), Recipe(1, {}, {"raw": "v2"}))
    assert [one.en for one in why] == ["raw has a new version, 01234567 → v2"]


def test_another_revision_of_the_code_and_never_built_are_said(store: Store) -> None:
    assert [one.en for one in why_stale(store, Recipe(1), Recipe(2))] == ["its code changed (revision 1 → 2)"]
    assert [one.en for one in why_stale(store, None, Recipe(2))] == ["never built"]
    assert why_stale(store, Recipe(1), Recipe(1)) == ()


def test_a_setting_and_an_input_that_came_or_went_are_named_and_what_stayed_is_not(store: Store) -> None:
    before = Recipe(1, {"sft.seed": 1, "lora.r": 4}, {"raw": "v2", "left": "a"})
    now = Recipe(1, {"lora.r": 4, "sft.max_pairs": 8}, {"raw": "v2", "came": "b"})
    assert [one.text("en") for one in why_stale(store, before, now)] == [
        "setting [sft] max_pairs null → 8",
        "setting [sft] seed 1 → null",
        "whether it reads came changed",
        "whether it reads left changed",
    ]
    assert why_stale(store, before, now)[0].text("zh") == "设置 [sft] max_pairs null → 8"


def test_a_version_that_differs_in_no_transcript_is_new_all_the_same(store: Store) -> None:
    def build(folder: Path) -> Built:
        Manifest("/elsewhere", (CorpusFile("a.md", 1, "1"), CorpusFile("b.md", 1, "2")), ()).save(folder / MANIFEST)
        return Built({}, "v3")

    store.publish("raw", build, Recipe(1, {"v": "v3"}))
    why = why_stale(store, Recipe(1, {}, {"raw": "v1"}), Recipe(1, {}, {"raw": "v3"}))
    assert [one.en for one in why] == ["raw has a new version, v1 → v3"]


@pytest.mark.parametrize(("n", "shown"), [(38, '"' + "x" * 38 + '"'), (39, '"' + "x" * 38 + "…")])
def test_a_long_value_is_cut_at_forty_characters(store: Store, n: int, shown: str) -> None:
    (why,) = why_stale(store, Recipe(1, {"a.b": "x" * n}), Recipe(1, {"a.b": 1}))
    assert why.en == f"setting [a] b {shown} → 1"


def test_a_library_and_a_file_are_told_from_settings(store: Store) -> None:
    before, now = Recipe(1, {"library torch": "2.12", "file q.v2.jsonl": "1"}), Recipe(1, {"file q.v2.jsonl": "2"})
    file, library = why_stale(store, before, now)
    assert (file.en, file.zh) == ("file q.v2.jsonl changed", "文件 q.v2.jsonl 变了")
    assert (library.en, library.zh) == ("library torch 2.12 → none", "库 torch 2.12 → none")
    (files,) = why_stale(store, Recipe(1, {"files of ~/model": "1"}), Recipe(1, {"files of ~/model": "2"}))
    assert (files.en, files.zh) == ("files of ~/model changed", "文件 ~/model 变了")
