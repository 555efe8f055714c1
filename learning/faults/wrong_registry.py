"""The run had a tracking URI of its own in its environment and registered the model there.
Both registries number their versions from one, so ``weekly-commits/1`` was said and
``weekly-commits/1`` existed: another model. Digests tell them apart, numbers do not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from learning import states
from learning.lab import GREEN_RUN, RepairState
from learning.sandbox import CHALLENGER, Sandbox

NAME = "green-run-5"
FAMILY = GREEN_RUN
SYMPTOM = "The run is green and names a version. That version is there, but it is an older model."
CAUSE = "wrong-registry"
RUNBOOK = "runbooks/alerts/mlflow-registry-promotion-blocked.md"
HINTS = (
    "Which run made the version? platform-ctl model show weekly-commits, the column run",
    "Neither deleted nor moved: was it ever in this registry?",
    "Look for another mlflow.db in the home. Where would a step get its address from?",
)


def inject(sandbox: Sandbox) -> dict[str, Any]:
    other = sandbox.home / "mlflow-experiments"
    other.mkdir()
    uri = f"sqlite:///{other}/mlflow.db"
    return {"run": sandbox.run_pipeline(*CHALLENGER, env={"PLATFORM_CTL_MLFLOW_TRACKING_URI": uri})}


def is_repaired(sandbox: Sandbox, facts: Mapping[str, Any]) -> RepairState:
    return states.staged_by_newest_run(sandbox, facts["run"])
