"""What moved in the corpus, in words, and what holds still enough to be worked on."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hcf_pipeline.corpus.differences import Differences, differences
from hcf_pipeline.corpus.manifest import CorpusFile, Manifest, Refused
from hcf_pipeline.corpus.settle import settle

BROKEN = "broken"


def corpus(contents: dict[str, str], folder: str = "corpus") -> Manifest:
    """A manifest of files with these contents; BROKEN ones are refused."""
    files = [
        CorpusFile(path, len(text), hashlib.sha256(text.encode()).hexdigest())
        for path, text in sorted(contents.items())
        if text != BROKEN
    ]
    refused = [Refused(path, text, 0) for path, text in sorted(contents.items()) if text == BROKEN]
    return Manifest(folder, tuple(files), tuple(refused))


def test_differences_name_what_is_new_changed_deleted_and_renamed() -> None:
    before = corpus({"a": "一", "b": "二", "c": "三", "d": "四", "e": "五"})
    after = corpus({"a": "一", "b": "二，改了", "new/c": "三", "e": "五", "f": "六"})
    assert differences(before.hashes, after.hashes) == Differences(("f",), ("b",), ("d",), (("c", "new/c"),))
    assert differences(before.hashes, before.hashes) == Differences((), (), (), ())


@pytest.mark.parametrize(
    ("before", "after", "zh", "en"),
    [
        ({}, {"a": "一"}, "新增 a", "new a"),
        ({"a": "一"}, {"a": "二"}, "改动 a", "changed a"),
        ({"a": "一"}, {}, "删除 a", "deleted a"),
        ({"a": "一"}, {"b": "一"}, "改名 a → b", "renamed a → b"),
        (
            {"c": "三"},
            dict(zip("abcdef", "一二三四五六", strict=True)),
            "新增 a b d，另有 2 个",
            "new a b d and 2 more",
        ),
        ({"d": "四"}, {"a": "一", "b": "二", "c": "三"}, "新增 a b c，删除 d", "new a b c, deleted d"),
    ],
)
def test_a_difference_of_any_kind_is_one_and_is_told_by_its_first_names(
    before: dict[str, str], after: dict[str, str], zh: str, en: str
) -> None:
    found = differences(corpus(before).hashes, corpus(after).hashes)
    assert found and (found.text("zh"), found.text("en")) == (zh, en)
    same = differences(corpus(after).hashes, corpus(after).hashes)
    assert not same and same.text("en") == ""


def test_one_of_two_new_copies_is_the_renamed_one() -> None:
    before, after = corpus({"a": "一", "b": "二"}), corpus({"b": "二", "x": "一", "y": "一"})
    assert differences(before.hashes, after.hashes) == Differences(("y",), (), (), (("a", "x"),))


def test_a_copy_beside_its_original_is_new() -> None:
    assert differences(corpus({"a": "一"}).hashes, corpus({"a": "一", "b": "一"}).hashes) == Differences(
        ("b",), (), (), ()
    )


contents = st.dictionaries(st.sampled_from("abcdefgh"), st.sampled_from(["一", "二", "三", BROKEN]), max_size=8)
manifests = contents.map(corpus)


def by_path(manifest: Manifest) -> dict[str, CorpusFile | Refused]:
    return {f.path: f for f in manifest.files} | {r.file: r for r in manifest.refused}


@given(manifests, manifests, manifests)
def test_what_held_still_counts_and_what_moves_stays_as_it_was(
    known: Manifest, before: Manifest, now: Manifest
) -> None:
    settled = settle(known, before, now)
    for path in "abcdefgh":
        was, last, there = (by_path(manifest).get(path) for manifest in (known, before, now))
        assert by_path(settled).get(path) == (there if last == there else was)
    assert list(settled.files) == sorted(settled.files)


@given(manifests, manifests)
def test_two_looks_alike_settle_on_what_they_saw(known: Manifest, now: Manifest) -> None:
    assert settle(known, now, now) == now
    assert settle(settle(known, known, now), now, now) == now


@given(manifests, manifests)
def test_without_a_look_before_nothing_has_settled(known: Manifest, now: Manifest) -> None:
    assert settle(known, None, now) == known


@given(manifests, st.none() | manifests)
def test_on_the_first_look_everything_counts(now: Manifest, before: Manifest | None) -> None:
    assert settle(None, before, now) == now
    elsewhere = corpus({"a": "别处"}, "elsewhere")
    assert settle(elsewhere, before, now) == now
    assert settle(now, elsewhere, corpus({})) == now


def test_a_file_being_written_rewritten_or_just_gone_waits_until_it_holds_still() -> None:
    known = corpus({"rewritten": "旧", "gone": "一", "old name": "名"})
    first = corpus({"rewritten": "新的一", "written": "半", "old name": "名"})
    second = corpus({"rewritten": "新的一半", "written": "半句", "new name": "名"})
    assert settle(known, known, first) == known
    assert settle(known, first, second) == corpus({"rewritten": "旧", "old name": "名"})
    assert settle(known, second, second) == second
