"""The release file, and what a hold does to the inputs of the next one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hcf_pipeline.asset_names import FAISS_INDEX, LORA_ADAPTER, RELEASE, TURN_TABLE
from hcf_pipeline.chat.hold import differs, hold, hold_on, lift, refuse_while_held, with_holds
from hcf_pipeline.chat.release import ADAPTER, BASE, ENCODER, INDEX, POINTER, TURNS, Pinned, Release
from hcf_pipeline.errors import ArtifactError, GateFailed
from hcf_pipeline.files import sealed
from hcf_pipeline.hub.models import ModelSource
from hcf_pipeline.store import Store

FORMAT_1 = {
    "toy": True,
    "persona": "江",
    "persona_prompt": "你是{persona}",
    "host_labels": ["江"],
    "adapter": {"asset": "lora_adapter", "version": "a1", "checksum": "x"},
    "adapter_corpus": "c1",
    "base": {"asset": "base_model", "version": "b1", "checksum": "x"},
    "index": {"asset": "faiss_index", "version": "i1", "checksum": "x"},
    "index_corpus": "c2",
    "encoder": {"asset": "encoder_model", "version": "e1", "checksum": "x"},
    "turns": {"asset": "turn_table", "version": "t1", "checksum": "x"},
}


def a_release(adapter: str | None = "a1", index: str = "i1", **serving: object) -> Release:
    parts = {
        INDEX: Pinned(FAISS_INDEX, index, "x"),
        ENCODER: Pinned("encoder_model", "e", "x"),
        TURNS: Pinned(TURN_TABLE, "t", "x"),
    }
    if adapter:
        parts |= {ADAPTER: Pinned(LORA_ADAPTER, adapter, "x"), BASE: Pinned("base_model", "b", "x")}
    return Release(parts, {INDEX: "c"}, "江", ("江",), True, serving)


def written(folder: Path, raw: object) -> Path:
    (folder / POINTER).write_text(json.dumps(raw), encoding="utf-8")
    return folder / POINTER


@pytest.mark.parametrize("reranker", [None, ModelSource("hub", "a/b", "c0ffee", "/cache", {"model.safetensors": "00"})])
def test_what_is_saved_is_what_is_loaded(tmp_path: Path, reranker: ModelSource | None) -> None:
    made = Release(
        a_release().parts, {INDEX: "c"}, "江", ("江", "小江"), False, {"retrieval.today": "2024-05-01"}, reranker
    )
    made.save(tmp_path)
    loaded = Release.load(tmp_path / POINTER)
    assert loaded == made and loaded.id == made.id


def test_a_release_of_the_first_format_is_read(tmp_path: Path) -> None:
    loaded = Release.load(written(tmp_path, FORMAT_1))
    assert {name: pinned.version for name, pinned in loaded.parts.items()} == {
        ADAPTER: "a1",
        BASE: "b1",
        INDEX: "i1",
        ENCODER: "e1",
        TURNS: "t1",
    }
    assert loaded.corpora == {ADAPTER: "c1", INDEX: "c2"} and loaded.serving == {"chat.persona_prompt": "你是{persona}"}


def test_a_release_without_an_adapter_is_one(tmp_path: Path) -> None:
    a_release(adapter=None).save(tmp_path)
    assert not Release.load(tmp_path / POINTER).is_trained


@pytest.mark.parametrize("raw", [[], {"format": 2}, {**FORMAT_1, "index": None}, {"format": 2, "parts": {}}, "x"])
def test_a_damaged_release_is_told_in_a_sentence(tmp_path: Path, raw: object) -> None:
    with pytest.raises(ArtifactError, match=r"is damaged; run hcf refresh"):
        Release.load(written(tmp_path, raw))


def test_a_release_without_its_index_is_damaged(tmp_path: Path) -> None:
    a_release().save(tmp_path)
    raw = json.loads((tmp_path / POINTER).read_text(encoding="utf-8"))
    del raw["parts"][INDEX]
    with pytest.raises(ArtifactError, match="is damaged"):
        Release.load(written(tmp_path, raw))


def test_a_release_of_a_later_program_says_so(tmp_path: Path) -> None:
    a_release().save(tmp_path)
    raw = json.loads((tmp_path / POINTER).read_text(encoding="utf-8")) | {"format": 3, "something": "new"}
    with pytest.raises(ArtifactError, match=r"later version .*format 3, this one reads up to 2.*hcf refresh"):
        Release.load(written(tmp_path, raw))


def test_any_pinned_setting_makes_another_release() -> None:
    assert a_release(top_k=5).id != a_release(top_k=6).id != a_release("a2", top_k=6).id


@pytest.fixture
def store(tmp_path: Path) -> Store:
    (tmp_path / RELEASE).mkdir()
    return Store(tmp_path)


INPUTS = {LORA_ADAPTER: "a2", FAISS_INDEX: "i2", "retrieval_scorecard": "s2"}


@pytest.mark.parametrize(
    ("what", "taken"),
    [("adapter", {LORA_ADAPTER: "a1"}), ("index", {FAISS_INDEX: "i1"}), ("all", {}), ("nothing", {})],
)
def test_a_held_part_takes_the_place_of_the_newest(store: Store, what: str, taken: dict[str, str]) -> None:
    hold(store, what, a_release(), "r1", "r2")  # type: ignore[arg-type]
    assert with_holds(store, RELEASE, INPUTS) == INPUTS | taken
    assert with_holds(store, "sample_answers", INPUTS) == INPUTS  # it is the release that keeps to it
    held = hold_on(store)
    assert (held is None) == (what == "nothing") and (held is None or held.rejected == "r2")
    assert held is None or held.everything == (what == "all")


def test_a_hold_on_a_release_without_an_adapter_keeps_the_next_one_without(store: Store) -> None:
    hold(store, "adapter", a_release(adapter=None), "r1", "r2")
    assert with_holds(store, RELEASE, INPUTS) == {name: v for name, v in INPUTS.items() if name != LORA_ADAPTER}


def test_while_all_is_held_a_release_is_refused_with_the_way_out(store: Store) -> None:
    refuse_while_held(store)
    hold(store, "adapter", a_release(), "r1", "r2")
    refuse_while_held(store)
    hold(store, "all", a_release(), "r1", "r2")
    with pytest.raises(GateFailed, match="hcf release lift"):
        refuse_while_held(store)
    lift(store)
    refuse_while_held(store)


@pytest.mark.parametrize(
    "text", ["{", "", "[]", "null", "{}", sealed({}), sealed({"versions": None, "rejected": "", "since": 0})]
)
def test_a_hold_that_cannot_be_read_holds_everything(store: Store, text: str) -> None:
    """Nothing that a person rejected may come back because a byte went bad."""
    (store.home / RELEASE / "hold.json").write_text(text, encoding="utf-8")
    with pytest.raises(GateFailed, match="hcf release lift"):
        refuse_while_held(store)
    held = hold_on(store)
    assert held is not None and held.rejected == "" and held.since == 0
    assert with_holds(store, RELEASE, INPUTS) == INPUTS
    assert lift(store) == held and hold_on(store) is None


def test_a_later_hold_takes_the_place_of_an_earlier_one_and_of_nothing_ends_it(store: Store) -> None:
    hold(store, "all", a_release(), "r1", "r2")
    made = hold(store, "index", a_release(), "r1", "r3")
    assert hold_on(store) == made and made is not None and (made.rejected, made.everything) == ("r3", False)
    assert hold(store, "nothing", a_release(), "r1", "r3") is None and hold_on(store) is None


def test_lifting_tells_what_was_held_and_twice_nothing(store: Store) -> None:
    hold(store, "index", a_release(), "r1", "r2")
    held = lift(store)
    assert held is not None and held.names == FAISS_INDEX
    assert lift(store) is None


def test_a_rollback_rejects_the_part_that_differs_and_all_where_it_is_more() -> None:
    assert differs(a_release("a2"), a_release("a1")) == "adapter"
    assert differs(a_release(index="i2"), a_release()) == "index"
    assert differs(a_release("a2", "i2"), a_release()) == "all"
    assert differs(a_release(top_k=3), a_release(top_k=5)) == "all"
    assert differs(a_release("a2", top_k=3), a_release("a1", top_k=5)) == "all"
    assert differs(a_release(), a_release(adapter=None)) == "adapter"
