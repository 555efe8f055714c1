"""The loop of one search: suggest, start, follow, judge, record, until an end is reached."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from platform_ctl.recipe.recipe import Budget
from platform_ctl.runs.budget import Spend, exhausted, trials_left
from platform_ctl.tuning.experiment import (
    Assignment,
    ConditionType,
    ExperimentStatus,
    Trial,
    TrialState,
)
from platform_ctl.tuning.local.executor import TrialExecutor, TrialOutcome
from platform_ctl.tuning.local.journal import Journal, SearchHistory, StatusLine, TrialLine
from platform_ctl.tuning.local.suggest import Suggestions
from platform_ctl.tuning.metrics import (
    MetricReport,
    UnreadableMetrics,
    medianstop_rule,
    objective_reports,
    objective_value,
    observe,
    should_stop,
    start_step,
)
from platform_ctl.tuning.progress import (
    BUDGET_REACHED,
    SUGGESTION_END_REACHED,
    End,
    best,
    end_of,
    summarise,
    to_start,
    with_condition,
)
from platform_ctl.tuning.template import deadline_s

TICK_S = 0.05
"""How often trials in flight are looked at when something may have to stop them."""


@dataclass(frozen=True)
class SearchLimits:
    """What may end the search or a trial beside the Experiment itself."""

    budget: Budget
    money_per_cpu_hour: float


class Search:
    """One search, from its story so far to its end. Use ``run`` once."""

    def __init__(
        self,
        story: SearchHistory,
        *,
        suggestions: Suggestions,
        executor: TrialExecutor,
        journal: Journal,
        limits: SearchLimits,
        workdir: Path,
        on_trial: Callable[[Trial], None],
    ) -> None:
        self._story = story
        self._experiment = story.experiment
        self._suggestions = suggestions
        self._executor = executor
        self._journal = journal
        self._limits = limits
        self._workdir = workdir
        self._on_trial = on_trial
        self._deadline_s = deadline_s(story.experiment)
        self._started: dict[str, float] = {}
        self._begun = time.monotonic()
        self._no_more_points = False

    def run(self) -> ExperimentStatus:
        """Until the end; trials in flight are stopped then. Interrupts leave a resumable story."""
        try:
            self._restart_unfinished()
            while (end := self._end()) is None:
                self._fill()
                for outcome in self._executor.wait(self._wait_s()):
                    self._finish(outcome)
                self._police()
            self._stop_in_flight(end)
        finally:
            self._executor.close()
        return self._conclude(end)

    # ---- starting -----------------------------------------------------------

    def _restart_unfinished(self) -> None:
        """Trials that were in flight when the search was killed run again, as suggested."""
        for trial in [t for t in self._story.in_order if not t.state.is_final]:
            self._suggestions.resume(trial.number, trial.parameters)
            self._start(trial)

    def _fill(self) -> None:
        room = to_start(self._experiment, list(self._story.trials.values()))
        remaining = trials_left(self._limits.budget, Spend(trials=len(self._story.trials)))
        for _ in range(room if remaining is None else min(room, remaining)):
            number = len(self._story.trials)
            parameters = self._suggestions.ask(number)
            if parameters is None:
                self._no_more_points = True
                return
            self._start(self._new_trial(number, parameters))
            if self._end() is not None:  # inline trials are over once they have started
                return

    def _new_trial(self, number: int, parameters: dict[str, str]) -> Trial:
        spec = self._experiment.spec
        rule = medianstop_rule(spec.early_stopping, spec.objective, self._story.trials.values())
        return Trial(
            name=trial_name(self._experiment.name, self._story.seed, number),
            number=number,
            parameter_assignments=tuple(Assignment(k, v) for k, v in parameters.items()),
            early_stopping_rules=(rule,) if rule else (),
        )

    def _start(self, trial: Trial) -> None:
        folder = self._workdir / "trials" / trial.name
        shutil.rmtree(folder, ignore_errors=True)  # left by a search that was killed
        folder.mkdir(parents=True)
        running = msgspec.structs.replace(trial, state=TrialState.RUNNING, start_time=_now())
        self._record(running)
        self._started[trial.name] = time.monotonic()
        self._executor.start(running, folder, lambda: self._judge(trial.name))
        for outcome in self._executor.wait(0):
            self._finish(outcome)

    # ---- following ----------------------------------------------------------

    def _running(self) -> list[Trial]:
        return [t for t in self._story.trials.values() if t.state is TrialState.RUNNING]

    def _police(self) -> None:
        """Stop trials that are past their deadline or fall to medianstop."""
        for trial in self._running():
            late = time.monotonic() - self._started[trial.name]
            if self._deadline_s is not None and late > self._deadline_s:
                self._executor.stop(trial.name)
                message = f"ran longer than activeDeadlineSeconds ({self._deadline_s:g} s)"
                self._close(trial, TrialState.FAILED, "DeadlineExceeded", message)
            elif trial.early_stopping_rules:
                self._judge(trial.name)

    def _judge(self, name: str) -> None:
        """Stop one trial if its rule or, for trials inside this thread, the budget says so."""
        trial = self._story.trials[name]
        if trial.state is not TrialState.RUNNING:
            return
        objective = self._experiment.spec.objective
        reports = objective_reports(self._readings(name), objective)
        if should_stop(trial.early_stopping_rules, objective, reports):
            self._executor.stop(name)
            rule = trial.early_stopping_rules[0]
            message = f"best of the first {rule.start_step} reports is worse than {rule.value}"
            self._close(trial, TrialState.EARLY_STOPPED, "TrialEarlyStopped", message)
        elif (reason := self._budget_reason()) is not None:
            self._executor.stop(name)
            self._close(trial, TrialState.KILLED, "BudgetReached", reason)

    def _readings(self, name: str) -> Sequence[MetricReport]:
        try:
            return self._executor.readings(name)
        except UnreadableMetrics:
            return ()

    def _finish(self, outcome: TrialOutcome) -> None:
        trial = self._story.trials[outcome.name]
        if trial.state is not TrialState.RUNNING:
            return
        if not outcome.ok:
            self._close(trial, TrialState.FAILED, outcome.reason, outcome.message)
            return
        objective = self._experiment.spec.objective
        name = objective.objective_metric_name
        try:
            readings = self._executor.readings(trial.name)
        except UnreadableMetrics as exc:
            self._close(trial, TrialState.METRICS_UNAVAILABLE, "UnreadableMetrics", str(exc))
            return
        seen = [r for r in readings if r.name == name]
        if objective_value(objective, observe(readings, objective)) is not None:
            self._close(trial, TrialState.SUCCEEDED, "TrialSucceeded", "")
        elif seen:
            message = f"{name} is not a finite number: {seen[-1].value or 'no digits'!s}"
            self._close(trial, TrialState.METRICS_UNAVAILABLE, "MetricNotFinite", message)
        else:
            message = f"{name} was never reported"
            if self._executor.mentions(trial.name, name):
                message += "; lines name it, but none in the form that is read: name=number"
            self._close(trial, TrialState.METRICS_UNAVAILABLE, "MetricsUnavailable", message)

    def _close(self, trial: Trial, state: TrialState, reason: str, message: str) -> None:
        """Record the end of a trial and tell the sampler."""
        objective = self._experiment.spec.objective
        readings = self._readings(trial.name)
        head = objective_reports(readings, objective)
        steps = start_step(self._experiment.spec.early_stopping)
        observed = observe(readings, objective) if readings else None
        done = msgspec.structs.replace(
            trial,
            state=state,
            reason=reason,
            message=message,
            completion_time=_now(),
            observation=observed,
            head=tuple(head[:steps]),
            cpu_s=self._executor.cpu_s(trial.name),
        )
        usable = state in (TrialState.SUCCEEDED, TrialState.EARLY_STOPPED)
        score = objective_value(objective, observed) if usable else None
        self._suggestions.tell(trial.number, score)
        self._record(done)

    # ---- ending -------------------------------------------------------------

    def _end(self) -> End | None:
        trials = list(self._story.trials.values())
        if (end := end_of(self._experiment, trials)) is not None:
            return end
        if (reason := self._budget_reason()) is not None:
            return self._budget_end(reason)
        if any(not t.state.is_final for t in trials):
            return None
        if trials_left(self._limits.budget, Spend(trials=len(trials))) == 0:
            return self._budget_end(f"{len(trials)} of {self._limits.budget.trials} trials used")
        if self._no_more_points:
            message = f"the algorithm has no more points after {len(trials)}"
            return End("Succeeded", SUGGESTION_END_REACHED, message)
        return None

    def _budget_reason(self) -> str | None:
        budget, rate = self._limits.budget, self._limits.money_per_cpu_hour
        if budget.wall_s is None and budget.cpu_s is None and budget.money is None:
            return None
        counts_cpu = budget.cpu_s is not None or budget.money is not None
        spend = Spend(wall_s=self.used_wall_s, cpu_s=self.used_cpu_s if counts_cpu else 0.0)
        return exhausted(budget, spend, money_per_cpu_hour=rate)

    def _budget_end(self, reason: str) -> End:
        in_flight = len(self._running())
        leader = best(self._experiment, list(self._story.trials.values()))
        stopped = f"; {in_flight} in flight stopped" if in_flight else ""
        kind: ConditionType = "Succeeded" if leader else "Failed"
        used = f"; best so far is {leader[0].name}" if leader else "; no usable trial"
        return End(kind, BUDGET_REACHED, f"budget: {reason}{stopped}{used}")

    def _stop_in_flight(self, end: End) -> None:
        for trial in self._running():
            self._executor.stop(trial.name)
            self._close(trial, TrialState.KILLED, end.reason, end.message)

    def _conclude(self, end: End) -> ExperimentStatus:
        status = with_condition(self._status(), end, now=_now())
        self._journal.write(StatusLine(status, self.used_wall_s))
        self._journal.publish(status)
        return status

    # ---- bookkeeping --------------------------------------------------------

    @property
    def used_wall_s(self) -> float:
        return self._story.used_wall_s + time.monotonic() - self._begun

    @property
    def used_cpu_s(self) -> float:
        """CPU of all trials, finished and in flight."""
        done = sum(t.cpu_s for t in self._story.trials.values() if t.state.is_final)
        return done + sum(self._executor.cpu_s(t.name) for t in self._running())

    def _wait_s(self) -> float:
        """Long when only an end of a trial can matter, short when a clock or a rule can."""
        budget = self._limits.budget
        watched = self._deadline_s is not None or any(
            limit is not None for limit in (budget.wall_s, budget.cpu_s, budget.money)
        )
        watched = watched or any(t.early_stopping_rules for t in self._running())
        return TICK_S if watched else 1.0

    def _status(self) -> ExperimentStatus:
        return summarise(
            self._experiment, self._story.in_order, before=self._story.status, now=_now()
        )

    def _record(self, trial: Trial) -> None:
        self._story.trials[trial.name] = trial
        self._journal.write(TrialLine(trial))
        self._on_trial(trial)


def trial_name(experiment: str, seed: int, number: int) -> str:
    """``<experiment>-<8 characters>``, the same for the same seed."""
    digest = hashlib.sha256(f"{experiment}/{seed}/{number}".encode()).hexdigest()
    return f"{experiment}-{digest[:8]}"


def _now() -> datetime:
    return datetime.now(UTC)
