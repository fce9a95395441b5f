"""What a refresh and the automation clear away behind them, and `hcf gc` on request."""

from __future__ import annotations

from dataclasses import replace

from hcf_pipeline.defs.assets.retrieval import VECTOR_CACHE
from hcf_pipeline.defs.publishing import store_of
from hcf_pipeline.gc import Garbage, Swept, sweep
from hcf_pipeline.rag.encode.vector_cache import VectorCache
from hcf_pipeline.settings import Settings


def tidy_up(settings: Settings, *, dry_run: bool = False) -> Swept:
    """Removes what neither serves nor belongs to one of the last releases, and cached vectors over [refresh] cache_gb.

    Returns what went, or would go, and what stays until the next time because somebody uses it.
    """
    store = store_of(settings)
    swept = sweep(store, settings.sections.release.keep, dry_run=dry_run)
    cache = VectorCache(store.home / VECTOR_CACHE)
    n_bytes = cache.prune(round(settings.sections.refresh.cache_gb * 1e9), (), dry_run=dry_run)
    return replace(swept, gone=(*swept.gone, Garbage(cache.folder, n_bytes))) if n_bytes else swept
