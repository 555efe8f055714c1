"""Has anything of the golden set been seen in training? Asked before a score is believed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from recipes.train_deploy import rows

LABEL_SPAN = np.timedelta64(7, "D")


def check(data: rows.Rows, spec: Mapping[str, Any]) -> dict[str, Any]:
    """{"ok", "findings", "golden_rows", "training_rows"}; each finding is one sentence.

    - no (repo, week) is both golden and training or validation
    - no training label's week reaches into the golden weeks
    - no golden row's features stand, under another date, in the training rows
    - the model's own record says that it was trained on no later week
    """
    golden, seen = data.of(rows.GOLDEN), data.of(rows.TRAIN, rows.VALIDATION)
    findings = [
        *_same_keys(golden, seen),
        *_overlapping_weeks(golden, seen),
        *_same_features(golden, seen),
        *_trained_later(golden, spec),
    ]
    return {
        "ok": not findings,
        "findings": findings,
        "golden_rows": len(golden),
        "training_rows": len(seen),
    }


def _same_keys(golden: rows.Rows, seen: rows.Rows) -> list[str]:
    both = set(_keys(golden)) & set(_keys(seen))
    return [f"{repo} at {week} is golden and training at once" for repo, week in sorted(both)]


def _keys(part: rows.Rows) -> list[tuple[str, str]]:
    weeks = part.week_start.astype("datetime64[D]").astype(str)
    return list(zip(part.repo.tolist(), weeks.tolist(), strict=True))


def _overlapping_weeks(golden: rows.Rows, seen: rows.Rows) -> list[str]:
    late = seen.week_start + LABEL_SPAN > golden.week_start.min()
    return [f"{late.sum()} training labels reach into the golden weeks"] if late.any() else []


def _same_features(golden: rows.Rows, seen: rows.Rows) -> list[str]:
    """Only where something happened: the features of silent weeks repeat by themselves."""
    lookup = {row.tobytes() for row in seen.features[~seen.dormant & (seen.label > 0)]}
    alive = golden.where(~golden.dormant & (golden.label > 0))
    return [
        f"the features of {repo} at {week} stand in the training rows"
        for (repo, week), row in zip(_keys(alive), alive.features, strict=True)
        if row.tobytes() in lookup
    ]


def _trained_later(golden: rows.Rows, spec: Mapping[str, Any]) -> list[str]:
    newest = np.datetime64(spec["training"]["newest_week"])
    if newest + LABEL_SPAN > golden.week_start.min():
        return [f"the model was trained on the week of {newest}"]
    return []
