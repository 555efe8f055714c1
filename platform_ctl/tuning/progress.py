"""Where a search stands: Katib's status from its trials, and what to do next. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec

from platform_ctl.errors import UnknownName
from platform_ctl.progress import Progress
from platform_ctl.tuning.experiment import (
    Condition,
    ConditionType,
    Experiment,
    ExperimentStatus,
    OptimalTrial,
    Trial,
    TrialState,
)
from platform_ctl.tuning.metrics import objective_value

GOAL_REACHED = "ExperimentGoalReached"
MAX_TRIALS_REACHED = "ExperimentMaxTrialsReached"
SUGGESTION_END_REACHED = "ExperimentSuggestionEndReached"
FAILED = "ExperimentFailed"
BUDGET_REACHED = "ExperimentBudgetReached"
"""The only reason that is ours: Katib has no budget."""


@dataclass(frozen=True)
class End:
    """How a search ends: the condition to set, and why."""

    type: ConditionType
    reason: str
    message: str


def scored(experiment: Experiment, trials: Sequence[Trial]) -> list[tuple[Trial, float]]:
    """Trials that count for the optimum (succeeded or stopped early), with their scores."""
    usable = (TrialState.SUCCEEDED, TrialState.EARLY_STOPPED)
    objective = experiment.spec.objective
    pairs = [(t, objective_value(objective, t.observation)) for t in trials if t.state in usable]
    return [(t, v) for t, v in pairs if v is not None]


def best(experiment: Experiment, trials: Sequence[Trial]) -> tuple[Trial, float] | None:
    """The best scored trial; the earlier one on a tie."""
    objective = experiment.spec.objective
    leader: tuple[Trial, float] | None = None
    for trial, value in sorted(scored(experiment, trials), key=lambda pair: pair[0].number):
        if leader is None or objective.better(value, leader[1]):
            leader = (trial, value)
    return leader


def end_of(experiment: Experiment, trials: Sequence[Trial]) -> End | None:
    """Whether the search is over by Katib's rules, judged in Katib's order: goal, failures, count.

    Failures are Failed and MetricsUnavailable trials.
    """
    spec = experiment.spec
    top = best(experiment, trials)
    if top is not None and spec.objective.reached(top[1]):
        return End("Succeeded", GOAL_REACHED, f"the goal is reached: {top[1]:.6g} by {top[0].name}")
    bad = (TrialState.FAILED, TrialState.METRICS_UNAVAILABLE)
    failed = sum(t.state in bad for t in trials)
    limit = spec.max_failed_trial_count
    if limit is not None and failed and failed >= limit:
        return End("Failed", FAILED, f"{failed} trials failed; maxFailedTrialCount is {limit}")
    done = sum(t.state.is_final for t in trials)
    if spec.max_trial_count is not None and done >= spec.max_trial_count:
        return End("Succeeded", MAX_TRIALS_REACHED, f"all {done} trials are done")
    return None


def to_start(experiment: Experiment, trials: Sequence[Trial]) -> int:
    """How many trials may start now under parallelTrialCount and maxTrialCount."""
    spec = experiment.spec
    active = sum(not t.state.is_final for t in trials)
    room = spec.parallel_trial_count - active
    if spec.max_trial_count is not None:
        room = min(room, spec.max_trial_count - len(trials))
    return max(0, room)


def summarise(
    experiment: Experiment, trials: Sequence[Trial], *, before: ExperimentStatus, now: datetime
) -> ExperimentStatus:
    """The status of these trials; conditions and times are carried over from ``before``."""

    def named(state: TrialState) -> tuple[str, ...]:
        return tuple(t.name for t in trials if t.state is state)

    lists = {
        "running_trial_list": named(TrialState.RUNNING),
        "pending_trial_list": named(TrialState.CREATED),
        "failed_trial_list": named(TrialState.FAILED),
        "succeeded_trial_list": named(TrialState.SUCCEEDED),
        "killed_trial_list": named(TrialState.KILLED),
        "early_stopped_trial_list": named(TrialState.EARLY_STOPPED),
        "metrics_unavailable_trial_list": named(TrialState.METRICS_UNAVAILABLE),
    }
    top = best(experiment, trials)
    optimal = OptimalTrial()
    if top is not None and top[0].observation is not None:
        optimal = OptimalTrial(top[0].name, top[0].parameter_assignments, top[0].observation)
    return msgspec.structs.replace(
        before,
        last_reconcile_time=now,
        current_optimal_trial=optimal,
        trials=len(trials),
        trials_succeeded=len(lists["succeeded_trial_list"]),
        trials_failed=len(lists["failed_trial_list"]),
        trials_killed=len(lists["killed_trial_list"]),
        trials_pending=len(lists["pending_trial_list"]),
        trials_running=len(lists["running_trial_list"]),
        trials_early_stopped=len(lists["early_stopped_trial_list"]),
        trial_metrics_unavailable=len(lists["metrics_unavailable_trial_list"]),
        **lists,
    )


def begun(now: datetime) -> ExperimentStatus:
    """The status of a search that has just been created."""
    created = ExperimentStatus(start_time=now)
    created = with_condition(created, End("Created", "ExperimentCreated", "created"), now=now)
    return with_condition(created, End("Running", "ExperimentRunning", "running"), now=now)


def with_condition(status: ExperimentStatus, end: End, *, now: datetime) -> ExperimentStatus:
    """``status`` with one more true condition; a final one ends Running and sets the time.

    Restarting makes the search run again: earlier final conditions become false.
    """
    false_now = {
        "Succeeded": ("Running", "Restarting"),
        "Failed": ("Running", "Restarting"),
        "Restarting": ("Succeeded", "Failed", "Running"),
        "Running": ("Restarting",),
    }.get(end.type, ())
    earlier = tuple(
        msgspec.structs.replace(c, status="False", last_update_time=now, last_transition_time=now)
        if c.type in false_now and c.status == "True"
        else c
        for c in status.conditions
        if c.type != end.type
    )
    condition = Condition(end.type, "True", end.reason, end.message, now, now)
    final = end.type in ("Succeeded", "Failed")
    return msgspec.structs.replace(
        status, conditions=(*earlier, condition), completion_time=now if final else None
    )


def is_restartable(experiment: Experiment, status: ExperimentStatus) -> bool:
    """Katib's rule: only a search that ended at maxTrialCount, and whose resumePolicy keeps it."""
    outcome = status.outcome
    return (
        outcome is not None
        and outcome.reason == MAX_TRIALS_REACHED
        and experiment.spec.resume_policy in ("LongRunning", "FromVolume")
    )


def wall_s(status: ExperimentStatus) -> float:
    """From the start of a search to its end; 0.0 while it runs."""
    if status.start_time is None or status.completion_time is None:
        return 0.0
    return (status.completion_time - status.start_time).total_seconds()


def finished_trials(read: Callable[[], Sequence[Trial]]) -> dict[str, Trial]:
    """By name, the trials of an earlier part of a search; ``read`` may raise UnknownName."""
    try:
        return {trial.name: trial for trial in read() if trial.state.is_final}
    except UnknownName:
        return {}


@dataclass
class TrialLines:
    """Counts the trials of a search as they end: give it to ``on_trial``."""

    experiment: Experiment
    write: Callable[[Progress], None]
    ended: dict[str, Trial] = field(default_factory=dict)
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __call__(self, trial: Trial) -> None:
        if not trial.state.is_final or trial.name in self.ended:
            return
        self.ended[trial.name] = trial
        top = best(self.experiment, list(self.ended.values()))
        metric = self.experiment.spec.objective.objective_metric_name
        self.write(
            Progress(
                done=len(self.ended),
                total=self.experiment.spec.max_trial_count or 0,
                unit="trials",
                started_at=self.started_at,
                at=datetime.now(UTC),
                figures={f"best {metric}": top[1]} if top else {},
                newest=self._in_words(trial, metric),
            )
        )

    def _in_words(self, trial: Trial, metric: str) -> str:
        value = objective_value(self.experiment.spec.objective, trial.observation)
        reached = trial.state.value if value is None else f"{metric} {value:.4g}"
        chosen = [f"{name} {_short(text)}" for name, text in trial.parameters.items()]
        return ", ".join([*chosen, reached])


def _short(value: str) -> str:
    try:
        return f"{float(value):.4g}"
    except ValueError:
        return value


def cut_short(status: ExperimentStatus) -> str:
    """What of the budget ended the search, as a sentence; empty when it was not the budget."""
    ended = status.outcome
    return ended.message if ended and ended.reason == BUDGET_REACHED else ""
