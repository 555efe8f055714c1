"""How old what a model has learnt is, from its evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

TRAINING_AGE = "training_age_days"
"""Metric of a run: from its newest training row to the end of the rows that judged it."""
NEWEST_ROW = "newest_training_row_at"
"""Key of the evaluation artifact's metadata: ISO time of the newest training row."""
DAY_S = 86_400.0


def newest_training_row(evaluation: Mapping[str, Any]) -> datetime | None:
    """When the newest training row happened; None for rows without times."""
    training = evaluation.get("training") or {}
    text = training.get("newest_row_at") if isinstance(training, Mapping) else ""
    return datetime.fromisoformat(text) if text else None


def training_age_days(evaluation: Mapping[str, Any]) -> float | None:
    """Days from the newest training row to the end of the golden rows; None without times."""
    newest = newest_training_row(evaluation)
    ends = (evaluation.get("golden") or {}).get("ends_at")
    if newest is None or not ends:
        return None
    return (datetime.fromisoformat(ends) - newest).total_seconds() / DAY_S
