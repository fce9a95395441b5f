"""The quality gates as blocking asset checks, and whether the index knows the corpus as it is."""

from collections.abc import Sequence

import dagster as dg

from hcf_pipeline.asset_names import CHUNK_TABLE, FAISS_INDEX, RAW_TRANSCRIPTS, TURN_TABLE
from hcf_pipeline.chat.release import made_from
from hcf_pipeline.defs.corpus.look import transcripts_are_there
from hcf_pipeline.defs.publishing import latest_version, made_by, store_of
from hcf_pipeline.defs.rollback import nothing_is_held
from hcf_pipeline.gates import GATES, Gate, Verdict, judge
from hcf_pipeline.settings import Settings


def checks(settings: Settings) -> Sequence[dg.AssetChecksDefinition]:
    gates = [_check(gate, settings) for gate in GATES]
    return [*gates, transcripts_are_there(settings), _index_is_current(settings), nothing_is_held(settings)]


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
        asset=FAISS_INDEX,
        name="index_knows_the_corpus",
        description="The index was made from the corpus as it was last looked at.\n\n索引与当前文稿一致。",
    )
    def check(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        index, corpus = latest_version(context.instance, FAISS_INDEX), latest_version(context.instance, RAW_TRANSCRIPTS)
        assert index is not None, "a check runs after its asset"
        turns = made_from(store, store.open(FAISS_INDEX, index), [CHUNK_TABLE, TURN_TABLE])
        by = made_by(store, context.instance, TURN_TABLE)
        made = (
            by.inputs[RAW_TRANSCRIPTS]
            if by and turns.version == latest_version(context.instance, TURN_TABLE)
            else "an older one"
        )
        return dg.AssetCheckResult(
            passed=made == corpus,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"made_from": made, "corpus": str(corpus)},
        )

    return check
