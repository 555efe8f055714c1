"""Reads learning curves from ``history`` in the metadata of a fit's model."""

from __future__ import annotations

import math
from typing import Any


def learning_curves(history: object) -> dict[str, tuple[float, ...]]:
    """Metric -> its value after each epoch.

    ``history`` has the figures of each epoch, one after the other, or a list for each metric.
    KFP 2.17 hands a list in the metadata of an artifact on as ``{"list": [...]}``. What is not
    finite numbers is left out.
    """
    plain = _unwrapped(history)
    if isinstance(plain, list):
        epochs = [epoch for epoch in plain if isinstance(epoch, dict)]
        names = dict.fromkeys(name for epoch in epochs for name in epoch if name != "epoch")
        plain = {name: [epoch.get(name) for epoch in epochs] for name in names}
    if not isinstance(plain, dict):
        return {}
    lists = {str(name): _unwrapped(values) for name, values in plain.items()}
    return {
        name: tuple(float(v) for v in values)
        for name, values in lists.items()
        if isinstance(values, list) and all(map(_is_finite, values))
    }


def _unwrapped(value: Any) -> Any:
    return value["list"] if isinstance(value, dict) and set(value) == {"list"} else value


def _is_finite(value: object) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value)  # type: ignore[arg-type]
