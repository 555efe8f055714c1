"""The events of the training step were lost: the disk of the event log was full for a minute. The
graph ended at the model, with no edge from the rows to it. Nothing else was wrong: the run's own
records knew it all, and the missing events were written again from them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from learning.lab import RepairState
from learning.sandbox import Sandbox

NAME = "no-origin"
SYMPTOM = (
    "An auditor asks which data the model in Staging was trained on. The lineage graph does not "
    "say: the model comes from nowhere."
)
CAUSE = "events-lost"
RUNBOOK = "runbooks/errors/target.md"
HINTS = (
    "Which run made the model? platform-ctl model show weekly-commits@staging",
    "Which steps of that run told anything? platform-ctl lineage events RUN, against run show RUN",
    "What is missing can be made from the records: platform-ctl lineage repair --help",
)
_STEP = "train"


def inject(sandbox: Sandbox) -> dict[str, Any]:
    run_id = sandbox.version("staging")["tags"]["run_id"]
    for file in _logs(sandbox):
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
        remaining = [line for line in lines if not _is_of(line, run_id, _STEP)]
        file.write_text("".join(remaining), encoding="utf-8")
    return {"run": run_id}


def is_repaired(sandbox: Sandbox, facts: Mapping[str, Any]) -> RepairState:
    run = sandbox.read("run", "show", facts["run"])
    if run is None:
        return RepairState(False, "the record of the model's run is gone")
    steps = {t["name"] for t in run["tasks"] if t["state"] in ("SUCCEEDED", "CACHED")}
    reported = {s for s in steps if _completed(sandbox, facts["run"], s)}
    if reported != steps:
        return RepairState(False, f"nothing is told of {', '.join(sorted(steps - reported))}")
    return RepairState(True, "every step of the model's run is in the graph")


def _logs(sandbox: Sandbox) -> list[Path]:
    return sorted((sandbox.home / "lineage").glob("events-*.jsonl"))


def _completed(sandbox: Sandbox, run_id: str, step: str) -> bool:
    return any(
        _is_of(line, run_id, step) and json.loads(line)["eventType"] == "COMPLETE"
        for file in _logs(sandbox)
        for line in file.read_text(encoding="utf-8").splitlines()
    )


def _is_of(line: str, run_id: str, step: str) -> bool:
    """Whether a line is an event of a step of the run."""
    if run_id not in line:
        return False
    return json.loads(line)["job"]["name"].split(".")[-1] == step
