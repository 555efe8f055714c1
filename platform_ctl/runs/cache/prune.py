"""Deletes results from the cache by age and by size."""

from __future__ import annotations

from datetime import timedelta

from platform_ctl.errors import UsageError
from platform_ctl.runs.cache.port import Cache
from platform_ctl.runs.cache.values import PruneReport


def prune_cache(
    cache: Cache, *, older_than: timedelta | None, max_size_bytes: int | None
) -> PruneReport:
    """Drop entries unused for that long, then the least recently used above that size.

    Raises UsageError when neither is given: pruning everything must be asked for.
    """
    if older_than is None and max_size_bytes is None:
        raise UsageError(
            "give --older-than, --max-size or both",
            fix="platform-ctl cache prune --older-than 30d",
        )
    return cache.prune(older_than=older_than, max_size_bytes=max_size_bytes)
