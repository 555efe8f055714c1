"""Katib's controllers on the fake API server: they run each trial as a call in this process."""

from __future__ import annotations

import random
import re
from typing import Any

from platform_ctl.training.call import resolve
from tests.fakes.objects import FakeObjects, condition, stamp


class FakeKatib:
    """Give it to FakeObjects as a controller; each look moves every search one step.

    ``suggestion`` False: its service never becomes ready, ``suggestion_status`` being
    the container status of its pod; ``slow`` True: trials run and never end.
    """

    def __init__(
        self,
        objects: FakeObjects,
        *,
        suggestion: bool = True,
        suggestion_status: dict[str, Any] | None = None,
        slow: bool = False,
    ) -> None:
        self._objects = objects
        self._suggestion = suggestion
        self._suggestion_status = suggestion_status or {}
        self._slow = slow
        self.ran: list[dict[str, str]] = []
        objects.controllers.append(self.step)

    def step(self) -> None:
        for (kind, name), found in list(self._objects.objects.items()):
            if kind == "Experiment":
                self._reconcile(name, found)

    def _reconcile(self, name: str, found: dict[str, Any]) -> None:
        status = found.setdefault("status", {"startTime": stamp(), "conditions": []})
        if any(c["type"] in ("Succeeded", "Failed") for c in status["conditions"]):
            return
        status["conditions"] = [condition("Created", "ExperimentCreated"), condition("Running")]
        self._suggest(name)
        if not self._suggestion:
            return
        trials = self._trials(name)
        for trial in trials:
            self._run(found, trial)
        ends = ("Succeeded", "Failed", "MetricsUnavailable")
        done = [t for t in trials if t["status"]["conditions"][-1]["type"] in ends]
        limit = found["spec"].get("maxTrialCount", 10)
        if len(done) >= limit:
            status["completionTime"] = stamp()
            status["conditions"].append(condition("Succeeded", "ExperimentMaxTrialsReached", "ok"))
            self._choose(found, done)
            return
        room = found["spec"].get("parallelTrialCount", 3) - (len(trials) - len(done))
        for _ in range(min(room, limit - len(trials))):
            self._start(name, found, len(self._trials(name)))

    def _suggest(self, name: str) -> None:
        ready = condition("DeploymentReady" if self._suggestion else "DeploymentNotReady")
        document = {"apiVersion": "kubeflow.org/v1beta1", "kind": "Suggestion"}
        self._objects.put(
            {**document, "metadata": {"name": name}, "status": {"conditions": [ready]}}
        )
        labels = {"katib.kubeflow.org/experiment": name, "katib.kubeflow.org/suggestion": name}
        self._objects.put(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": f"{name}-tpe", "labels": labels},
                "status": {"containerStatuses": [self._suggestion_status]}
                if self._suggestion_status
                else {},
            }
        )

    def _start(self, name: str, found: dict[str, Any], number: int) -> None:
        chance = random.Random(f"{name}/{number}")
        given = [
            {"name": p["name"], "value": _value(chance, number, p["feasibleSpace"])}
            for p in found["spec"]["parameters"]
        ]
        self._objects.put(
            {
                "apiVersion": "kubeflow.org/v1beta1",
                "kind": "Trial",
                "metadata": {
                    "name": f"{name}-{number:04d}",
                    "labels": {"katib.kubeflow.org/experiment": name},
                },
                "spec": {"parameterAssignments": given},
                "status": {"startTime": stamp(), "conditions": [condition("Running")]},
            }
        )

    def _run(self, found: dict[str, Any], trial: dict[str, Any]) -> None:
        if self._slow or trial["status"]["conditions"][-1]["type"] != "Running":
            return
        job = found["spec"]["trialTemplate"]["trialSpec"]["spec"]
        words = job["template"]["spec"]["containers"][0]["command"]
        given = {a["name"]: a["value"] for a in trial["spec"]["parameterAssignments"]}
        self.ran.append(given)
        function = next(w.partition("=")[2] for w in words if w.startswith("--function="))
        reports: list[dict[str, float]] = []
        try:
            reports.append(resolve(function)(given, report=reports.append))
            self._observe(found, trial, reports)
        except ValueError as exc:
            self._end(trial, "Failed", "TrialFailed", str(exc))

    def _observe(
        self, found: dict[str, Any], trial: dict[str, Any], reports: list[dict[str, float]]
    ) -> None:
        metric = found["spec"]["objective"]["objectiveMetricName"]
        seen = [r[metric] for r in reports if r.get(metric) == r.get(metric) and metric in r]
        if not seen:
            self._end(trial, "MetricsUnavailable", "MetricsUnavailable", "not reported")
            return
        least, most, last = (repr(f(seen)) for f in (min, max, lambda s: s[-1]))
        value = {"name": metric, "min": least, "max": most, "latest": last}
        trial["status"]["observation"] = {"metrics": [value]}
        self._end(trial, "Succeeded", "TrialSucceeded", "")

    def _end(self, trial: dict[str, Any], kind: str, reason: str, message: str) -> None:
        trial["status"]["conditions"].append(condition(kind, reason, message))
        trial["status"]["completionTime"] = stamp()

    def _choose(self, found: dict[str, Any], done: list[dict[str, Any]]) -> None:
        scored = [t for t in done if t["status"].get("observation")]
        if not scored:
            return
        best = min(scored, key=lambda t: float(t["status"]["observation"]["metrics"][0]["min"]))
        found["status"]["currentOptimalTrial"] = {
            "bestTrialName": best["metadata"]["name"],
            "parameterAssignments": best["spec"]["parameterAssignments"],
            "observation": best["status"]["observation"],
        }

    def _trials(self, name: str) -> list[dict[str, Any]]:
        label = "katib.kubeflow.org/experiment"
        return [
            o
            for (kind, _), o in self._objects.objects.items()
            if kind == "Trial" and o["metadata"]["labels"][label] == name
        ]


def _value(chance: random.Random, number: int, space: dict[str, Any]) -> str:
    if values := space.get("list"):
        return values[number % len(values)]
    return repr(chance.uniform(float(re.sub("_", "", space["min"])), float(space["max"])))
