"""A hyperparameter search in Katib's own words: the Experiment, its trials, its status.

The structs mirror ``kubeflow.org/v1beta1`` (camelCase JSON, numbers of a
feasible space as strings), so that one document serves both targets. Decoding
checks types and enums, which the published API models leave open;
``tuning_check`` adds the rules across fields. Pure values: no file is read here.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

import msgspec

from platform_ctl.errors import BadExperiment, SearchFailed

META_KEYS = frozenset({"Name", "Namespace", "Kind", "APIVersion", "Annotations", "Labels"})
"""What ``${trialSpec.KEY}`` may refer to in a trialParameter."""

UNAVAILABLE = "unavailable"
"""Katib's word for a metric that was never reported."""


class Katib(
    msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, forbid_unknown_fields=True
):
    """Base of everything that is part of the document: camelCase, unknown fields are errors."""


# ---- spec ---------------------------------------------------------------


class FeasibleSpace(Katib, frozen=True):
    max: str = ""
    min: str = ""
    list: tuple[str, ...] = ()
    step: str = ""
    distribution: Literal["", "uniform", "logUniform", "normal", "logNormal", "unknown"] = ""


class Parameter(Katib, frozen=True):
    name: str
    parameter_type: Literal["double", "int", "discrete", "categorical", "unknown"]
    feasible_space: FeasibleSpace

    @property
    def is_number(self) -> bool:
        return self.parameter_type in ("double", "int")


class MetricStrategy(Katib, frozen=True):
    name: str
    value: Literal["min", "max", "latest"]


class Objective(Katib, frozen=True):
    type: Literal["minimize", "maximize"]
    objective_metric_name: str
    goal: float | None = None
    additional_metric_names: tuple[str, ...] = ()
    metric_strategies: tuple[MetricStrategy, ...] = ()

    @property
    def metric_names(self) -> tuple[str, ...]:
        """The objective first, as Katib's collector expects."""
        return (self.objective_metric_name, *self.additional_metric_names)

    def strategy(self, metric: str) -> str:
        """min | max | latest: as written, else the extreme that the objective's type wants."""
        for strategy in self.metric_strategies:
            if strategy.name == metric:
                return strategy.value
        return "min" if self.type == "minimize" else "max"

    def better(self, left: float, right: float) -> bool:
        return left < right if self.type == "minimize" else left > right

    def reached(self, value: float) -> bool:
        """Whether ``value`` ends the search; False without a goal."""
        return self.goal is not None and not self.better(self.goal, value)


class AlgorithmSetting(Katib, frozen=True):
    name: str
    value: str


class Algorithm(Katib, frozen=True):
    algorithm_name: str
    algorithm_settings: tuple[AlgorithmSetting, ...] = ()

    @property
    def settings(self) -> dict[str, str]:
        return {s.name: s.value for s in self.algorithm_settings}


class TrialParameter(Katib, frozen=True):
    name: str
    reference: str
    description: str = ""


class TrialTemplate(Katib, frozen=True):
    trial_parameters: tuple[TrialParameter, ...]
    primary_container_name: str
    trial_spec: dict[str, Any] | None = None
    config_map: dict[str, str] | None = None
    retain: bool = False
    primary_pod_labels: dict[str, str] = {}
    success_condition: str = ""
    failure_condition: str = ""


class FileSystemPath(Katib, frozen=True):
    kind: Literal["", "File", "Directory"] = ""
    path: str = ""
    format: Literal["", "TEXT", "JSON"] = ""


class MetricFilter(Katib, frozen=True):
    metrics_format: tuple[str, ...] = ()


class MetricSource(Katib, frozen=True):
    http_get: dict[str, Any] | None = None
    file_system_path: FileSystemPath | None = None
    filter: MetricFilter | None = None


class Collector(Katib, frozen=True):
    kind: Literal[
        "StdOut", "File", "TensorFlowEvent", "PrometheusMetric", "Custom", "Push", "None"
    ] = "StdOut"
    custom_collector: dict[str, Any] | None = None


class MetricsCollector(Katib, frozen=True):
    collector: Collector = Collector()
    source: MetricSource | None = None

    @property
    def file(self) -> FileSystemPath:
        """Where the File collector reads; Katib's defaults filled in."""
        declared = self.source.file_system_path if self.source else None
        declared = declared or FileSystemPath()
        return FileSystemPath(
            "File", declared.path or "/var/log/katib/metrics.log", declared.format or "TEXT"
        )

    @property
    def filters(self) -> tuple[str, ...]:
        return self.source.filter.metrics_format if self.source and self.source.filter else ()


class ExperimentSpec(Katib, frozen=True):
    objective: Objective
    algorithm: Algorithm
    trial_template: TrialTemplate
    parameters: tuple[Parameter, ...] = ()
    early_stopping: Algorithm | None = None
    parallel_trial_count: int = 3
    max_trial_count: int | None = None
    max_failed_trial_count: int | None = None
    metrics_collector_spec: MetricsCollector = MetricsCollector()
    nas_config: dict[str, Any] | None = None
    resume_policy: Literal["", "Never", "LongRunning", "FromVolume"] = "Never"

    def frozen_part(self) -> ExperimentSpec:
        """The spec without the three counts that may be edited while a search exists."""
        return msgspec.structs.replace(
            self, parallel_trial_count=1, max_trial_count=None, max_failed_trial_count=None
        )

    def with_max_trials(self, count: int) -> ExperimentSpec:
        """At most ``count`` trials; the counts that may not exceed it follow it down."""
        failed = self.max_failed_trial_count
        return msgspec.structs.replace(
            self,
            max_trial_count=count,
            parallel_trial_count=min(self.parallel_trial_count, count),
            max_failed_trial_count=None if failed is None else min(failed, count),
        )


class Experiment(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """One search. ``metadata`` is free as in Kubernetes; a ``status`` in the file is ignored."""

    api_version: Literal["kubeflow.org/v1beta1"]
    kind: Literal["Experiment"]
    metadata: dict[str, Any]
    spec: ExperimentSpec

    @property
    def name(self) -> str:
        return self.metadata["name"]

    @property
    def namespace(self) -> str:
        return self.metadata.get("namespace", "default")


def parse(document: object, *, where: str = "") -> Experiment:
    """A decoded YAML or JSON document -> Experiment: types and enums checked.

    Raises BadExperiment naming the path of the first wrong field.
    """
    try:
        return msgspec.convert(document, Experiment)
    except msgspec.ValidationError as exc:
        raise BadExperiment(
            f"not a Katib Experiment: {exc}", where=where, fix=f"edit {where or 'the file'}"
        ) from exc


# ---- trials and status --------------------------------------------------


class TrialState(StrEnum):
    """Katib's trial conditions."""

    CREATED = "Created"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    KILLED = "Killed"
    EARLY_STOPPED = "EarlyStopped"
    METRICS_UNAVAILABLE = "MetricsUnavailable"

    @property
    def is_final(self) -> bool:
        return self not in (TrialState.CREATED, TrialState.RUNNING)


class Assignment(Katib, frozen=True):
    name: str
    value: str


class Metric(Katib, frozen=True):
    """Values are strings, ``unavailable`` where no number was seen."""

    name: str
    min: str = UNAVAILABLE
    max: str = UNAVAILABLE
    latest: str = UNAVAILABLE


class Observation(Katib, frozen=True):
    metrics: tuple[Metric, ...] = ()


class EarlyStoppingRule(Katib, frozen=True):
    name: str
    value: str
    comparison: Literal["less", "greater", "equal"]
    start_step: int


class Trial(Katib, frozen=True):
    """One evaluation of the objective; what the journal of a search holds."""

    name: str
    number: int
    """Order of suggestion, from 0."""
    parameter_assignments: tuple[Assignment, ...]
    early_stopping_rules: tuple[EarlyStoppingRule, ...] = ()
    state: TrialState = TrialState.CREATED
    reason: str = ""
    message: str = ""
    start_time: datetime | None = None
    completion_time: datetime | None = None
    observation: Observation | None = None
    head: tuple[float, ...] = ()
    """The objective's first reports, as many as medianstop's start_step."""
    cpu_s: float = 0.0

    @property
    def parameters(self) -> dict[str, str]:
        return {a.name: a.value for a in self.parameter_assignments}

    @property
    def wall_s(self) -> float | None:
        if self.start_time is None or self.completion_time is None:
            return None
        return (self.completion_time - self.start_time).total_seconds()


ConditionType = Literal["Created", "Running", "Restarting", "Succeeded", "Failed"]


class Condition(Katib, frozen=True):
    type: ConditionType
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str
    last_update_time: datetime
    last_transition_time: datetime


class OptimalTrial(Katib, frozen=True):
    best_trial_name: str = ""
    parameter_assignments: tuple[Assignment, ...] = ()
    observation: Observation = Observation()


class ExperimentStatus(Katib, frozen=True):
    """Katib's ExperimentStatus, field for field."""

    start_time: datetime | None = None
    completion_time: datetime | None = None
    last_reconcile_time: datetime | None = None
    conditions: tuple[Condition, ...] = ()
    current_optimal_trial: OptimalTrial = OptimalTrial()
    running_trial_list: tuple[str, ...] = ()
    pending_trial_list: tuple[str, ...] = ()
    failed_trial_list: tuple[str, ...] = ()
    succeeded_trial_list: tuple[str, ...] = ()
    killed_trial_list: tuple[str, ...] = ()
    early_stopped_trial_list: tuple[str, ...] = ()
    metrics_unavailable_trial_list: tuple[str, ...] = ()
    trials: int = 0
    trials_succeeded: int = 0
    trials_failed: int = 0
    trials_killed: int = 0
    trials_pending: int = 0
    trials_running: int = 0
    trials_early_stopped: int = 0
    trial_metrics_unavailable: int = 0

    @property
    def outcome(self) -> Condition | None:
        """The Succeeded or Failed condition that holds, None while the search runs."""
        return next(
            (
                c
                for c in self.conditions
                if c.type in ("Succeeded", "Failed") and c.status == "True"
            ),
            None,
        )

    def best_parameters(self) -> dict[str, str]:
        """The best trial's assignments. Raises SearchFailed when no trial was usable."""
        best = self.current_optimal_trial
        if not best.best_trial_name:
            outcome = self.outcome
            raise SearchFailed(
                "the search has no usable trial: "
                + (outcome.message if outcome else "it has not finished"),
                where=f"{self.trials} trials",
                fix="platform-ctl experiment show",
            )
        return {a.name: a.value for a in best.parameter_assignments}

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values: lists, strings, and times as Kubernetes writes them."""
        return msgspec.json.decode(msgspec.json.encode(self))
