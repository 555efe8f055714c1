"""A label in the golden set's file was edited. The file is pinned by digest, so ``resolve``
refused it before anything was trained: a model scored on changed rows cannot be compared with
any model before it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from learning import states
from learning.lab import RepairState
from learning.sandbox import SMALL, Sandbox

NAME = "failed-at-once"
SYMPTOM = "Every run fails within a second, on every branch. Last week's code fails as well."
CAUSE = "golden-changed"
RUNBOOK = "runbooks/errors/workload.md"
HINTS = (
    "Which step? platform-ctl run show latest",
    "The id of its error has a line in runbooks/errors/workload.md",
    "Put back the old bytes, or pin a new set and say why: platform-ctl data golden refresh",
)


def inject(sandbox: Sandbox) -> dict[str, Any]:
    files = [p for p in sandbox.home.glob("golden/*/*.json") if p.name != "pin.json"]
    text = files[0].read_text(encoding="utf-8")
    changed = re.sub(r"\d(?=\D*$)", lambda m: str((int(m[0]) + 1) % 10), text, count=1)
    files[0].write_text(changed, encoding="utf-8")
    return {"run": sandbox.run_pipeline(*SMALL, may_fail=True)}


def is_repaired(sandbox: Sandbox, facts: Mapping[str, Any]) -> RepairState:
    if not states.run_is_kept(sandbox, facts["run"]):
        return RepairState(False, "the record of the failed run is gone")
    if sandbox.read("data", "golden", "show") is None:
        return RepairState(False, "there is no golden set that can be trusted")
    run = sandbox.newest_run()
    if run["state"] != "SUCCEEDED":
        return RepairState(False, f"the newest run is {run['state']}")
    return RepairState(True, "the golden set is the pinned one, and the newest run succeeded")
