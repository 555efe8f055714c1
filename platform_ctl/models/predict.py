"""What a registered model says about each entity's newest row."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from platform_ctl.models.model import ModelVersion
from platform_ctl.models.port import Registry
from platform_ctl.models.stored import check_stored
from platform_ctl.recipe.recipe import DataAccess, Recipe, resolve

PREDICTION = "prediction"


def forecast(
    registry: Registry,
    recipe: Recipe,
    version: ModelVersion,
    data: DataAccess,
    load: Callable[[Path], Any],
) -> list[dict[str, Any]]:
    """One record for each entity: the columns of its newest row that are no features, and
    ``prediction``. ``load`` makes a predictor of an MLflow model directory.

    Raises MissingTable without data, EvidenceMismatch when the model's files are gone or
    are not those that were registered: none of them is executed then.
    """
    folder = registry.local_dir(version)
    check_stored(folder, version.digest)
    predictor = load(folder)
    rows = resolve(f"{recipe.data}:latest_rows")(data)
    shown = [name for name in rows.column_names if name not in recipe.features]
    records = rows.select(shown).to_pylist()
    predictions = predictor.predict(rows)
    return [{**r, PREDICTION: float(p)} for r, p in zip(records, predictions, strict=True)]
