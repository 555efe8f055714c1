"""Which data, golden set and champion a run is about."""

from __future__ import annotations

from platform_ctl import targets
from recipes.train_deploy.recipe import RECIPE


def run() -> tuple[str, str, str, str]:
    """-> snapshot id, as-of Monday (ISO), golden digest, champion's version or ''."""
    found = targets.current_subject(targets.current_settings(), RECIPE)
    return found.snapshot_id, found.as_of, found.golden_digest, found.champion
