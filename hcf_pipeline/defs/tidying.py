"""What a refresh and the automation clear away behind them, and `hcf gc` on request."""

from __future__ import annotations

from hcf_pipeline.defs.assets.retrieval import VECTOR_CACHE
from hcf_pipeline.defs.publishing import store_of
from hcf_pipeline.gc import Garbage, clear, garbage
from hcf_pipeline.rag.vector_cache import VectorCache
from hcf_pipeline.settings import Settings


def tidy_up(settings: Settings, *, dry_run: bool = False) -> list[Garbage]:
    """Removes what neither serves nor belongs to one of the last releases, and cached vectors over [refresh] cache_gb.

    Returns what went, or would go. The caller sees to it that nothing is being made.
    """
    store = store_of(settings)
    found = garbage(store, settings.sections.release.keep)
    if not dry_run:
        clear(store, found)
    cache = VectorCache(store.home / VECTOR_CACHE)
    n_bytes = cache.prune(round(settings.sections.refresh.cache_gb * 1e9), (), dry_run=dry_run)
    return [*found, Garbage(cache.folder, n_bytes)] if n_bytes else found
