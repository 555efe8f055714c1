"""The canary plan was changed after the approval had been asked for. An approval binds model,
evaluation, data, plan and champion by digest; when one of them changes, the answer was to
another question and is void. Ask again, and let a human look again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from learning.lab import RepairState
from learning.sandbox import Sandbox

NAME = "blocked-promotion"
SYMPTOM = (
    "Ann says she approved the model this morning. It is not in production, and there is no "
    "canary either."
)
CAUSE = "approval-void"
RUNBOOK = "runbooks/alerts/mlflow-registry-promotion-blocked.md"
HINTS = (
    "Walk the links: gate, registration, approval, canary, alias; the runbook has a command each",
    "What became of the request? platform-ctl approval list --all",
    "platform-ctl approval show says what has changed. If that is wanted, ask again",
)


def inject(sandbox: Sandbox) -> dict[str, Any]:
    request = sandbox.read("approval", "list")[0]["id"]
    sandbox.edit(
        "recipes/train_deploy/recipe.py",
        "weights_percent=(10, 25, 50, 100)",
        "weights_percent=(5, 25, 100)",
    )
    sandbox.call("approval", "approve", request, "--reason", "better than both", may_fail=True)
    return {"request": request}


def is_repaired(sandbox: Sandbox, facts: Mapping[str, Any]) -> RepairState:
    requests = {r["id"]: r["state"] for r in sandbox.read("approval", "list", "--all") or []}
    if requests.get(facts["request"]) != "void":
        return RepairState(False, "the first request is no longer on record as void")
    if "approved" not in requests.values():
        return RepairState(False, "no request is approved")
    if not sandbox.version("production")["version"]:
        return RepairState(False, "no version is in Production")
    return RepairState(True, "a fresh approval has brought the model to Production")
