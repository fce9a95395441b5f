"""When training waits: too few new pairs, and no tick of its schedule since the first of them came."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import dagster as dg
import pytest

from hcf_pipeline.asset_names import BASE_MODEL, LORA_ADAPTER, PARSED_PAIRS, SFT_DATASET
from hcf_pipeline.corpus.fitted import Moved
from hcf_pipeline.corpus.grammar import Grammar
from hcf_pipeline.corpus.manifest import scan
from hcf_pipeline.corpus.tables import TURNS, write_pair_table, write_turn_table
from hcf_pipeline.defs.automation import policy
from hcf_pipeline.defs.automation.policy import deferral, deferred_assets, is_due, pairs_waiting
from hcf_pipeline.defs.dagster_private import DATA_VERSION, INPUT_VERSION
from hcf_pipeline.defs.staleness import AssetState
from hcf_pipeline.settings import CorpusSettings, RefreshSettings
from hcf_pipeline.store import Built, Recipe, Store

SETTINGS = CorpusSettings(host_labels=["甲"], guest_labels=["乙"])
BY_NUMBER = RefreshSettings(train_pairs=3, train_cron="")
BY_CLOCK = RefreshSettings(train_pairs=0, train_cron="0 5 * * 1")


@dataclass
class Home:
    """A store of pair tables, and what Dagster was told of them."""

    folder: Path
    instance: dg.DagsterInstance
    store: Store
    n: int = 0
    versions: list[str] = field(default_factory=list)

    def pairs(self, *questions: str) -> str:
        """A table of these pairs is published; returns its version."""
        self.n += 1
        corpus, work = self.folder / f"corpus{self.n}", self.folder / f"work{self.n}"
        corpus.mkdir()
        work.mkdir()
        text = "\n".join(f"乙：{question}\n甲：说的是{question}。" for question in questions)
        (corpus / "2024-01-01.md").write_text(text, encoding="utf-8")
        write_turn_table(scan(corpus, SETTINGS), Grammar(SETTINGS), work)

        def build(folder: Path) -> Built:
            version, *_ = write_pair_table(work / TURNS, folder)
            return Built({}, version)

        version = self.store.publish(PARSED_PAIRS, build, Recipe(1, {"n": self.n})).version
        self.tell(PARSED_PAIRS, {DATA_VERSION: version})
        return version

    def train_on(self, pairs: str) -> None:
        self.tell(SFT_DATASET, {DATA_VERSION: f"of {pairs}", f"{INPUT_VERSION}{PARSED_PAIRS}": pairs})

    def tell(self, asset: str, tags: dict[str, str]) -> None:
        self.instance.report_runless_asset_event(dg.AssetMaterialization(asset, tags=tags))

    def due(self, refresh: RefreshSettings) -> bool:
        return is_due(self.instance, self.store, refresh)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Home(tmp_path, instance, Store(tmp_path / "store"))


def state(name: str, **changed: object) -> AssetState:
    """An asset that new pairs alone made stale."""
    made_by, now = (Recipe(1, {}, {PARSED_PAIRS: pairs}) for pairs in ("old", "new"))
    found = AssetState(name, "stale", (), "v", frozenset({PARSED_PAIRS}), False, made_by, now)
    return replace(found, **changed)  # type: ignore[arg-type]


def both(**changed: object) -> dict[str, AssetState]:
    return {
        SFT_DATASET: state(SFT_DATASET, **changed),
        BASE_MODEL: state(BASE_MODEL),
        LORA_ADAPTER: state(LORA_ADAPTER),
    }


def test_nothing_is_due_where_nothing_came_and_all_is_where_that_cannot_be_told(home: Home) -> None:
    assert home.due(BY_NUMBER)  # nothing was trained on yet
    pairs = home.pairs("一")
    assert pairs_waiting(home.instance, home.store) is None and home.due(BY_NUMBER)
    home.train_on(pairs)
    assert pairs_waiting(home.instance, home.store) == Moved(0, 0, 1)
    assert not home.due(BY_NUMBER) and not home.due(BY_CLOCK)
    home.train_on("a version that is gone")
    assert pairs_waiting(home.instance, home.store) is None and home.due(BY_NUMBER)


def test_pairs_that_came_and_went_count_together_up_to_the_setting(home: Home) -> None:
    home.train_on(home.pairs("一", "二"))
    home.pairs("一", "三")
    assert pairs_waiting(home.instance, home.store) == Moved(1, 1, 2)
    assert not home.due(BY_NUMBER)
    home.pairs("三", "一", "四")
    assert home.due(BY_NUMBER)
    assert not home.due(BY_NUMBER.model_copy(update={"train_pairs": 4}))
    assert not home.due(BY_NUMBER.model_copy(update={"train_pairs": 0}))  # their number never does


def test_the_schedule_starts_what_waited_before_its_tick_and_no_empty_training(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.train_on(home.pairs("一"))
    monkeypatch.setattr(policy, "clock", lambda zone: policy.now_in(zone) + datetime.timedelta(days=8))
    assert not home.due(BY_CLOCK)  # a tick, and nothing came
    home.pairs("二")  # as many came as went
    assert home.due(BY_CLOCK)
    assert not home.due(BY_CLOCK.model_copy(update={"train_cron": ""}))
    monkeypatch.setattr(policy, "clock", lambda zone: policy.now_in(zone) - datetime.timedelta(days=8))
    assert not home.due(BY_CLOCK)  # the last tick was before they came


def test_waiting_begins_with_the_first_table_that_was_not_trained_on(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained_on = home.pairs("一")
    home.train_on(trained_on)
    home.pairs("一", "二")
    began = policy._waiting_since(home.instance, home.store)
    home.pairs("一", "二", "三")
    assert began and policy._waiting_since(home.instance, home.store) == began
    assert home.pairs("一") == trained_on  # what came went again
    assert policy._waiting_since(home.instance, home.store) is None
    home.pairs("一", "四")
    assert (policy._waiting_since(home.instance, home.store) or 0) > began


@pytest.mark.parametrize(
    ("changed", "waiting"),
    [
        ({}, {SFT_DATASET, BASE_MODEL}),
        ({"state": "fresh"}, {BASE_MODEL}),
        ({"state": "missing"}, {BASE_MODEL}),
        ({"now": Recipe(2, {}, {PARSED_PAIRS: "new"})}, {BASE_MODEL}),  # its code changed too
        ({"now": Recipe(1, {"sft.seed": 1}, {PARSED_PAIRS: "new"})}, {BASE_MODEL}),
        ({"now": Recipe(1, {}, {PARSED_PAIRS: "new", "another": "v"})}, {BASE_MODEL}),
        ({"now": Recipe(1, {}, {PARSED_PAIRS: "old"})}, {BASE_MODEL}),  # stale for another reason
        ({"made_by": None}, {BASE_MODEL}),  # the store forgot what it was made by
    ],
)
def test_only_what_new_pairs_alone_made_stale_waits(home: Home, changed: dict[str, object], waiting: set[str]) -> None:
    home.train_on(home.pairs("一"))
    home.pairs("一", "二")
    assert deferred_assets(both(**changed), home.instance, home.store, BY_NUMBER) == waiting
    home.pairs("二", "三", "四")
    assert deferred_assets(both(**changed), home.instance, home.store, BY_NUMBER) == frozenset()


def test_what_training_waits_for_is_told() -> None:
    refresh = RefreshSettings(train_pairs=500, train_cron="0 5 * * 1")
    why = deferral(Moved(2, 1, 9), refresh)
    assert why.en == "2 new and 1 vanished pairs wait for training (trained by itself at 500 or by 0 5 * * 1)"
    assert why.zh == "2 个新问答、1 个消失的问答等待训练（自动训练：满 500 个或按 0 5 * * 1）"
    never = deferral(Moved(0, 1, 9), RefreshSettings(train_pairs=0, train_cron=""))
    assert never.en.endswith("(trained by itself never)") and never.zh.endswith("（自动训练：从不）")
