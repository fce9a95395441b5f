"""Quality gates: what must hold before an artifact may get into a release.

Each gate stands three times: as a blocking asset check in Dagster, in the plan that the automation and `hcf refresh`
follow, and inside `release`, which refuses. For a blocking check alone stops nothing in a later run. What is compared
with earlier is compared with the best of the releases that are kept: measured by the last one alone, a little could be lost
with each release, for ever.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from hcf_pipeline.asset_names import CHUNK_TABLE, FAISS_INDEX, LORA_ADAPTER, RELEASE, RETRIEVAL_SCORECARD, TURN_TABLE
from hcf_pipeline.chat.release import POINTER, TURNS, Release, made_from
from hcf_pipeline.chat.releases import release_versions
from hcf_pipeline.corpus.plausible import Reading
from hcf_pipeline.corpus.tables import REPORT, TurnReport
from hcf_pipeline.errors import GateFailed, HcfError, Lang
from hcf_pipeline.rag.evaluation.card import CARD, Scorecard
from hcf_pipeline.settings import ReleaseSettings, Settings
from hcf_pipeline.store import Artifact, Store

RECALL_AT = 10
FEW_QUESTIONS = 30


class Words(NamedTuple):
    zh: str
    en: str


@dataclass(frozen=True)
class Verdict:
    """What a gate says: what it found, what to do if it did not pass, and figures for a page."""

    passed: bool
    found: Words
    advice: Words
    figures: Mapping[str, float] = field(default_factory=dict)

    def text(self, lang: Lang) -> str:
        found, advice = getattr(self.found, lang), getattr(self.advice, lang)
        return found if self.passed else f"{found}{'；' if lang == 'zh' else '; '}{advice}"


@dataclass(frozen=True)
class Gate:
    name: str
    asset: str
    description: str
    judge: Callable[[Artifact, Store, ReleaseSettings], Verdict]


def enough_transcripts(turns: Artifact, store: Store, settings: ReleaseSettings) -> Verdict:
    """A corpus that lost most of its transcripts is taken for an accident: a wrong folder, a failed pull."""
    now = TurnReport.load(turns.file(REPORT)).n_transcripts
    before = max(_n_released(store, settings.keep), default=now)
    lost = max(0.0, 1 - now / before) if before else 0.0
    return Verdict(
        lost <= settings.max_lost,
        Words(f"已发布 {before} 份文稿，现在有 {now} 份", f"{before} transcripts are released, {now} are there now"),
        Words(
            f"少得超过 [release] max_lost = {settings.max_lost}：若是有意的请调大它，否则请检查 [corpus] path 和文稿目录",
            f"that is more lost than [release] max_lost = {settings.max_lost}: if it is meant, raise that, else look at [corpus] "
            "path and the folder",
        ),
        {"transcripts": now, "released_transcripts": before, "lost_share": round(lost, 4)},
    )


def text_has_speakers(turns: Artifact, _: Store, settings: ReleaseSettings) -> Verdict:
    """Where most of the text is nobody's, its form is one that is not understood: what little is left misleads."""
    report = TurnReport.load(turns.file(REPORT))
    reading = report.reading or Reading()
    return Verdict(
        not reading.is_implausible(settings.min_spoken),
        Words(f"{reading.spoken_share:.0%} 的文字有说话人", f"{reading.spoken_share:.0%} of the text has a speaker"),
        Words(
            f"少于 [release] min_spoken = {settings.min_spoken}：请用 hcf turns {report.worst} 看看是怎样读的，再写明 [corpus] 的 form "
            "和称呼，或运行 hcf init；若是有意的请调小它",
            f"that is less than [release] min_spoken = {settings.min_spoken}: see how a file is read with hcf turns "
            f"{report.worst}, then set form and labels of [corpus], or run hcf init; if it is meant so, lower it",
        ),
        {"spoken_share": round(reading.spoken_share, 4), "alternation": round(reading.alternation, 4)},
    )


def adapter_learnt(adapter: Artifact, _: Store, settings: ReleaseSettings) -> Verdict:
    """An adapter whose loss is no number, or that made its base worse, is not let in."""
    found = {name: adapter.metadata.get(name) for name in ("train_loss", "held_out_loss_base", "held_out_loss")}
    losses = {name: float(value) for name, value in found.items() if isinstance(value, (int, float))}
    base, own = losses.get("held_out_loss_base"), losses.get("held_out_loss")
    rise = own - base if base is not None and own is not None else 0.0
    shown = ", ".join(f"{name} {loss:.3f}" for name, loss in losses.items())
    return Verdict(
        all(map(math.isfinite, losses.values())) and rise <= settings.max_loss_rise,
        Words(f"训练结果：{shown or '没有损失值'}", f"training gave {shown or 'no loss'}"),
        Words(
            f"[release] max_loss_rise = {settings.max_loss_rise}：请检查 [lora] learning_rate 和训练样本",
            f"[release] max_loss_rise is {settings.max_loss_rise}: look at [lora] learning_rate and at the samples",
        ),
        losses,
    )


def index_finds_itself(index: Artifact, store: Store, _: ReleaseSettings) -> Verdict:
    """The index opens whole, holds every chunk, and finds chunks by their own vectors."""
    from hcf_pipeline.rag.index.self_test import self_test

    found = self_test(index.path)
    return Verdict(
        found.n_wrong == 0 and found.n_chunks == _n_chunks(index, store),
        Words(
            f"索引里有 {found.n_chunks} 段，抽查的 {found.n_tried} 段中有 {found.n_wrong} 段找不到自己",
            f"the index holds {found.n_chunks} chunks, and {found.n_wrong} of {found.n_tried} tried do not find themselves",
        ),
        Words("请检查 [encoder] 和 [chunks] 的设置", "look at the settings of [encoder] and [chunks]"),
        {"chunks": found.n_chunks, "tried": found.n_tried, "not_found": found.n_wrong},
    )


def recall_holds(card: Artifact, store: Store, settings: ReleaseSettings) -> Verdict:
    """Retrieval finds about as much as that of each kept release did, of the questions that both were asked."""
    now = Scorecard.load(card.file(CARD))
    falls = [fall for before in _released_cards(store, settings.keep) for fall in _falls(before, now)]
    worst = max(falls, key=lambda fall: fall.before - fall.now, default=None)
    shown = ", ".join(f"{name} {recall:.3f}" for name, recall in _recalls(now).items())
    zh = f"前 {RECALL_AT} 场里找到的比例：{shown or '没有题目'}"
    en = f"recall@{RECALL_AT}: {shown or 'no questions'}"
    if worst is not None:
        zh += f"；{worst.name} 共同的 {worst.n} 题里 {worst.now:.3f}，保留的发布中最好的是 {worst.before:.3f}"
        en += f"; of {worst.n} questions in common ({worst.name}) {worst.now:.3f}, the best of the kept releases {worst.before:.3f}"
    return Verdict(
        worst is None or worst.before - worst.now <= settings.max_recall_fall,
        Words(zh, en),
        Words(
            f"少得超过 [release] max_recall_fall = {settings.max_recall_fall}：请检查 [retrieval]、[chunks]、[encoder] "
            "的设置，若是有意的请调大它",
            f"that is a fall of more than [release] max_recall_fall = {settings.max_recall_fall}: look at [retrieval], [chunks] "
            "and [encoder], or raise it if it is meant",
        ),
        {f"{name} recall@{RECALL_AT}": recall for name, recall in _recalls(now).items()},
    )


GATES = (
    Gate(
        "enough_transcripts",
        TURN_TABLE,
        "Not many more transcripts are gone than [release] max_lost allows.\n\n文稿没有大量丢失。",
        enough_transcripts,
    ),
    Gate(
        "text_has_speakers",
        TURN_TABLE,
        "At least [release] min_spoken of the text has a speaker: its form is understood.\n\n大部分文字知道是谁说的。",
        text_has_speakers,
    ),
    Gate(
        "adapter_learnt",
        LORA_ADAPTER,
        "The losses are numbers, and the adapter is not worse than its base.\n\n适配器没有把基座练坏。",
        adapter_learnt,
    ),
    Gate(
        "index_finds_itself",
        FAISS_INDEX,
        "The index is whole, and chunks are found by their own vectors.\n\n索引完整，抽查的文段找得到自己。",
        index_finds_itself,
    ),
    Gate(
        "recall_holds",
        RETRIEVAL_SCORECARD,
        "Retrieval finds no less than that of the kept releases, but for [release] max_recall_fall.\n\n检索没有变差。",
        recall_holds,
    ),
)


def judge(gate: Gate, artifact: Artifact, store: Store, settings: Settings) -> Verdict:
    """The gate's verdict on one version; what cannot even be read does not pass."""
    kept = tuple(release_versions(store)[: settings.sections.release.keep])
    key = (store.home, gate.name, artifact.version, settings.sections.release, kept)
    if key not in _verdicts:
        try:
            _verdicts[key] = gate.judge(artifact, store, settings.sections.release)
        except HcfError as error:
            return Verdict(
                False, Words("读不出来", "cannot be read"), Words(error.zh.rstrip("。"), error.en.rstrip("."))
            )
    return _verdicts[key]


_verdicts: dict[tuple[object, ...], Verdict] = {}  # a sensor asks every few seconds


def refuse(failed: Mapping[Gate, Verdict]) -> None:
    """Raises GateFailed that names the first of these that did not pass."""
    for gate, verdict in failed.items():
        if not verdict.passed:
            raise GateFailed(
                zh=f"检查 {gate.name} 没有通过，不发布，原来的发布继续服务：{verdict.text('zh')}。",
                en=f"The check {gate.name} failed, so nothing is released and what was released serves on: {verdict.text('en')}.",
            )


def _kept(store: Store, keep: int) -> Iterator[Artifact]:
    """The last `keep` releases that are there and can be read, the newest first."""
    for version in release_versions(store)[:keep]:
        with suppress(HcfError):
            yield store.open(RELEASE, version)


def _n_released(store: Store, keep: int) -> Iterator[int]:
    """The transcripts of each kept release whose turn table is there."""
    for artifact in _kept(store, keep):
        with suppress(HcfError):
            turns = Release.load(artifact.file(POINTER)).parts[TURNS]
            yield TurnReport.load(store.open(turns.asset, turns.version).file(REPORT)).n_transcripts


def _released_cards(store: Store, keep: int) -> Iterator[Scorecard]:
    """The scorecard of each kept release that has one: the last one, where it was measured more than once."""
    followed = store.followed(RELEASE)
    for artifact in _kept(store, keep):
        last = next((one.recipe.inputs for one in followed if one.version == artifact.version), artifact.inputs)
        with suppress(HcfError, KeyError):
            yield Scorecard.load(store.open(RETRIEVAL_SCORECARD, last[RETRIEVAL_SCORECARD]).file(CARD))


class Fall(NamedTuple):
    """Recall at RECALL_AT of the `n` questions of a set that two scorecards have in common."""

    name: str
    n: int
    before: float
    now: float


def _falls(before: Scorecard, now: Scorecard) -> Iterator[Fall]:
    """One for each set with enough questions in common; few say little. Older cards hold figures alone: these are compared."""
    sets = {of_set.name: of_set for of_set in before.sets}
    for of_set in now.sets:
        other = sets.get(of_set.name)
        if other is None:
            continue
        shared = of_set.ranks.keys() & other.ranks.keys()
        if len(shared) >= FEW_QUESTIONS:
            found = [sum(0 < one.ranks[key] <= RECALL_AT for key in shared) / len(shared) for one in (other, of_set)]
            yield Fall(of_set.name, len(shared), *found)
        elif not other.ranks and of_set.name in (old := _recalls(before)) and of_set.name in (new := _recalls(now)):
            yield Fall(of_set.name, of_set.n_answerable, old[of_set.name], new[of_set.name])


def _recalls(card: Scorecard) -> dict[str, float]:
    """Recall at RECALL_AT of the last stage, by set of questions; sets with few questions are left out."""
    return {
        of_set.name: of_set.stages[-1].recall[str(RECALL_AT)]
        for of_set in card.sets
        if of_set.stages and of_set.n_answerable >= FEW_QUESTIONS
    }


def _n_chunks(index: Artifact, store: Store) -> int:
    return int(str(made_from(store, index, [CHUNK_TABLE]).metadata["rows"]))
