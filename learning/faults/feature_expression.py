"""A feature named a column that the weekly table does not have. DuckDB said so in the log of
``extract``, the first step that computes features; nothing after it was started, and nothing
before it was wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from learning import states
from learning.lab import RepairState
from learning.sandbox import SMALL, Sandbox

NAME = "failed-step"
SYMPTOM = "The weekly run failed in the night. Nobody touched the machine. Forecasts are old."
CAUSE = "feature-expression"
RUNBOOK = "runbooks/alerts/kfp-pipeline-failed-step-debug.md"
HINTS = (
    "Which step failed? platform-ctl run show latest",
    "What did it say itself? platform-ctl run logs latest extract, the last lines",
    "The name in the message stands in recipes/train_deploy/features/definitions.py",
)
_FILE = "recipes/train_deploy/features/definitions.py"


def inject(sandbox: Sandbox) -> dict[str, Any]:
    sandbox.edit(_FILE, 'total("files", 4)', 'total("files_touched", 4)')
    return {"run": sandbox.run_pipeline(*SMALL, may_fail=True)}


def is_repaired(sandbox: Sandbox, facts: Mapping[str, Any]) -> RepairState:
    if not states.run_is_kept(sandbox, facts["run"]):
        return RepairState(False, "the record of the failed run is gone")
    run = sandbox.newest_run()
    if run["state"] != "SUCCEEDED":
        return RepairState(False, f"the newest run is {run['state']}")
    if "files_4w" not in (sandbox.project / _FILE).read_text(encoding="utf-8"):
        return RepairState(False, "the feature was thrown out; the champion needs it")
    return RepairState(True, "the newest run succeeded")
