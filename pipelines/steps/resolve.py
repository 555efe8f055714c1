"""Which data, golden set and champion a run is about."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from platform_ctl import targets

if TYPE_CHECKING:
    from platform_ctl.recipe.datasets import Resolved
    from platform_ctl.recipe.recipe import DataAccess


def run(resolve: Callable[[DataAccess], Resolved], model_name: str) -> tuple[str, str, str, str]:
    """-> snapshot id, as-of Monday (ISO), golden digest, champion's version or ''."""
    found = targets.current_subject(targets.current_settings(), resolve, model_name)
    return found.snapshot_id, found.as_of, found.golden_digest, found.champion
