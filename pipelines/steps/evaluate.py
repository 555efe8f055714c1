"""The golden set's verdict in figures: candidate, baselines, champion."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from platform_ctl import targets
from platform_ctl.models.model import find_version
from platform_ctl.models.stored import check_stored
from platform_ctl.models.training_age import (
    NEWEST_ROW,
    TRAINING_AGE,
    newest_training_row,
    training_age_days,
)
from platform_ctl.recipe.recipe import resolve
from platform_ctl.runs.step_log import evaluation_lines

if TYPE_CHECKING:
    from kfp import dsl

logger = logging.getLogger(__name__)


def run(
    function: str,
    model_name: str,
    model: dsl.Model,
    rows: dsl.Dataset,
    champion: str,
    evaluation: dsl.Artifact,
    metrics: dsl.Metrics,
) -> tuple[str]:
    """``function``: the recipe's ``evaluate``, by reference; ``champion``: a version, or ''.

    -> one line with the metrics beside the baselines.
    """
    settings, champion_dir = targets.current_settings(), None
    if champion:
        registry = targets.registry(settings)
        version = find_version(registry.models(), f"{model_name}/{champion}")
        check_stored(registry.local_dir(version), version.digest)
        champion_dir = str(registry.local_dir(version, "weights"))
    figures = resolve(function)(model.path, rows.path, evaluation.path, champion_dir)
    for name, value in figures["metrics"].items():
        metrics.log_metric(name, value)
    for line in evaluation_lines(figures):
        logger.info(line)
    if (age := training_age_days(figures)) is not None:
        metrics.log_metric(TRAINING_AGE, age)
    if newest := newest_training_row(figures):
        evaluation.metadata[NEWEST_ROW] = newest.isoformat()
    if leak_check := figures.get("leak_check"):  # for lineage
        evaluation.metadata["assertions"] = [_leak_check(leak_check)]
    return (_line(figures),)


def _leak_check(check: dict[str, Any]) -> dict[str, Any]:
    """What was asserted of the input ``rows``."""
    return {
        "dataset": "rows",
        "assertion": "leak_check",
        "description": "Nothing of the golden set was seen in training",
        "success": check["ok"],
        "expected": "0 findings",
        "actual": f"{len(check['findings'])} findings",
    }


def _line(figures: dict[str, Any]) -> str:
    loss, others = figures["loss"], {**figures["baselines"], "champion": figures["champion"]}
    name, unit = loss["name"], f" {loss['unit']}" if loss["unit"] else ""

    def shown(metrics: dict[str, Any]) -> str:
        value = metrics.get(name)
        return "undefined" if value is None else f"{value:.3f}{unit}"

    beside = ", ".join(f"{other} {shown(one)}" for other, one in others.items() if one)
    line = f"{loss['title']} {shown(figures['metrics'])}"
    return f"{line} (beside {beside})" if beside else line
