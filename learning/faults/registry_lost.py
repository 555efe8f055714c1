"""After the registration the registry's database was deleted. The run's record is right: it
did register the model. The artefacts are still there, and registering is idempotent: running
the pipeline again puts the model back, without training it again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from learning import states
from learning.lab import GREEN_RUN, RepairState
from learning.sandbox import CHALLENGER, Sandbox

NAME = "green-run-3"
FAMILY = GREEN_RUN
SYMPTOM = "The run is green and says that it registered its model. There is no such model."
CAUSE = "registry-lost"
RUNBOOK = "runbooks/alerts/mlflow-registry-promotion-blocked.md"
HINTS = (
    "Did the run register it? platform-ctl run show latest, the verdict of register",
    "What does the registry hold, beside this model? platform-ctl model list",
    "Look at the folder mlflow of the home: which files are there, and how old are they?",
)


def inject(sandbox: Sandbox) -> dict[str, Any]:
    run = sandbox.run_pipeline(*CHALLENGER)
    for file in (sandbox.home / "mlflow").glob("mlflow.db*"):
        file.unlink()
    return {"run": run}


def is_repaired(sandbox: Sandbox, facts: Mapping[str, Any]) -> RepairState:
    return states.staged_by_newest_run(sandbox, facts["run"])
