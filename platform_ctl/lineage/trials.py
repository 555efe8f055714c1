"""Trials of a search as OpenLineage runs: children of the task that searched.

Written in one go from the search's record when its task has ended, so that the
search itself does nothing for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from platform_ctl.lineage import events as lineage
from platform_ctl.lineage.datasets import inputs, reference
from platform_ctl.lineage.facets import Event, Producer
from platform_ctl.runs.record import Run, Task
from platform_ctl.tuning.experiment import Experiment, Trial, TrialState
from platform_ctl.tuning.metrics import objective_value

_JOB = "trial"
_ENDS = {
    TrialState.SUCCEEDED: "COMPLETE",
    TrialState.EARLY_STOPPED: "COMPLETE",
    TrialState.FAILED: "FAIL",
    TrialState.METRICS_UNAVAILABLE: "FAIL",
}
"""How a trial ends; one that was killed, or was still running when its task ended, is aborted."""


def trial_events(
    run: Run,
    task: Task,
    experiment: Experiment,
    trials: Sequence[Trial],
    by: Producer,
    about: str = "",
) -> list[Event]:
    """START and COMPLETE, FAIL or ABORT of each trial that was started, in the order of time."""
    read = [reference(d) for d in inputs(run, task, by)]
    ended = task.ended_at or run.created_at
    events = []
    for trial in trials:
        if trial.start_time is None:
            continue
        what = (_JOB, lineage.TRIAL, trial.name)
        end, error = _ENDS.get(trial.state, "ABORT"), {}
        if end == "FAIL":
            error = {"errorMessage": lineage.error(trial.message or trial.reason, by)}
        facets = {"platform_trial": _facet(experiment, trial, by)}
        done = {"platform_trial": {**facets["platform_trial"], **_result(experiment, trial)}}
        at = _utc(trial.completion_time) if trial.completion_time else ended
        events += [
            lineage.child(run, task, what, "START", _utc(trial.start_time), by,
                          about=about, facets=facets),
            lineage.child(run, task, what, end, at, by,
                          about=about, facets={**done, **error}, inputs=read),
        ]  # fmt: skip
    return sorted(events, key=lambda e: e["eventTime"])


def _facet(experiment: Experiment, trial: Trial, by: Producer) -> dict[str, Any]:
    """What is known when a trial starts."""
    objective = experiment.spec.objective
    return by.own(
        "PlatformTrialRunFacet",
        experiment=experiment.name,
        trial=trial.name,
        number=trial.number,
        parameters=trial.parameters,
        objective={"metric": objective.objective_metric_name, "type": objective.type},
    )


def _result(experiment: Experiment, trial: Trial) -> dict[str, Any]:
    """What its end adds; the objective has no value when no finite one was reported."""
    objective = experiment.spec.objective
    value = objective_value(objective, trial.observation)
    document = {"metric": objective.objective_metric_name, "type": objective.type}
    observed = trial.observation.metrics if trial.observation else ()
    return {
        "state": str(trial.state),
        "objective": document if value is None else {**document, "value": value},
        "metrics": {m.name: {"min": m.min, "max": m.max, "latest": m.latest} for m in observed},
        "cpuSeconds": trial.cpu_s,
    }


def _utc(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
