"""A threshold of the gate was set to 0.15 where 1.5 was meant. The gate said ``failed``, its
condition was false, and a false condition leaves a run green: the verdict is the answer, not
the colour.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from learning import states
from learning.lab import GREEN_RUN, RepairState
from learning.sandbox import CHALLENGER, Sandbox

NAME = "green-run-1"
FAMILY = GREEN_RUN
SYMPTOM = "The run is green. The model that it trained is not in the registry."
CAUSE = "gate-ceiling"
RUNBOOK = "runbooks/alerts/mlflow-registry-promotion-blocked.md"
HINTS = (
    "Green says that nothing crashed. What did the gate say? platform-ctl run show latest",
    "Is the figure bad, or what it is held against?",
    "Thresholds stand in recipes/train_deploy/recipe.py, each with its reason",
)
_FILE = "recipes/train_deploy/recipe.py"


def inject(sandbox: Sandbox) -> dict[str, Any]:
    sandbox.edit(_FILE, "max_loss=1.5", "max_loss=0.15")
    return {"run": sandbox.run_pipeline(*CHALLENGER)}


def is_repaired(sandbox: Sandbox, facts: Mapping[str, Any]) -> RepairState:
    text = (sandbox.project / _FILE).read_text(encoding="utf-8")
    if "max_loss=1.5," not in text:
        return RepairState(False, "the ceiling is not the one that was agreed on (1.5)")
    return states.staged_by_newest_run(sandbox, facts["run"])
