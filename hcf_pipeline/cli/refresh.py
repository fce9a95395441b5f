"""`hcf refresh`: what is stale is made anew, with a bar for the whole and a line for each asset."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from hcf_pipeline.asset_names import RELEASE, TURN_TABLE
from hcf_pipeline.cli.console import Invocation, err, only_json, out, print_json
from hcf_pipeline.errors import HcfError, Lang, NotReady
from hcf_pipeline.settings import Settings
from hcf_pipeline.text import one_line

if TYPE_CHECKING:
    from hcf_pipeline.corpus.tables import TurnReport
    from hcf_pipeline.corpus.transcript import Turn
    from hcf_pipeline.defs.refresh import Refreshed
    from hcf_pipeline.store import Artifact

N_LOOKED_AT = 12  # transcripts that turns are shown of, at most

# What a step writes into its log while it works: "[12/60] loss 3.21"
STEP_PROGRESS = re.compile(r"\[(\d+)/(\d+)\] (.*)", re.DOTALL)


def run_refresh(call: Invocation, *, as_json: bool, refit: bool, train: bool) -> None:
    settings = call.settings()
    with only_json() if as_json else nullcontext():
        refreshed = refresh_with_bars(settings, call.lang, refit=refit, train=train)
    if as_json:
        ran = list(refreshed.ran)
        document: dict[str, object] = {"ran": ran, "waiting": list(refreshed.waiting), "release": refreshed.release}
        idle = refreshed.nothing_to_learn and refreshed.nothing_to_learn.text(call.lang)
        document["reading"] = _reading_as_json(settings)
        print_json(document | {"seconds": round(refreshed.seconds, 2), "nothing_to_learn": idle})
        return
    if refreshed.ran:
        n, s = len(refreshed.ran), refreshed.seconds
        out.print(call.say(f"更新了 {n} 个产物，用时 {s:.1f} 秒。", f"{n} assets made in {s:.1f} s."))
        out.print(call.say(f"当前发布：{refreshed.release}", f"Release: {refreshed.release}"))
    else:
        out.print(call.say("没有可更新的产物，什么也没有运行。", "Nothing was to be made; nothing ran."))
    for line in _as_read(call, settings, shows_turns=TURN_TABLE in refreshed.ran):
        out.print(one_line(line))
    if refreshed.nothing_to_learn:
        err.print(refreshed.nothing_to_learn.text(call.lang))
    elif waiting := [name for name in refreshed.waiting if name != RELEASE]:
        names = " ".join(waiting)
        out.print(
            call.say(f"等待训练：{names}（hcf refresh 会训练）", f"Waiting for training: {names} (hcf refresh trains)")
        )


def _as_read(call: Invocation, settings: Settings, *, shows_turns: bool) -> Iterator[str]:
    """How the corpus was read for the turn table that is there now, and what was left out."""
    from hcf_pipeline.cli.left_out import files_left_out
    from hcf_pipeline.cli.reading import read_wrongly, reading_words
    from hcf_pipeline.cli.turns import beginning
    from hcf_pipeline.corpus.tables import TURNS

    with suppress(HcfError):
        turns, report = _turn_table(settings)
        if report.reading:
            words = reading_words(call, report.reading, report.left_out)
            doubtful = report.reading.is_doubtful(is_monologue=settings.sections.corpus.is_monologue)
            yield words + (read_wrongly(call, report.worst) if doubtful else "")
        if shows_turns:
            yield from (f"  {beginning(turn)}" for turn in _first_turns(turns.path / TURNS))
        yield from files_left_out(call, settings, report.quarantined)


def _reading_as_json(settings: Settings) -> dict[str, object] | None:
    """None where the turn table is older than what is counted here, or cannot be read."""
    with suppress(HcfError):
        report = _turn_table(settings)[1]
        if report.reading:
            return {
                "spoken_share": round(report.reading.spoken_share, 4),
                "alternation": round(report.reading.alternation, 4),
                "lines_left_out": report.left_out,
                "files_left_out": {refused.file: refused.reason for refused in report.quarantined},
            }
    return None


def _turn_table(settings: Settings) -> tuple[Artifact, TurnReport]:
    from hcf_pipeline.corpus.tables import REPORT, TurnReport
    from hcf_pipeline.store import Store

    turns = Store(settings.home).current(TURN_TABLE)
    if turns is None:
        raise NotReady(zh="还没有发言表。", en="There is no turn table yet.")
    return turns, TurnReport.load(turns.file(REPORT))


def _first_turns(table: Path) -> tuple[Turn, ...]:
    """Three of each side, of the first transcripts."""
    from hcf_pipeline.corpus.survey import N_SHOWN, FirstTurns
    from hcf_pipeline.corpus.tables import read_transcripts

    first = FirstTurns()
    for _, _, found in itertools.islice(read_transcripts(table), N_LOOKED_AT):
        first.add(found[: 4 * N_SHOWN])
    return first.turns


def refresh_with_bars(settings: Settings, lang: Lang, *, refit: bool = False, train: bool = True) -> Refreshed:
    from hcf_pipeline.defs.refresh import refresh

    with Bars(lang) as bars:
        refreshed = refresh(settings, bars, refit=refit, train=train)
    prepare_dagster_dev(settings, lang)
    return refreshed


def prepare_dagster_dev(settings: Settings, lang: Lang) -> None:
    from hcf_pipeline.defs.dagster_dev import set_up_dagster_dev

    if advice := set_up_dagster_dev(settings):
        err.print(advice[lang])


class Bars:
    """Shows a refresh: bars in a terminal, plain lines anywhere else."""

    def __init__(self, lang: Lang) -> None:
        self._lang = lang
        self._progress = Progress(
            SpinnerColumn(err.spinner),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TimeElapsedColumn(),
            console=err.console,
            disable=not err.is_terminal,
        )
        self._whole: TaskID | None = None
        self._tasks: dict[str, TaskID] = {}
        self._began: dict[str, float] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def wave(self, assets: Sequence[str]) -> None:
        title = "全部" if self._lang == "zh" else "all"
        if self._whole is None:
            self._whole = self._progress.add_task(title, total=0)
        total = self._progress.tasks[self._whole].total if not self._progress.disable else 0
        self._progress.update(self._whole, total=(total or 0) + len(assets))

    def started(self, asset: str) -> None:
        self._began[asset] = time.monotonic()
        self._tasks[asset] = self._progress.add_task(asset, total=None)
        if self._progress.disable:
            err.print(f"… {asset}")

    def said(self, asset: str, message: str) -> None:
        if (found := STEP_PROGRESS.fullmatch(message)) and asset in self._tasks:
            done, total, what = int(found[1]), int(found[2]), one_line(found[3])
            self._progress.update(
                self._tasks[asset], completed=done, total=total, description=f"{asset}  {done}/{total} {what}"
            )
            if self._progress.disable:
                err.print(f"  {asset} {done}/{total} {what}")

    def finished(self, asset: str) -> None:
        seconds = time.monotonic() - self._began.get(asset, time.monotonic())
        if self._progress.disable:
            err.print(f"✔ {asset}  {seconds:.1f} s")
            return
        self._progress.remove_task(self._tasks[asset])
        err.print(f"✔ {asset}  {seconds:.1f} s")
        if self._whole is not None:
            self._progress.advance(self._whole)
