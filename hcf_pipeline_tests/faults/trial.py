"""What the children do: commands under a fault, and the checks after it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from hcf_pipeline_tests.faults.injector import Fault, die, inject, trace

QUESTIONS = ("鲸尾岬灯塔的门票多少钱？", "小顾头一个月的工资是多少？", "半程马拉松跑了多久", "周姐涨房租")


def hcf(arguments: Sequence[str], fault: dict[str, object] | None = None, trace_into: str | None = None) -> int:
    """The command line, in this process; returns its exit code."""
    home = Path.cwd() / ".hcf"
    sys.argv = ["hcf", *arguments]
    from hcf_pipeline.cli.app import main

    if trace_into:
        trace(home, Path(trace_into))
    if fault:
        inject(home, Fault(**fault))  # type: ignore[arg-type]
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def refresh_killed_at_call(at: int, train: bool, count_into: str | None = None) -> int:
    """A refresh that dies at the n-th call of its watcher: at each wave, step start, message and step end."""
    from hcf_pipeline.defs.refresh import refresh
    from hcf_pipeline.settings.file import load_settings

    class Watcher:
        def __init__(self) -> None:
            self.n = 0

        def wave(self, assets: Sequence[str]) -> None:
            self._count()

        def started(self, asset: str) -> None:
            self._count()

        def said(self, asset: str, message: str) -> None:
            pass

        def finished(self, asset: str) -> None:
            self._count()

        def _count(self) -> None:
            self.n += 1
            if self.n == at:
                die()

    watcher = Watcher()
    refresh(load_settings(), watcher, train=train)
    if count_into:
        Path(count_into).write_text(str(watcher.n), encoding="utf-8")
    return 0


def answers(k: int = 5) -> list[list[tuple[str, list[int]]]]:
    """(transcript, turns) of the best hits of each question, by what serves now."""
    from hcf_pipeline.chat.engine import engine_for
    from hcf_pipeline.settings.file import load_settings

    engine = engine_for(load_settings())
    return [[(hit.transcript, list(hit.turns)) for hit in engine.retrieve(question, k)] for question in QUESTIONS]


def look() -> int:
    """What is there, as JSON: the release, whether all that it pins verifies, the answers, every version's state."""
    from hcf_pipeline.chat.release import Release, current_release, unpin
    from hcf_pipeline.errors import HcfError
    from hcf_pipeline.store import RECIPES, Store

    store = Store(Path.cwd() / ".hcf")
    broken: list[str] = []
    current: dict[str, str] = {}
    for folder in sorted(store.home.iterdir()):
        if not (folder / RECIPES).is_dir() and not (folder / "current").exists():
            continue
        asset = folder.name
        for version in folder.iterdir():
            if version.is_dir() and version.name != RECIPES and not version.name.startswith("."):
                try:
                    store.open(asset, version.name).verify()
                except HcfError as error:
                    broken.append(error.en)
        try:
            if serving := store.current(asset):
                current[asset] = serving.version
            else:
                broken.append(f"{asset}: no current version")
        except HcfError as error:
            broken.append(error.en)
    release: Release | None = None
    try:
        release = current_release(store)
        for pinned in release.pinned:
            unpin(store, pinned)
    except HcfError as error:
        broken.append(error.en)
    lying = [str(p.relative_to(store.home)) for p in store.home.rglob(".d*-*")]
    lying += [str(p.relative_to(store.home)) for p in store.home.rglob("*.draft")]
    lying += [str(p.relative_to(store.home)) for p in store.home.glob("runs/*.lock")]  # no run is under way
    makers = [p.relative_to(store.home) for p in store.home.glob("*/.making-[0-9]*")]  # one lock an asset stays
    lying += [str(p) for p in makers if len([other for other in makers if other.parent == p.parent]) > 1]
    answered: list[list[tuple[str, list[int]]]] = []
    try:
        answered = answers()
    except HcfError as error:
        broken.append(f"no answer: {error.en}")
    found = {"release": release and release.id, "current": current, "broken": broken, "lying": lying}
    print(json.dumps(found | {"answers": answered}, ensure_ascii=False))
    return 0


def store_life(home: str, fault: dict[str, object] | None = None, trace_into: str | None = None) -> int:
    """The life of one tiny artifact: published twice, a third time by links, rolled back, tidied; under a fault."""
    from hcf_pipeline.files import link_or_copy
    from hcf_pipeline.store import Built, Recipe, Store

    folder = Path(home)
    if trace_into:
        trace(folder, Path(trace_into))
    if fault:
        inject(folder, Fault(**fault))  # type: ignore[arg-type]
    store = Store(folder)

    def writing(text: str) -> Callable[[Path], Built]:
        def build(draft: Path) -> Built:
            (draft / "inner").mkdir()
            (draft / "inner" / "text").write_text(text * 1000, encoding="utf-8")
            (draft / "other").write_text(text, encoding="utf-8")
            return Built({"rows": len(text)})

        return build

    with store.lock(), store.making("thing", "run", lambda _: True):
        store.publish("thing", writing("two"), Recipe(2))
        before = store.current("thing")
        assert before is not None

        def linked(draft: Path) -> Built:
            link_or_copy(before.file("other"), draft / "other")
            (draft / "more").write_text("three", encoding="utf-8")
            return Built({})

        store.publish("thing", linked, Recipe(3), like=before)
        store.promote("thing", before.version)
        for version in store.versions("thing"):
            if version != before.version:
                assert store.remove_version("thing", version)
        for leftover in store.leftovers():
            store.remove(leftover)
    return 0
