"""The gate's decision, from the evaluation and the recipe's thresholds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from recipes.train_deploy.recipe import RECIPE

from platform_ctl.domain import gate

if TYPE_CHECKING:
    from kfp import dsl


def run(evaluation: dsl.Artifact, decision: dsl.Artifact) -> tuple[str, list[str], str]:
    """-> verdict, reasons, one line. ``decision.path`` holds the figures as JSON."""
    folder = Path(evaluation.path)
    decided = gate.decide_from(folder, RECIPE.gate)
    Path(decision.path).write_text(json.dumps(decided.as_dict(), indent=2, sort_keys=True))
    return str(decided.verdict), list(decided.reasons), "; ".join(decided.reasons)
