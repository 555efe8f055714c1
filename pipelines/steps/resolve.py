"""Which data, golden set and champion a run is about."""

from __future__ import annotations

from platform_ctl import targets
from platform_ctl.recipe.recipe import resolve


def run(function: str, model_name: str) -> tuple[str, str, str, str]:
    """``function``: the recipe's ``resolve``, by reference.

    -> snapshot id, as-of Monday (ISO), golden digest, champion's version or ''.
    """
    subject = targets.current_subject(targets.current_settings(), resolve(function), model_name)
    return subject.snapshot_id, subject.as_of, subject.golden_digest, subject.champion
