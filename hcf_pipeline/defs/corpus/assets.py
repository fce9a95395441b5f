"""From the corpus folder to turns and pairs."""

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path

import dagster as dg

from hcf_pipeline.corpus.manifest import MANIFEST, Manifest
from hcf_pipeline.corpus.parts import n_made
from hcf_pipeline.corpus.tables import (
    PAIR_SCHEMA,
    PAIRS,
    TURN_SCHEMA,
    TURNS,
    TurnReport,
    read_pairs,
    write_pair_table,
    write_turn_table,
)
from hcf_pipeline.corpus.tables import REPORT as TURN_REPORT
from hcf_pipeline.corpus.transcript import Grammar
from hcf_pipeline.defs.corpus.look import RAW, look_at_corpus, pull_corpus
from hcf_pipeline.defs.publishing import OWNERS, Step, columns, dagster_metadata, described, latest_version, store_of
from hcf_pipeline.defs.samples import N_SAMPLES, cell, table
from hcf_pipeline.errors import CorpusMoved
from hcf_pipeline.settings import Settings
from hcf_pipeline.store import Artifact, Built, Markdown, Metadata, Recipe

LOOKS = 3  # at a corpus that moves while it is read


def corpus_assets(settings: Settings) -> list[dg.AssetsDefinition]:
    store = store_of(settings)
    corpus = settings.sections.corpus
    look_by = Recipe(1, settings.reads("corpus.include", "corpus.exclude"))
    labels = ("host_labels", "guest_labels", "other_labels", "not_labels")
    reads = (*labels, "date_pattern", "interrupted_pattern", "noise", "lost_pattern", "max_file_mb")
    turns_by = Recipe(3, settings.reads(*(f"corpus.{name}" for name in reads)))
    pairs_by = Recipe(3)

    @dg.multi_observable_source_asset(  # type: ignore[untyped-decorator]
        name="look_at_the_corpus",
        specs=[
            dg.AssetSpec(
                RAW,
                description="The transcripts as they lie in the corpus folder: path, size and hash of every file. "
                "Nothing is copied; its version is one hash over all.\n\n语料目录里的文稿清单：路径、大小、哈希。",
                group_name="corpus",
                kinds={"markdown"},
                owners=OWNERS,
                code_version=look_by.code_version,
                metadata=described(look_by),
            )
        ],
    )
    def raw_transcripts(context: dg.AssetExecutionContext) -> Iterator[dg.ObserveResult]:
        pull_corpus(settings, context.log)
        seen = look_at_corpus(settings, context.instance)
        metadata = dagster_metadata(seen.metadata)
        yield dg.ObserveResult(asset_key=RAW, data_version=dg.DataVersion(seen.root), metadata=metadata)

    @dg.asset(
        deps=[RAW],
        description="One row for each turn of each broadcast: who spoke, and what. Files that cannot be read are "
        "listed beside it with the reason.\n\n每行一次发言；读不了的文件另列原因。",
        group_name="corpus",
        kinds={"parquet"},
        owners=OWNERS,
        code_version=turns_by.code_version,
        metadata=described(
            turns_by,
            columns(
                TURN_SCHEMA,
                transcript="path in the corpus folder",
                date="from the file name; null where it is incomplete",
                turn="from 1, in file order; the turns of other speakers take a number each",
                side="host or guest",
                label="the speaker's label as it stands in the file",
                flags="noise_removed, cut_off, unknown_label",
            ),
        ),
    )
    def turn_table(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        step = Step(context, store)
        if latest_version(context.instance, RAW) is None:  # a first click on "Materialize all" works too
            look_again(context)
        before = step.previous()

        def build(inputs: Mapping[str, Artifact], folder: Path) -> Built:
            manifest = Manifest.load(inputs[RAW].file(MANIFEST)).at(settings.corpus_path)
            progress = step.progress("transcripts parsed")
            previous = before.path if before else None
            version, report = write_turn_table(manifest, Grammar(corpus), folder, progress, previous)
            step.notes["transcripts_parsed"] = n_made(folder / TURNS, previous and previous / TURNS)
            return Built(_turn_metadata(report), version)

        try:
            return step.publish(build)
        except CorpusMoved as error:
            if context.retry_number == LOOKS:
                raise
            context.log.warning(f"{error.en} Looking again.")
            look_again(context)  # a run keeps to one snapshot: this one is no longer to be had
            raise dg.RetryRequested(LOOKS, seconds_to_wait=1) from error

    def look_again(context: dg.AssetExecutionContext) -> None:
        if (seen := look_at_corpus(settings, context.instance)).is_news:
            context.instance.report_runless_asset_event(seen.observation)

    @dg.asset(
        deps=[turn_table],
        description="One row for each question of a guest with the host's answer, never across broadcasts."
        "\n\n每行一问一答，不跨场次。",
        group_name="corpus",
        kinds={"parquet"},
        owners=OWNERS,
        code_version=pairs_by.code_version,
        metadata=described(
            pairs_by,
            columns(
                PAIR_SCHEMA,
                pair="from 1, in file order",
                guest_text="the guest's turns before the answer, joined",
                host_text="the host's turns that follow, joined",
                first_turn="number of the first turn of the pair",
                last_turn="number of the last turn of the pair",
            ),
        ),
    )
    def parsed_pairs(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        step = Step(context, store)
        before = step.previous()

        def build(inputs: Mapping[str, Artifact], folder: Path) -> Built:
            turns = inputs["turn_table"].path / TURNS
            previous = before.path if before else None
            version, n_pairs, personas = write_pair_table(turns, folder, previous)
            step.notes["transcripts_paired"] = n_made(folder / PAIRS, previous and previous / PAIRS)
            hosts = personas or TurnReport.load(inputs["turn_table"].file(TURN_REPORT)).host_labels
            metadata: Metadata = {
                "rows": n_pairs,
                "persona": next(iter(hosts), ""),
                "samples": _pair_samples(folder / PAIRS),
            }
            return Built(metadata, version)

        return step.publish(build)

    return [raw_transcripts, turn_table, parsed_pairs]


def _turn_metadata(report: TurnReport) -> Metadata:
    unknown = ", ".join(f"{label} ({count})" for label, count in report.unknown_labels.items())
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
        "unknown_labels": cell(unknown) or "none",
        "quarantined": table(("file", "reason", "byte"), quarantined) if quarantined else "none",
    }


def _pair_samples(pairs: Path) -> Markdown:
    """The longest pair of each of the first broadcasts."""
    rows: list[tuple[str, str, str]] = []
    for transcript, _, found in itertools.islice(read_pairs(pairs), N_SAMPLES):
        best = max(found, key=lambda pair: min(len(pair.guest_text), 40) + min(len(pair.host_text), 80))
        rows.append((transcript, best.guest_text, best.host_text))
    return table(("broadcast", "guest", "host"), rows)
