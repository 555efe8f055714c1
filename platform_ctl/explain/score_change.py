"""How much better or worse one run's model is than another's, on the same golden rows."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from platform_ctl.recipe.bootstrap import Estimate, ratio
from platform_ctl.recipe.gate import DORMANT

CONFIDENCE = 0.95
_KEYS = ("repo", "event_timestamp", "label")
COLUMNS = {*_KEYS, "scale", "slice", "prediction"}

Errors = Mapping[str, np.ndarray]
"""The columns of ``errors.parquet``, one element for each golden row."""


def change(then: Errors, now: Errors) -> dict[str, Estimate] | None:
    """Metric -> its new value over its old one, with a two-sided interval at CONFIDENCE.

    Rows are paired: what is hard for both models cancels. Weeks and repositories
    are resampled as in the gate. None when the golden rows are not the same.
    """
    if any(not np.array_equal(then[key], now[key]) for key in _KEYS):
        return None
    alive = now["slice"] != DORMANT
    label, scale = (now[name][alive].astype(float) for name in ("label", "scale"))
    old, new = (np.abs(e["prediction"][alive].astype(float) - label) for e in (then, now))
    clusters = (now["event_timestamp"][alive], now["repo"][alive])
    each_side = (1 + CONFIDENCE) / 2
    return {
        "mase": ratio(new / scale, old / scale, clusters, each_side),
        "mae": ratio(new, old, clusters, each_side),
    }
