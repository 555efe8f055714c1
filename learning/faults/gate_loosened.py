"""The gate's thresholds had been widened until a model that had learned nothing passed. The
approval, the registry and the canary did what they should, and the canary was the first to
judge the model on rows with known answers: it rolled back. A canary is the last net, not the
gate.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from learning import states
from learning.lab import RepairState
from learning.sandbox import SMALL, Sandbox

NAME = "rolled-back"
SYMPTOM = (
    "The release of version 2 was rolled back at its first step. It had passed the gate, and it "
    "had been approved. Production is version 1 and answers."
)
CAUSE = "gate-loosened"
RUNBOOK = "runbooks/procedures/roll-back-a-release.md"
HINTS = (
    "Why was it rolled back? platform-ctl release show weekly-commits",
    "If its forecasts are that bad, why did the gate say yes? platform-ctl approval show latest",
    "Read the thresholds in recipes/train_deploy/recipe.py, and the search space in "
    "experiment.yaml beside it",
)
_RECIPE = "recipes/train_deploy/recipe.py"
_EXPERIMENT = "recipes/train_deploy/experiment.yaml"
_WIDENED = (
    ("max_loss=1.5", "max_loss=1e9"),
    ("min_gain_over_baseline=0.02", "min_gain_over_baseline=-1e9"),
    ("champion_margin=0.02", "champion_margin=1e9"),
    ('{"small": 1.10, "bursty": 1.10, "steady": 1.10}', "{}"),
)


def inject(sandbox: Sandbox) -> dict[str, Any]:
    _release_newest(sandbox)
    for old, new in _WIDENED:
        sandbox.edit(_RECIPE, old, new)
    sandbox.edit(_EXPERIMENT, 'min: "0.0003", max: "0.03"', 'min: "20", max: "40"')
    run = sandbox.run_pipeline(*SMALL)
    _release_newest(sandbox)
    return {"run": run, "bad": sandbox.model()["versions"][0]["version"]}


def _release_newest(sandbox: Sandbox) -> None:
    request = sandbox.read("approval", "list")[0]["id"]
    words = ("approval", "approve", request, "--reason", "passed the gate", "--wait")
    sandbox.call(*words, may_fail=True)


def is_repaired(sandbox: Sandbox, facts: Mapping[str, Any]) -> RepairState:
    if not states.run_is_kept(sandbox, facts["run"]):
        return RepairState(False, "the record of the bad model's run is gone")
    text = (sandbox.project / _RECIPE).read_text(encoding="utf-8")
    loose = [old for old, _ in _WIDENED if old not in text]
    if loose:
        return RepairState(False, "the gate would let the next bad model pass as well")
    if sandbox.newest_run()["id"] == facts["run"]:
        return RepairState(False, "no run since then shows that the gate does its work")
    if sandbox.version("staging")["version"] == facts["bad"]:
        return RepairState(False, f"version {facts['bad']} is still offered as Staging")
    services = sandbox.read("service", "list") or []
    if not any(s["state"] == "running" for s in services):
        return RepairState(False, "the service does not run")
    return RepairState(True, "the gate is as strict as it was, and production serves")
