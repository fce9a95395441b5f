"""From transcripts to turns and pairs."""

import datetime
import itertools
from collections.abc import Mapping
from pathlib import Path

import dagster as dg

from hcf_pipeline.asset_names import PARSED_PAIRS, RAW_TRANSCRIPTS, TURN_TABLE
from hcf_pipeline.corpus.episodes import Episode, episode_of
from hcf_pipeline.corpus.grammar import Grammar
from hcf_pipeline.corpus.held_out import HeldOut, hold_out
from hcf_pipeline.corpus.manifest import MANIFEST, Manifest
from hcf_pipeline.corpus.parts import n_made
from hcf_pipeline.corpus.tables import (
    PAIR_SCHEMA,
    PAIRS,
    REPORT,
    TURN_SCHEMA,
    TURNS,
    TurnReport,
    read_pairs,
    write_pair_table,
    write_turn_table,
)
from hcf_pipeline.defs.corpus.look import look_again
from hcf_pipeline.defs.dagster_private import look_up_inputs_again
from hcf_pipeline.defs.publishing import OWNERS, Step, columns, latest_version
from hcf_pipeline.defs.samples import N_SAMPLES, table
from hcf_pipeline.errors import CorpusMoved
from hcf_pipeline.few import N_NAMED, and_more
from hcf_pipeline.settings import Settings
from hcf_pipeline.store import Artifact, Built, Markdown, Metadata, Store

SHOWN = 20  # held-out transcripts and refused files in the UI; the files of the artifact have them all
NO_EPISODE = Episode(0, 0)
LOOKS = 3  # at a corpus that moves while it is read


@dg.asset(
    deps=[RAW_TRANSCRIPTS],
    description="One row for each turn of each broadcast: who spoke, and what. Files that cannot be read are "
    "listed beside it with the reason.\n\n每行一次发言；读不了的文件另列原因。",
    group_name="corpus",
    kinds={"parquet"},
    owners=OWNERS,
    metadata=columns(
        TURN_SCHEMA,
        transcript="path in the corpus folder",
        date="from the file name; null where it is incomplete",
        turn="from 1, in file order; the turns of other speakers take a number each",
        side="host or guest",
        label="the speaker's label as it stands in the file",
        flags="noise_removed, cut_off, unknown_label",
    ),
)
def turn_table(
    context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings], store: dg.ResourceParam[Store]
) -> dg.MaterializeResult[None]:
    step = Step(context, store)
    if latest_version(context.instance, RAW_TRANSCRIPTS) is None:  # a first click on "Materialize all" works too
        look_again(settings, context.instance)
        look_up_inputs_again(context)
    before = step.previous()

    def build(inputs: Mapping[str, Artifact], folder: Path) -> Built:
        manifest = Manifest.load(inputs[RAW_TRANSCRIPTS].file(MANIFEST)).at(settings.corpus_path)
        progress = step.progress("transcripts parsed")
        previous = before.path if before else None
        version, report = write_turn_table(manifest, Grammar(settings.sections.corpus), folder, progress, previous)
        step.notes["transcripts_parsed"] = n_made(folder / TURNS, previous and previous / TURNS)
        return Built(_turn_metadata(report), version)

    try:
        return step.publish(build)
    except CorpusMoved as error:
        if context.retry_number == LOOKS:
            raise
        context.log.warning(f"{error.en} Looking again.")
        look_again(settings, context.instance)  # a run keeps to one snapshot: this one is no longer to be had
        raise dg.RetryRequested(LOOKS, seconds_to_wait=1) from error


@dg.asset(
    deps=[TURN_TABLE],
    description="One row for each question of a guest with the host's answer, never across broadcasts."
    "\n\n每行一问一答，不跨场次。",
    group_name="corpus",
    kinds={"parquet"},
    owners=OWNERS,
    metadata=columns(
        PAIR_SCHEMA,
        pair="from 1, in file order",
        guest_text="the guest's turns before the answer, joined; empty where nobody asks",
        host_text="the host's turns that follow, joined",
        first_turn="number of the first turn of the pair",
        last_turn="number of the last turn of the pair",
    ),
)
def parsed_pairs(
    context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings], store: dg.ResourceParam[Store]
) -> dg.MaterializeResult[None]:
    step = Step(context, store)
    before = step.previous()

    def build(inputs: Mapping[str, Artifact], folder: Path) -> Built:
        turns = inputs[TURN_TABLE].path / TURNS
        previous = before.path if before else None
        version, n_pairs, personas = write_pair_table(
            turns, folder, previous, is_monologue=settings.sections.corpus.is_monologue
        )
        step.notes["transcripts_paired"] = n_made(folder / PAIRS, previous and previous / PAIRS)
        hosts = personas or TurnReport.load(inputs[TURN_TABLE].file(REPORT)).host_labels
        metadata: Metadata = {
            "rows": n_pairs,
            "persona": next(iter(hosts), ""),
            "samples": _pair_samples(folder / PAIRS),
        }
        return Built(metadata, version)

    return step.publish(build)


@dg.asset(
    deps=[PARSED_PAIRS],
    description="The newest broadcasts, which nothing learns from and all is judged by: one split for samples, models and "
    "scorecards.\n\n留作检验的最新几场，训练都不看，评测只用它们。",
    group_name="corpus",
    kinds={"json"},
    owners=OWNERS,
)
def held_out_split(
    context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings], store: dg.ResourceParam[Store]
) -> dg.MaterializeResult[None]:
    def build(inputs: Mapping[str, Artifact], folder: Path) -> Built:
        split = hold_out(inputs[PARSED_PAIRS].path / PAIRS, settings.sections.sft.held_out_share)
        split.save(folder)
        metadata: Metadata = {
            "transcripts": len(split.dates),
            "first_day": str(split.first_day or "none"),
            "share": split.share,
            "held_out": table(("transcript", "date"), [(path, day or "") for path, day in _in_order(split)][-SHOWN:]),
        }
        return Built(metadata, split.version)

    return Step(context, store).publish(build)


def _in_order(split: HeldOut) -> list[tuple[str, datetime.date | None]]:
    """Held-out transcripts by day, those without one by their episodes."""
    return sorted(
        split.dates.items(), key=lambda one: (one[1] or datetime.date.min, episode_of(one[0]) or NO_EPISODE, one[0])
    )


def _turn_metadata(report: TurnReport) -> Metadata:
    unknown = [f"{label} ({count})" for label, count in report.unknown_labels.items()]
    named = ", ".join(unknown[:N_NAMED])
    if more := len(unknown) - len(unknown[:N_NAMED]) + report.n_more_labels:
        named += and_more(more, "en")
    quarantined = [(q.file, q.reason, q.byte) for q in report.quarantined]
    return {
        "rows": report.n_turns,
        "transcripts": report.n_transcripts,
        "parse_rate": round(report.parse_rate, 4),
        "host_characters": report.n_host_chars,
        "guest_characters": report.n_guest_chars,
        "first_date": report.first_date,
        "last_date": report.last_date,
        "without_date": report.n_undated,
        "noise_lines_dropped": report.n_noise_lines,
        "characters_before_first_label": report.n_chars_before_first_label,
        "unknown_labels": named or "none",
        "quarantined": table(("file", "reason", "byte"), quarantined, SHOWN) if quarantined else "none",
    }


def _pair_samples(pairs: Path) -> Markdown:
    """The longest pair of each of the first broadcasts."""
    rows: list[tuple[str, str, str]] = []
    for transcript, _, found in itertools.islice(read_pairs(pairs), N_SAMPLES):
        best = max(found, key=lambda pair: min(len(pair.guest_text), 40) + min(len(pair.host_text), 80))
        rows.append((transcript, best.guest_text, best.host_text))
    return table(("broadcast", "guest", "host"), rows)
