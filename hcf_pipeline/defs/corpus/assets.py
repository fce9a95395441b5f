"""From the corpus folder to turns and pairs."""

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path

import dagster as dg

from hcf_pipeline.corpus.manifest import Manifest, scan
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
from hcf_pipeline.corpus.transcript import Grammar
from hcf_pipeline.defs.publishing import (
    DATA_VERSION,
    OWNERS,
    Step,
    code_version,
    columns,
    dagster_metadata,
    latest_version,
    store_of,
)
from hcf_pipeline.defs.samples import N_SAMPLES, cell, table
from hcf_pipeline.errors import ArtifactError
from hcf_pipeline.settings import Settings, fingerprint
from hcf_pipeline.store import Artifact, Built, Markdown, Metadata, Store, recipe_of

RAW = "raw_transcripts"
MANIFEST = "corpus.json"


def observe_corpus(store: Store, settings: Settings) -> tuple[str, Metadata]:
    """Publishes the manifest of the corpus as it is now; returns its root hash and what a person may want to know."""
    known = seen_corpus(store)
    manifest = scan(settings.corpus_path, settings.sections.corpus, known)
    metadata: Metadata = {
        "files": len(manifest.files),
        "megabytes": round(manifest.n_bytes / 1e6, 3),
        "refused": len(manifest.refused),
        "folder": str(settings.sections.corpus.path),
    }
    if manifest != known:

        def build(folder: Path) -> Built:
            manifest.save(folder / MANIFEST)
            return Built(metadata, manifest.root)

        store.publish(RAW, build, recipe=recipe_of(manifest.root, {}))
    return manifest.root, metadata


def seen_corpus(store: Store) -> Manifest | None:
    """The corpus as it was looked at last; None before the first look, and where the record is damaged."""
    try:
        seen = store.current(RAW)
        if seen is None:
            return None
        seen.verify()
        return Manifest.load(seen.file(MANIFEST))
    except ArtifactError:
        return None


def observation(root: str, metadata: Metadata) -> dg.AssetObservation:
    """The event that tells Dagster which corpus is there, for sensors and for `hcf refresh`."""
    return dg.AssetObservation(RAW, tags={DATA_VERSION: root}, metadata=dagster_metadata(metadata))


def corpus_assets(settings: Settings) -> list[dg.AssetsDefinition]:
    store = store_of(settings)
    corpus = settings.sections.corpus

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
                code_version=code_version(1, fingerprint(corpus, "include", "exclude")),
            )
        ],
    )
    def raw_transcripts() -> Iterator[dg.ObserveResult]:
        root, metadata = observe_corpus(store, settings)
        yield dg.ObserveResult(asset_key=RAW, data_version=dg.DataVersion(root), metadata=dagster_metadata(metadata))

    @dg.asset(
        deps=[RAW],
        description="One row for each turn of each broadcast: who spoke, and what. Files that cannot be read are "
        "listed beside it with the reason.\n\n每行一次发言；读不了的文件另列原因。",
        group_name="corpus",
        kinds={"parquet"},
        owners=OWNERS,
        code_version=code_version(
            1,
            fingerprint(
                corpus,
                "host_labels",
                "guest_labels",
                "date_pattern",
                "interrupted_pattern",
                "noise",
                "max_file_mb",
            ),
        ),
        metadata=columns(
            TURN_SCHEMA,
            transcript="path in the corpus folder",
            date="from the file name; null where it is incomplete",
            turn="from 1, in file order",
            side="host or guest",
            label="the speaker's label as it stands in the file",
            flags="noise_removed, cut_off",
        ),
    )
    def turn_table(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        step = Step(context, store)
        if latest_version(context.instance, RAW) is None:  # a first click on "Materialize all" works too
            context.instance.report_runless_asset_event(observation(*observe_corpus(store, settings)))

        def build(inputs: Mapping[str, Artifact], folder: Path) -> Built:
            manifest = Manifest.load(inputs[RAW].file(MANIFEST))
            version, report = write_turn_table(manifest, Grammar(corpus), folder, step.progress("transcripts parsed"))
            return Built(_turn_metadata(report), version)

        return step.publish(build)

    @dg.asset(
        deps=[turn_table],
        description="One row for each question of a guest with the host's answer, never across broadcasts."
        "\n\n每行一问一答，不跨场次。",
        group_name="corpus",
        kinds={"parquet"},
        owners=OWNERS,
        code_version=code_version(1),
        metadata=columns(
            PAIR_SCHEMA,
            pair="from 1, in file order",
            guest_text="the guest's turns before the answer, joined",
            host_text="the host's turns that follow, joined",
            first_turn="number of the first turn of the pair",
            last_turn="number of the last turn of the pair",
        ),
    )
    def parsed_pairs(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        def build(inputs: Mapping[str, Artifact], folder: Path) -> Built:
            version, n_pairs, personas = write_pair_table(inputs["turn_table"].file(TURNS), folder)
            metadata: Metadata = {
                "rows": n_pairs,
                "persona": next(iter(personas), ""),
                "samples": _pair_samples(folder / PAIRS),
            }
            return Built(metadata, version)

        return Step(context, store).publish(build)

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
