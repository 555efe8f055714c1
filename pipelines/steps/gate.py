"""The gate's decision, from the evaluation and the recipe's thresholds."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from platform_ctl import targets
from platform_ctl.recipe import gate, scores
from platform_ctl.recipe.recipe import resolve

if TYPE_CHECKING:
    from kfp import dsl

logger = logging.getLogger(__name__)


def run(
    thresholds: str,
    evaluation: dsl.Artifact,
    decision: dsl.Artifact,
) -> tuple[str, list[str]]:
    """``thresholds``: the recipe's GateThresholds, by reference.

    -> verdict, reasons. ``decision.path`` holds the figures as JSON.
    """
    targets.begin_step()
    figures, errors = scores.read(evaluation.path)
    decided = gate.decide(figures, errors, resolve(thresholds))
    text = json.dumps(decided.as_dict(), indent=2, sort_keys=True)
    Path(decision.path).write_text(text, encoding="utf-8")
    for reason in decided.reasons:
        logger.info("%s: %s", decided.verdict, reason)
    return str(decided.verdict), list(decided.reasons)
