"""Training-serving skew of a release, on the features that its service looks up right now."""

from __future__ import annotations

import dataclasses

from platform_ctl.errors import HomeBusy, PreconditionMissing
from platform_ctl.recipe.recipe import DataAccess, resolve
from platform_ctl.recipe.skew import Skew, judge_skew
from platform_ctl.recipe.verdict import Verdict
from platform_ctl.releases.release import Target

_ENTITIES = 200
"""A fault of the transformation shows in the first few; more would only cost time."""


def check_skew(data: DataAccess, target: Target) -> Skew:
    """Compare the online store with training; one that is behind is refreshed, then compared.

    Inconclusive while another process holds the features. Successful, with its
    reason, where there is nothing to compare: a recipe without live features, or a
    home without its data.
    """
    if not target.live_features:
        return Skew(
            Verdict.SUCCESSFUL, "live features were not compared: this recipe has no live.py"
        )
    live = resolve(target.live_features)
    try:
        first = judge_skew(live.rows(data, _ENTITIES), target.features)
        if first.verdict is not Verdict.INCONCLUSIVE:
            return first
        live.refresh(data)
        again = judge_skew(live.rows(data, _ENTITIES), target.features)
    except PreconditionMissing as exc:
        return Skew(Verdict.SUCCESSFUL, f"live features were not compared: {exc.what}")
    except HomeBusy as exc:
        return Skew(Verdict.INCONCLUSIVE, exc.what)
    if again.verdict is Verdict.SUCCESSFUL:
        reason = f"{again.reason}, after a refresh ({first.reason})"
        return dataclasses.replace(again, reason=reason)
    return again
