"""The pipeline compared the verdict with ``passed``; the gate writes ``successful``. The
condition could never be true, so registration was skipped in a green run. Comparing free text
in a condition is what ``pipeline compile --check`` is there for: the IR had been edited by hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from learning import states
from learning.lab import GREEN_RUN, RepairState
from learning.sandbox import CHALLENGER, Sandbox

NAME = "green-run-2"
FAMILY = GREEN_RUN
SYMPTOM = "The run is green. Data science says the model is good. It is not in the registry."
CAUSE = "condition-false"
RUNBOOK = "runbooks/alerts/mlflow-registry-promotion-blocked.md"
HINTS = (
    "Compare the gate's verdict with what became of the step after it: "
    "platform-ctl run show latest",
    "Who decides whether register runs? Not the gate: the pipeline that reads its verdict",
    "platform-ctl pipeline compile --check compares the IR with its source",
)
_IR = "pipelines/compiled/train-deploy.yaml"
_RIGHT, _WRONG = "== 'successful'", "== 'passed'"


def inject(sandbox: Sandbox) -> dict[str, Any]:
    sandbox.edit(_IR, _RIGHT, _WRONG)
    return {"run": sandbox.run_pipeline(*CHALLENGER)}


def is_repaired(sandbox: Sandbox, facts: Mapping[str, Any]) -> RepairState:
    if _WRONG in (sandbox.project / _IR).read_text(encoding="utf-8"):
        return RepairState(False, "the next run will skip the registration again")
    return states.staged_by_newest_run(sandbox, facts["run"])
