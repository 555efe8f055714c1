"""The trials waited for a lock file whose owner was long dead, and the Experiment had no
``activeDeadlineSeconds`` that would have ended them. A lock of the operating system dies with
its owner; a file does not.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from learning.lab import RepairState
from learning.sandbox import Sandbox

NAME = "stuck-trials"
SYMPTOM = "The search called nightly has been running for ever. Not one trial has finished."
CAUSE = "stale-lock"
RUNBOOK = "runbooks/alerts/katib-trials-stuck.md"
HINTS = (
    "What are the trials doing? platform-ctl experiment show nightly",
    "Each trial has a log: trials/*/trial.log in the folder that the line before ends with",
    "Is the process that the log names alive? Nothing frees its file but you",
)
_DEAD_PID = 2**22 + 1
"""Above the kernel's largest."""
_LOCK = "locks/dataset.lock"
_START_S = 60.0

_TRIAL = '''"""One trial: a parabola, once the dataset is free."""

import sys
import time
from pathlib import Path

lock, x = Path(sys.argv[1]), float(sys.argv[2])
while lock.exists():
    print(f"waiting for {lock.name}: {lock.read_text().strip()}", flush=True)
    time.sleep(1)
print(f"loss={(x - 0.3) ** 2}")
'''

_EXPERIMENT = """apiVersion: kubeflow.org/v1beta1
kind: Experiment
metadata: {{name: nightly, namespace: ml-training}}
spec:
  objective: {{type: minimize, objectiveMetricName: loss}}
  algorithm:
    algorithmName: random
    algorithmSettings: [{{name: random_state, value: "1"}}]
  maxTrialCount: 3
  parallelTrialCount: 2
  maxFailedTrialCount: 3
  parameters:
    - {{name: x, parameterType: double, feasibleSpace: {{min: "0", max: "1"}}}}
  metricsCollectorSpec: {{collector: {{kind: StdOut}}}}
  trialTemplate:
    primaryContainerName: trial
    trialParameters: [{{name: x, reference: x}}]
    trialSpec:
      apiVersion: batch/v1
      kind: Job
      spec:
        backoffLimit: 0
        template:
          spec:
            restartPolicy: Never
            containers:
              - name: trial
                image: python:3.11
                command: [python, nightly/trial.py, "{lock}", "${{trialParameters.x}}"]
"""


def inject(sandbox: Sandbox) -> dict[str, Any]:
    lock = sandbox.home / _LOCK
    lock.parent.mkdir(exist_ok=True)
    lock.write_text(f"held by pid {_DEAD_PID}\n", encoding="utf-8")
    folder = sandbox.project / "nightly"
    folder.mkdir()
    (folder / "trial.py").write_text(_TRIAL, encoding="utf-8")
    experiment = _EXPERIMENT.format(lock=lock)
    (folder / "experiment.yaml").write_text(experiment, encoding="utf-8")
    facts = sandbox.spawn("experiment", "run", "nightly/experiment.yaml")
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and not _logs(sandbox):
        time.sleep(0.2)
    return facts


def _logs(sandbox: Sandbox) -> list[Any]:
    return [p for p in sandbox.home.glob("tuning/nightly/trials/*/trial.log") if p.stat().st_size]


def is_repaired(sandbox: Sandbox, facts: Mapping[str, Any]) -> RepairState:
    if (sandbox.home / _LOCK).exists():
        return RepairState(False, "trials still have something to wait for")
    shown = sandbox.read("experiment", "show", "nightly") or {"trials": [], "status": {}}
    done = [t for t in shown["trials"] if t["state"] == "Succeeded"]
    if len(done) < 3:
        return RepairState(False, f"{len(done)} of 3 trials of nightly have succeeded")
    return RepairState(True, "every trial of nightly has succeeded")
