"""The features were made to count commits from the moment they were committed, not from the
moment they were available. Commits that came late were then counted in rows whose event time
lay before their arrival: the model trained on what nobody could have known. A rebuilt history
looks better than the forecasts made from it; the auditor finds the rows by brute force.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from learning.lab import RepairState
from learning.late_commits import append_late_commits, count_late_commits
from learning.sandbox import Sandbox

NAME = "too-good"
SYMPTOM = (
    "Since the clean-up of the feature code the training error looks better than ever. The "
    "forecasts that people get are no better than before."
)
CAUSE = "future-seen"
RUNBOOK = "runbooks/errors/workload.md"
HINTS = (
    "Better in training, not in use: what does training see that use does not?",
    "Recompute rows from the commits themselves: platform-ctl data audit",
    "The column why names commits that came late. Where does the feature code ask when a commit "
    "became known? recipes/train_deploy/features/weekly.py",
)
_LATE = 60


def inject(sandbox: Sandbox) -> dict[str, Any]:
    append_late_commits(sandbox, _LATE)
    sandbox.edit(
        "recipes/train_deploy/features/weekly.py",
        "epoch_us(available_at) AS known_at",
        "epoch_us(committed_at) AS known_at",
    )
    return {}


def is_repaired(sandbox: Sandbox, facts: Mapping[str, Any]) -> RepairState:
    if count_late_commits(sandbox) < _LATE:
        return RepairState(False, "commits that came late are gone; they are not what was wrong")
    report = sandbox.read("data", "audit", "--rows", "300")
    if report is None or not report["ok"]:
        found = len(report["mismatches"]) if report else "no"
        return RepairState(False, f"the audit of 300 rows finds {found} mismatches")
    return RepairState(True, "no row sees what was not available")
