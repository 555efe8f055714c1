"""How much better or worse one run's model is than another's, on the same golden rows."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from platform_ctl.recipe.bootstrap import Estimate, ratio
from platform_ctl.recipe.scores import CLUSTER, named

CONFIDENCE = 0.95
COLUMNS = {"row", "label", "judged", "loss"}

Errors = Mapping[str, np.ndarray]
"""The columns of ``errors.parquet``, one element for each golden row."""


def change(then: Errors, now: Errors) -> Estimate | None:
    """The new mean loss over the old one, with a two-sided interval at CONFIDENCE.

    Rows are paired: what is hard for both models cancels. Clusters are resampled as in the gate.
    None when the golden rows are not the same.
    """
    if not np.array_equal(then["row"], now["row"]):
        return None
    before, after = (np.asarray(e["label"], float) for e in (then, now))
    if not np.array_equal(before, after, equal_nan=True):
        return None
    judged = now["judged"].astype(bool)
    old, new = (np.asarray(e["loss"], float)[judged] for e in (then, now))
    clusters = [labels[judged] for labels in named(now, CLUSTER).values()]
    return ratio(new, old, clusters, (1 + CONFIDENCE) / 2)
