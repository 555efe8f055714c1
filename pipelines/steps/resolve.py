"""Which data, golden set and champion a run is about."""

from __future__ import annotations

from platform_ctl import targets
from recipes.train_deploy import data
from recipes.train_deploy.recipe import MODEL_NAME


def run() -> tuple[str, str, str, str]:
    """-> snapshot id, as-of Monday (ISO), golden digest, champion's version or ''."""
    settings = targets.current_settings()
    found = data.resolve(targets.data_access(settings))
    champion = targets.registry(settings).aliases(MODEL_NAME).get("production", "")
    return found.snapshot_id, found.as_of, found.golden_digest, champion
