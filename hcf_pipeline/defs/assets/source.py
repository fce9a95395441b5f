"""The transcripts as they lie in the corpus folder: looked at, never made."""

from collections.abc import Iterator

import dagster as dg

from hcf_pipeline.asset_names import RAW_TRANSCRIPTS
from hcf_pipeline.defs.corpus.look import look_at_corpus, pull_corpus
from hcf_pipeline.defs.publishing import OWNERS, dagster_metadata
from hcf_pipeline.settings import Settings


def raw_transcripts() -> dg.AssetsDefinition:
    """A function, because Dagster warns of its beta where the asset is defined: `build` silences that."""

    @dg.multi_observable_source_asset(  # type: ignore[untyped-decorator]
        name="look_at_the_corpus",
        specs=[
            dg.AssetSpec(
                RAW_TRANSCRIPTS,
                description="The transcripts as they lie in the corpus folder: path, size and hash of every file. "
                "Nothing is copied; its version is one hash over all.\n\n语料目录里的文稿清单：路径、大小、哈希。",
                group_name="corpus",
                kinds={"markdown"},
                owners=OWNERS,
            )
        ],
    )
    def look(context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]) -> Iterator[dg.ObserveResult]:
        pull_corpus(settings, context.log)
        seen = look_at_corpus(settings, context.instance)
        metadata = dagster_metadata(seen.metadata)
        yield dg.ObserveResult(asset_key=RAW_TRANSCRIPTS, data_version=dg.DataVersion(seen.root), metadata=metadata)

    made: dg.AssetsDefinition = look
    return made
