"""Hashes every artifact of the cache again."""

from __future__ import annotations

from platform_ctl.runs.cache.port import Cache
from platform_ctl.runs.cache.values import VerifyReport


def verify_cache(cache: Cache) -> VerifyReport:
    """What was checked and what was taken out. Reads every byte."""
    return cache.verify()
