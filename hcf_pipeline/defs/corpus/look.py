"""Looking at the corpus folder, and telling Dagster what is there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from hcf_pipeline.asset_names import RAW_TRANSCRIPTS
from hcf_pipeline.corpus.differences import differences
from hcf_pipeline.corpus.git import fetch_corpus
from hcf_pipeline.corpus.manifest import LAST_LOOK, MANIFEST, CorpusLook, Manifest, look_at
from hcf_pipeline.corpus.settle import settle
from hcf_pipeline.defs.asset_keys import key_of
from hcf_pipeline.defs.dagster_private import DATA_VERSION, last_check_failed
from hcf_pipeline.defs.publishing import WHY, dagster_metadata, latest_version, store_of
from hcf_pipeline.errors import ArtifactError, CorpusError, HcfError
from hcf_pipeline.settings import Settings
from hcf_pipeline.store import Built, Metadata, Recipe

THERE = "transcripts_are_there"  # asset check


@dataclass(frozen=True)
class Seen:
    """What a look at the corpus found."""

    root: str
    metadata: Metadata
    is_news: bool  # to Dagster

    @property
    def observation(self) -> dg.AssetObservation:
        return dg.AssetObservation(
            RAW_TRANSCRIPTS, tags={DATA_VERSION: self.root}, metadata=dagster_metadata(self.metadata)
        )


def look_at_corpus(settings: Settings, instance: dg.DagsterInstance, *, only_settled: bool = False) -> Seen:
    """Records the corpus as it is now; the caller tells Dagster, where it is news.

    With `only_settled` files that moved since the last look stay as they were recorded. A folder that is gone or empty
    fails the check `transcripts_are_there`, and raises CorpusError: what was recorded before stays.
    """
    try:
        known = seen_corpus(settings)
        root, metadata = observe_corpus(settings, only_settled=only_settled)
    except CorpusError as error:
        _tell(instance, passed=False, words=f"{error.zh} | {error.en}")
        raise
    _tell(instance, passed=True, words=f"{metadata['files']} files")
    now = seen_corpus(settings)
    moved = differences(known.hashes if known else {}, now.hashes if now else {})
    why = f"{moved.text('zh')} | {moved.text('en')}" if moved else "nothing changed"
    return Seen(root, {**metadata, WHY: why}, latest_version(instance, RAW_TRANSCRIPTS) != root)


def look_again(settings: Settings, instance: dg.DagsterInstance) -> None:
    """Looks at the corpus, and tells Dagster where it is news."""
    if (seen := look_at_corpus(settings, instance)).is_news:
        instance.report_runless_asset_event(seen.observation)


def observe_corpus(settings: Settings, *, only_settled: bool = False) -> tuple[str, Metadata]:
    """Publishes the manifest of the corpus; returns its root hash and what a person may want to know."""
    store, known = store_of(settings), seen_corpus(settings)
    record = store.home / RAW_TRANSCRIPTS / LAST_LOOK
    before = CorpusLook.load(record)
    look = look_at(settings.corpus_path, settings.sections.corpus, before)
    if look.n_hashed or before is None or look.manifest != before.manifest:
        with store.writing(RAW_TRANSCRIPTS):
            look.save(record)
    manifest = settle(known, before.manifest if before else None, look.manifest) if only_settled else look.manifest
    metadata: Metadata = {
        "files": len(manifest.files),
        "megabytes": round(manifest.n_bytes / 1e6, 3),
        "refused": len(manifest.refused),
        "folder": str(settings.sections.corpus.path),
    }
    if known is None or manifest.root != known.root:

        def build(folder: Path) -> Built:
            manifest.save(folder / MANIFEST)
            return Built(metadata, manifest.root)

        store.publish(RAW_TRANSCRIPTS, build, Recipe(1, {"corpus": manifest.root}))
    return manifest.root, metadata


def peek_at_corpus(settings: Settings) -> Manifest:
    """The corpus as it is now; nothing is recorded."""
    before = CorpusLook.load(store_of(settings).home / RAW_TRANSCRIPTS / LAST_LOOK)
    return look_at(settings.corpus_path, settings.sections.corpus, before).manifest


def seen_corpus(settings: Settings) -> Manifest | None:
    """The corpus as it was recorded last; None before the first look, and where the record is damaged."""
    try:
        seen = store_of(settings).current(RAW_TRANSCRIPTS)
        if seen is None:
            return None
        seen.verify()
        return Manifest.load(seen.file(MANIFEST)).at(settings.corpus_path)
    except ArtifactError:
        return None


def pull_corpus(settings: Settings, log: dg.DagsterLogManager) -> None:
    """Brings a corpus that is kept in Git up to date; where that fails, what is there is looked at."""
    if not settings.sections.corpus.git_url:
        return
    try:
        folder, commit = fetch_corpus(settings.sections.corpus.git_url, settings.root / "data")
        log.info(f"{folder} is at {commit[:12]}")
        if not settings.corpus_path.is_relative_to(folder):
            log.warning(f"[corpus] git_url was fetched into {folder}, but [corpus] path is {settings.corpus_path}.")
    except HcfError as error:
        log.warning(f"{error.zh} {error.en}")


def transcripts_are_there(settings: Settings) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=RAW_TRANSCRIPTS,
        name=THERE,
        blocking=True,
        description="The corpus folder is there and holds transcripts.\n\n文稿目录在，里面有文稿。",
    )
    def check() -> dg.AssetCheckResult:
        try:
            manifest = peek_at_corpus(settings)
        except CorpusError as error:
            return dg.AssetCheckResult(passed=False, metadata={"words": f"{error.zh} | {error.en}"})
        return dg.AssetCheckResult(passed=True, metadata={"words": f"{len(manifest.files)} files"})

    return check


def _tell(instance: dg.DagsterInstance, *, passed: bool, words: str) -> None:
    """Records the check, if its result is another than last time."""
    key = dg.AssetCheckKey(key_of(RAW_TRANSCRIPTS), THERE)
    if last_check_failed(instance, key) == passed:
        instance.report_runless_asset_event(
            dg.AssetCheckEvaluation(
                asset_key=key_of(RAW_TRANSCRIPTS),
                check_name=THERE,
                passed=passed,
                blocking=True,
                metadata={"words": words},
            )
        )
