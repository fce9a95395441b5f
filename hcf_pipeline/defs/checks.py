"""The quality gates as blocking asset checks, and whether the index knows the corpus as it is."""

from collections.abc import Sequence

import dagster as dg

from hcf_pipeline.chat.release import made_from
from hcf_pipeline.defs.corpus.look import RAW, transcripts_are_there
from hcf_pipeline.defs.publishing import latest_version, made_by, store_of
from hcf_pipeline.gates import GATES, Gate, Verdict, judge
from hcf_pipeline.settings import Settings


def checks(settings: Settings) -> Sequence[dg.AssetChecksDefinition]:
    return [*(_check(gate, settings) for gate in GATES), transcripts_are_there(settings), _index_is_current(settings)]


def _check(gate: Gate, settings: Settings) -> dg.AssetChecksDefinition:
    store = store_of(settings)

    @dg.asset_check(asset=gate.asset, name=gate.name, description=gate.description, blocking=True)
    def check(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        version = latest_version(context.instance, gate.asset)
        assert version is not None, "a check runs after its asset"
        return result(judge(gate, store.open(gate.asset, version), store, settings))

    return check


def result(verdict: Verdict) -> dg.AssetCheckResult:
    words = f"{verdict.text('zh')} | {verdict.text('en')}"
    return dg.AssetCheckResult(passed=verdict.passed, metadata={**verdict.figures, "words": words})


def _index_is_current(settings: Settings) -> dg.AssetChecksDefinition:
    store = store_of(settings)

    @dg.asset_check(
        asset="faiss_index",
        name="index_knows_the_corpus",
        description="The index was made from the corpus as it was last looked at.\n\n索引与当前文稿一致。",
    )
    def check(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        index, corpus = latest_version(context.instance, "faiss_index"), latest_version(context.instance, RAW)
        assert index is not None, "a check runs after its asset"
        turns = made_from(store, store.open("faiss_index", index), ["chunk_table", "turn_table"])
        by = made_by(store, context.instance, "turn_table")
        made = (
            by.inputs[RAW] if by and turns.version == latest_version(context.instance, "turn_table") else "an older one"
        )
        return dg.AssetCheckResult(
            passed=made == corpus,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"made_from": made, "corpus": str(corpus)},
        )

    return check
