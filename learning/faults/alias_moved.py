"""Somebody pointed the alias ``staging`` at the older version, in MLflow and by hand. The run
had done its work. Moves that the platform did not make are not in its history, and it warns of
them; running the pipeline again, or asking for the version by number, does not depend on them.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Mapping
from typing import Any

from learning import states
from learning.lab import GREEN_RUN, RepairState
from learning.sandbox import CHALLENGER, Sandbox

NAME = "green-run-4"
FAMILY = GREEN_RUN
SYMPTOM = "The run is green and says that its model is Staging. Staging is still last week's."
CAUSE = "alias-moved"
RUNBOOK = "runbooks/alerts/mlflow-registry-promotion-blocked.md"
HINTS = (
    "Is the model registered at all? platform-ctl model show weekly-commits",
    "Who moved which alias, and when? platform-ctl model show weekly-commits --history",
    "The history holds what the platform did. What it did not do, it warns of",
)


def inject(sandbox: Sandbox) -> dict[str, Any]:
    run = sandbox.run_pipeline(*CHALLENGER)
    before = sandbox.model()
    older = before["versions"][-1]["version"]
    with contextlib.closing(sqlite3.connect(sandbox.home / "mlflow" / "mlflow.db")) as db, db:
        db.execute(
            "UPDATE registered_model_aliases SET version = ? WHERE alias = 'staging'", (older,)
        )
    return {"run": run}


def is_repaired(sandbox: Sandbox, facts: Mapping[str, Any]) -> RepairState:
    stderr = sandbox.call("model", "list", may_fail=True).stderr
    if "warning:" in stderr:
        return RepairState(False, "an alias is not where the platform put it")
    return states.staged_by_newest_run(sandbox, facts["run"])
