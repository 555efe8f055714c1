"""Katib's Trials and Experiments (kubeflow.org/v1beta1), read into this platform's values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from platform_ctl.tuning.experiment import (
    Assignment,
    Condition,
    Experiment,
    ExperimentStatus,
    Metric,
    Observation,
    OptimalTrial,
    Trial,
    TrialState,
)
from platform_ctl.tuning.kubernetes.findings import JOB_NAME
from platform_ctl.tuning.progress import summarise
from platform_ctl.tuning.template import primary_container

STATES = {state.value for state in TrialState}
Pods = Sequence[Mapping[str, Any]]
NO_PODS: Mapping[str, Pods] = {}


def read_trials(
    objects: Sequence[Mapping[str, Any]], cpus: float, pods: Mapping[str, Pods] = NO_PODS
) -> list[Trial]:
    """In order of creation. ``cpus``: what one trial's pod reserves, for its cost; ``pods``: as
    from ``pods_by_trial``."""
    ordered = sorted(
        objects, key=lambda o: (o["metadata"]["creationTimestamp"], o["metadata"]["name"])
    )
    trials = [_trial(number, trial) for number, trial in enumerate(ordered)]
    return [_charged(trial, pods.get(trial.name, ()), cpus) for trial in trials]


def pods_by_trial(pods: Pods) -> dict[str, Pods]:
    """The pods of a search by the names of their trials, those that are there."""
    by_trial: dict[str, list[Mapping[str, Any]]] = {}
    for pod in pods:
        by_trial.setdefault(pod["metadata"].get("labels", {}).get(JOB_NAME, ""), []).append(pod)
    return dict(by_trial)


def _charged(trial: Trial, pods: Pods, cpus: float) -> Trial:
    """With the CPU seconds that its pods reserved, and its start when the first got a node: a pod
    that waits for one reserves nothing. Once its pods are gone, Katib's times are all there is."""
    spans = [span for pod in pods if (span := _reserved(pod))]
    if not spans and not trial.state.is_final:
        return msgspec.structs.replace(trial, start_time=None)
    if not spans:
        return msgspec.structs.replace(trial, cpu_s=round((trial.wall_s or 0.0) * cpus, 3))
    seconds = sum((end - begin).total_seconds() for begin, end in spans if end)
    begun = min(begin for begin, _ in spans)
    return msgspec.structs.replace(trial, start_time=begun, cpu_s=round(seconds * cpus, 3))


def _reserved(pod: Mapping[str, Any]) -> tuple[datetime, datetime | None] | None:
    """From when a node was found until its last container ended; None before the first."""
    status = pod.get("status", {})
    placed = [c for c in status.get("conditions", []) if c["type"] == "PodScheduled"]
    begun = _time(placed[0]["lastTransitionTime"]) if placed and _is_true(placed[0]) else None
    if begun is None:
        return None
    containers = status.get("containerStatuses", [])
    ends = [_time(c.get("state", {}).get("terminated", {}).get("finishedAt")) for c in containers]
    known = [end for end in ends if end]
    return begun, max(known) if known and len(known) == len(ends) else None


def _trial(number: int, manifest: Mapping[str, Any]) -> Trial:
    status = manifest.get("status", {})
    holding = [c for c in status.get("conditions", []) if _is_true(c)]
    known = [c for c in holding if c["type"] in STATES]
    last = known[-1] if known else {}
    return Trial(
        name=manifest["metadata"]["name"],
        number=number,
        parameter_assignments=_assignments(manifest["spec"].get("parameterAssignments", [])),
        state=TrialState(last.get("type", "Created")),
        reason=str(last.get("reason", "")),
        message="" if last.get("type") == "Succeeded" else str(last.get("message", "")),
        start_time=_time(status.get("startTime")),
        completion_time=_time(status.get("completionTime")),
        observation=_observation(status.get("observation")),
    )


def read_status(
    experiment: Experiment, manifest: Mapping[str, Any], trials: Sequence[Trial], now: datetime
) -> ExperimentStatus:
    """Counts and lists from the trials; conditions, times and the best trial from Katib."""
    status = manifest.get("status", {})
    before = ExperimentStatus(
        start_time=_time(status.get("startTime")),
        completion_time=_time(status.get("completionTime")),
        conditions=tuple(_condition(c) for c in status.get("conditions", [])),
    )
    summary = summarise(experiment, trials, before=before, now=now)
    best = status.get("currentOptimalTrial") or {}
    if not best.get("bestTrialName"):
        return summary
    optimal = OptimalTrial(
        best["bestTrialName"],
        _assignments(best.get("parameterAssignments", [])),
        _observation(best.get("observation")) or Observation(),
    )
    return msgspec.structs.replace(summary, current_optimal_trial=optimal)


def reserved_cpus(experiment: Experiment) -> float:
    """CPUs that the pod of one trial requests: what a cluster charges for; 1 where none is said."""
    job = (experiment.spec.trial_template.trial_spec or {}).get("spec") or {}
    resources = primary_container(experiment, job).get("resources") or {}
    quantity = (resources.get("requests") or {}).get(
        "cpu", (resources.get("limits") or {}).get("cpu")
    )
    if quantity is None:
        return 1.0
    text = str(quantity)
    return float(text[:-1]) / 1000 if text.endswith("m") else float(text)


def _assignments(assignments: Sequence[Mapping[str, Any]]) -> tuple[Assignment, ...]:
    return tuple(Assignment(a["name"], str(a["value"])) for a in assignments)


def _observation(observation: Mapping[str, Any] | None) -> Observation | None:
    if not observation or not observation.get("metrics"):
        return None
    return Observation(
        tuple(Metric(m["name"], m["min"], m["max"], m["latest"]) for m in observation["metrics"])
    )


def _condition(condition: Mapping[str, Any]) -> Condition:
    fields = {
        **condition,
        "reason": condition.get("reason", ""),
        "message": condition.get("message", ""),
    }
    known = {"type", "status", "reason", "message", "lastUpdateTime", "lastTransitionTime"}
    return msgspec.convert({k: v for k, v in fields.items() if k in known}, Condition)


def _is_true(condition: Mapping[str, Any]) -> bool:
    return bool(condition["status"] == "True")


def _time(text: object) -> datetime | None:
    return datetime.fromisoformat(str(text)) if text else None
