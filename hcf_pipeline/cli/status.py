"""`hcf status`: every asset, fresh or stale and why, when it ran last and how large it is."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence

from hcf_pipeline.asset_names import RETRIEVAL_SCORECARD, TURN_TABLE
from hcf_pipeline.chat.hold import hold_on
from hcf_pipeline.cli.console import Invocation, human_size, only_json, out, print_json
from hcf_pipeline.cli.release import hold_as_json, hold_words
from hcf_pipeline.cli.words import STATES, refusal
from hcf_pipeline.cli.writer import Piece
from hcf_pipeline.corpus.manifest import Refused
from hcf_pipeline.corpus.tables import REPORT, TurnReport
from hcf_pipeline.errors import ArtifactError, NotReady
from hcf_pipeline.rag.evaluation.card import CARD, Scorecard
from hcf_pipeline.rag.evaluation.told import threshold_told, weight_told
from hcf_pipeline.store import Artifact, Store
from hcf_pipeline.text import one_line

WIDE = 60  # columns that the table takes; a narrower terminal gets lines
N_QUARANTINED = 20  # that a terminal shows; --json has them all


def run_status(call: Invocation, *, as_json: bool) -> None:
    from hcf_pipeline.defs.refresh import status

    settings = call.settings()
    with only_json():
        looked = status(settings)
    found, release = looked.states, looked.release
    store = Store(settings.home)
    held = hold_on(store)
    turns = _artifact(store, TURN_TABLE, found[TURN_TABLE].version)
    quarantined = TurnReport.load(turns.file(REPORT)).quarantined if turns else []
    card = _artifact(store, RETRIEVAL_SCORECARD, found[RETRIEVAL_SCORECARD].version)
    calibration = Scorecard.load(card.file(CARD)).calibration if card else None
    if as_json:
        assets = [
            {"name": s.name, "state": s.state, "why": [why.text(call.lang) for why in s.why], "version": s.version}
            for s in found.values()
        ]
        refused = [{"file": q.file, "reason": q.reason, "byte": q.byte} for q in quarantined]
        print_json(
            {"assets": assets, "quarantined": refused, "release": release, "hold": hold_as_json(held)}
            | {"retrieval": calibration.as_json() if calibration else None}
        )
        return
    headings = (("产物", "asset"), ("状态", "state"), ("上次运行", "last run"), ("大小", "size"), ("为什么", "why"))
    rows: list[list[Piece]] = []
    for state in found.values():
        artifact = _artifact(store, state.name, state.version)
        ran = datetime.datetime.fromtimestamp(artifact.created).strftime("%m-%d %H:%M") if artifact else "-"
        size = human_size(artifact.size) if artifact else "-"
        word, colour = STATES[state.state]
        why = call.say("；", "; ").join(reason.text(call.lang) for reason in state.why)
        if out.width < WIDE:
            out.print((call.say(*word), colour), f" {state.name}")
            if why:
                out.print(f"  {one_line(why)}", style="dim")
        rows.append([state.name, (call.say(*word), colour), ran, size, why])
    if out.width >= WIDE:
        out.table([call.say(*heading) for heading in headings], rows)
    for line in refusals(call, quarantined):
        out.print(line)
    if calibration:
        told = f"{weight_told(calibration, call.lang)}{call.say('；', '; ')}{threshold_told(calibration, call.lang)}"
        out.print(call.say(f"检索：{told}", f"Retrieval: {told}"))
    out.print(call.say(f"当前发布：{release or '无'}", f"Release: {release or 'none'}"))
    if held:
        out.print(hold_words(call, held))


def refusals(call: Invocation, quarantined: Sequence[Refused]) -> Iterator[str]:
    """A line for each of the first files that were left out, and one that counts the rest."""
    for refused in quarantined[:N_QUARANTINED]:
        file, reason = one_line(refused.file), refusal(refused.reason, call.lang)
        yield call.say(
            f"隔离：{file}（{reason}，第 {refused.byte} 字节）",
            f"quarantined: {file} ({reason}, at byte {refused.byte})",
        )
    if (more := len(quarantined) - N_QUARANTINED) > 0:
        yield call.say(
            f"另有 {more} 个文件被隔离；hcf status --json 全部列出。",
            f"and {more} more are quarantined; hcf status --json lists them all.",
        )


def _artifact(store: Store, asset: str, version: str | None) -> Artifact | None:
    try:
        return store.open(asset, version) if version else None
    except (ArtifactError, NotReady):
        return None
