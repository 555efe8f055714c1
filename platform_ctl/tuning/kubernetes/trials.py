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
from platform_ctl.tuning.progress import summarise
from platform_ctl.tuning.template import primary_container

STATES = {state.value for state in TrialState}


def read_trials(objects: Sequence[Mapping[str, Any]], cpus: float) -> list[Trial]:
    """In order of creation. ``cpus``: what one trial's pod reserves, for its cost."""
    ordered = sorted(
        objects, key=lambda o: (o["metadata"]["creationTimestamp"], o["metadata"]["name"])
    )
    return [_trial(number, trial, cpus) for number, trial in enumerate(ordered)]


def _trial(number: int, manifest: Mapping[str, Any], cpus: float) -> Trial:
    status = manifest.get("status", {})
    holding = [c for c in status.get("conditions", []) if c["status"] == "True"]
    known = [c for c in holding if c["type"] in STATES]
    last = known[-1] if known else {}
    trial = Trial(
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
    return msgspec.structs.replace(trial, cpu_s=round((trial.wall_s or 0.0) * cpus, 3))


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


def _time(text: object) -> datetime | None:
    return datetime.fromisoformat(str(text)) if text else None
