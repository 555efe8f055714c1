"""Rules of an Experiment across its fields: Katib's webhook and what its services refuse later.

Katib accepts ``min`` above ``max`` or a bad setting and then hangs with the
Experiment *Running*; here every finding is reported at once, before any trial.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from itertools import pairwise

from platform_ctl.errors import BadExperiment, UnsupportedAlgorithm, UnsupportedTrial
from platform_ctl.tuning.experiment import META_KEYS, Experiment, Objective, Parameter
from platform_ctl.tuning.grid import grid_size
from platform_ctl.tuning.template import meta_key, placeholders

ALGORITHMS = (
    "tpe",
    "random",
    "grid",
    "bayesianoptimization",
    "multivariate-tpe",
    "cmaes",
    "sobol",
)
REFUSED = ("hyperband", "enas", "darts", "pbt")
"""Katib's other algorithms: they need its trial chaining or its own training images."""

KINDS_WITH_CONDITIONS = (
    "Job",
    "TrainJob",
    "TFJob",
    "PyTorchJob",
    "MPIJob",
    "XGBoostJob",
    "PaddleJob",
    "JAXJob",
)
"""Trials for which Katib knows by itself what success and failure look like."""

_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_TWO_GROUPS = re.compile(r".*\(.*\).*\(.*\).*", re.DOTALL)


def _whole(minimum: int) -> tuple[str, Callable[[str], bool]]:
    return f"a whole number, at least {minimum}", lambda v: int(v) >= minimum


def _one_of(*words: str) -> tuple[str, Callable[[str], bool]]:
    return "one of " + ", ".join(words), lambda v: v in words


_SEED = {"random_state": _whole(0)}
SETTINGS: dict[str, dict[str, tuple[str, Callable[[str], bool]]]] = {
    "tpe": {
        "gamma": ("a number between 0 and 1", lambda v: 0 < float(v) < 1),
        "prior_weight": ("a number above 0", lambda v: float(v) > 0),
        "n_EI_candidates": _whole(1),
        **_SEED,
    },
    "multivariate-tpe": {"n_startup_trials": _whole(0), "n_ei_candidates": _whole(1), **_SEED},
    "random": _SEED,
    "grid": _SEED,
    "sobol": _SEED,
    "bayesianoptimization": {
        "base_estimator": _one_of("GP"),
        "n_initial_points": _whole(0),
        "acq_func": _one_of("gp_hedge", "EI"),
        "acq_optimizer": _one_of("auto", "lbfgs"),
        **_SEED,
    },
    "cmaes": {
        "sigma": ("a number above 0", lambda v: float(v) > 0),
        "restart_strategy": _one_of("none", "None", "ipop", "bipop"),
        **_SEED,
    },
    "medianstop": {"min_trials_required": _whole(1), "start_step": _whole(1)},
}
"""Algorithm -> setting -> what it must be. bayesianoptimization lists what a Gaussian
process with expected improvement can honour of skopt's choices."""


def check(experiment: Experiment, *, where: str = "") -> None:
    """Raise BadExperiment with every finding, or UnsupportedAlgorithm for what Katib alone has."""
    for _, error in unsupported_algorithms(experiment, where):
        raise error
    if found := findings(experiment):
        raise BadExperiment(
            "; ".join(found), where=where or "the Experiment", fix=f"edit {where or 'the file'}"
        )
    check_what_needs_a_cluster(experiment, where)


def findings(experiment: Experiment) -> list[str]:
    """Every rule across fields that is broken, as ``path: what``; the algorithms' names apart."""
    return [
        *_metadata(experiment),
        *_counts(experiment),
        *_objective(experiment.spec.objective),
        *_settings(experiment),
        *_parameters(experiment),
        *_algorithm_needs(experiment),
        *_template(experiment),
        *_collector(experiment),
    ]


def unsupported_algorithms(
    experiment: Experiment, where: str
) -> Iterator[tuple[str, UnsupportedAlgorithm]]:
    """Each algorithm whose name is unknown here: its path in the Experiment, and the error."""
    spec = experiment.spec
    name = spec.algorithm.algorithm_name
    stopping = spec.early_stopping.algorithm_name if spec.early_stopping else "medianstop"
    for algorithm, known, field in (
        (name, ALGORITHMS, "algorithm"),
        (stopping, ("medianstop",), "earlyStopping"),
    ):
        if algorithm not in known:
            reason = "the local tuner has no" if algorithm in REFUSED else "there is no"
            elsewhere = "; or run it with --target kubernetes" if algorithm in REFUSED else ""
            yield (
                f"spec.{field}",
                UnsupportedAlgorithm(
                    f"{reason} {algorithm!r} for spec.{field}",
                    where=where or experiment.name,
                    fix=f"use one of: {', '.join(known)}{elsewhere}",
                ),
            )


def check_what_needs_a_cluster(experiment: Experiment, where: str) -> None:
    """Good Katib that a machine without Kubernetes cannot do."""
    kind = experiment.spec.metrics_collector_spec.collector.kind
    missing = []
    if kind not in ("StdOut", "File"):
        missing.append(f"collect metrics with {kind}, only with StdOut and File")
    if experiment.spec.trial_template.config_map is not None:
        missing.append("read a trial template from a configMap; use trialSpec")
    if missing:
        raise UnsupportedTrial(
            "the local target cannot " + ", nor ".join(missing),
            where=where or experiment.name,
            fix="platform-ctl --target kubernetes experiment run FILE",
        )


def _metadata(experiment: Experiment) -> Iterator[str]:
    name = experiment.metadata.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name) or len(name) > 40:
        yield (
            "metadata.name: lower case letters, digits and '-', a letter first, "
            f"at most 40 characters, not {name!r}"
        )


def _counts(experiment: Experiment) -> Iterator[str]:
    spec = experiment.spec
    limit = spec.max_trial_count
    if limit is not None and limit <= 0:
        yield "spec.maxTrialCount: must be above 0"
    if spec.parallel_trial_count <= 0:
        yield "spec.parallelTrialCount: must be above 0"
    elif limit is not None and spec.parallel_trial_count > limit:
        yield "spec.parallelTrialCount: must not exceed maxTrialCount"
    failures = spec.max_failed_trial_count
    if failures is not None and failures < 0:
        yield "spec.maxFailedTrialCount: must not be below 0"
    elif failures is not None and limit is not None and failures > limit:
        yield "spec.maxFailedTrialCount: must not exceed maxTrialCount"
    if spec.nas_config is not None:
        yield "spec.nasConfig: architecture search is not available on this target"


def _objective(objective: Objective) -> Iterator[str]:
    if not objective.objective_metric_name:
        yield "spec.objective.objectiveMetricName: must be given"
    if objective.objective_metric_name in objective.additional_metric_names:
        yield "spec.objective.additionalMetricNames: must not repeat objectiveMetricName"
    if objective.goal is not None and not math.isfinite(objective.goal):
        yield "spec.objective.goal: must be a finite number"
    names = [s.name for s in objective.metric_strategies]
    if len(names) != len(set(names)):
        yield "spec.objective.metricStrategies: one strategy for each metric"
    for name in sorted(set(names) - set(objective.metric_names)):
        yield f"spec.objective.metricStrategies: {name!r} is not a metric of the objective"


def _settings(experiment: Experiment) -> Iterator[str]:
    spec = experiment.spec
    for field, algorithm in (("algorithm", spec.algorithm), ("earlyStopping", spec.early_stopping)):
        if algorithm is None:
            continue
        known = SETTINGS.get(algorithm.algorithm_name)
        if known is None:
            continue
        for setting in algorithm.algorithm_settings:
            path = f"spec.{field}.algorithmSettings.{setting.name}"
            if setting.name not in known:
                yield f"{path}: not a setting of {algorithm.algorithm_name} ({', '.join(known)})"
                continue
            wanted, accepts = known[setting.name]
            try:
                good = accepts(setting.value)
            except ValueError:
                good = False
            if not good:
                yield f"{path}: must be {wanted}, not {setting.value!r}"


def _parameters(experiment: Experiment) -> Iterator[str]:
    parameters = experiment.spec.parameters
    if not parameters and experiment.spec.nas_config is None:
        yield "spec.parameters: must be given"
    names = sorted(p.name for p in parameters)
    for left, right in pairwise(names):
        if left == right:
            yield f"spec.parameters: {left!r} is there twice"
    for parameter in parameters:
        path = f"spec.parameters.{parameter.name or '?'}"
        check_space = _number_space if parameter.is_number else _list_space
        for finding in check_space(parameter):
            yield f"{path}: {finding}"


def _list_space(parameter: Parameter) -> Iterator[str]:
    space = parameter.feasible_space
    if parameter.parameter_type == "unknown":
        yield "parameterType must be double, int, discrete or categorical"
        return
    if space.min or space.max or space.step:
        yield f"min, max and step are not for a {parameter.parameter_type} parameter"
    if not space.list:
        yield "feasibleSpace.list must be given"
    if len(set(space.list)) != len(space.list):
        yield "feasibleSpace.list must not repeat a value"


def _number_space(parameter: Parameter) -> Iterator[str]:
    space = parameter.feasible_space
    if space.list:
        yield f"feasibleSpace.list is not for a {parameter.parameter_type} parameter"
    if not space.min or not space.max:
        yield "feasibleSpace.min and max must be given"
        return
    read = int if parameter.parameter_type == "int" else float
    try:
        low, high = read(space.min), read(space.max)
        step = read(space.step) if space.step else None
    except ValueError as exc:
        yield f"not a number of type {parameter.parameter_type}: {exc}"
        return
    if not (math.isfinite(low) and math.isfinite(high)):
        yield "min and max must be finite"
    elif low >= high:
        yield f"min {space.min} must be below max {space.max}"
    elif step is not None and not 0 < step <= high - low:
        yield f"step {space.step} must be above 0 and at most max - min"
    if space.distribution == "unknown":
        yield "distribution must be uniform, logUniform, normal or logNormal"
    if space.distribution in ("logUniform", "logNormal") and low <= 0:
        yield f"min must be above 0 for {space.distribution}"


def _algorithm_needs(experiment: Experiment) -> Iterator[str]:
    """What an algorithm asks of the space; runs only on spaces that are well formed."""
    spec = experiment.spec
    name = spec.algorithm.algorithm_name
    if any(_parameters(experiment)):
        return
    if name == "cmaes" and sum(p.is_number for p in spec.parameters) < 2:
        yield "spec.algorithm: cmaes needs at least two double or int parameters"
    for parameter in spec.parameters:
        space = parameter.feasible_space
        path = f"spec.parameters.{parameter.name}"
        is_double = parameter.parameter_type == "double"
        if name == "grid" and is_double and not space.step:
            yield f"{path}: grid needs a step"
        if name == "bayesianoptimization" and is_double and float(space.min) <= 0:
            yield f"{path}: bayesianoptimization samples doubles log-uniformly: min must be above 0"
        if name in ("multivariate-tpe", "grid") and space.distribution in ("normal", "logNormal"):
            yield f"{path}: {name} knows uniform and logUniform only"
    if name == "grid" and spec.max_trial_count is not None:
        axes_known = all(
            p.parameter_type != "double" or p.feasible_space.step for p in spec.parameters
        )
        if axes_known and spec.max_trial_count > (size := grid_size(spec.parameters)):
            yield f"spec.maxTrialCount: the grid has {size} points only"


def _template(experiment: Experiment) -> Iterator[str]:
    spec = experiment.spec
    template = spec.trial_template
    if not template.primary_container_name:
        yield "spec.trialTemplate.primaryContainerName: must be given"
    if (template.trial_spec is None) == (template.config_map is None):
        yield "spec.trialTemplate: give one of trialSpec and configMap"
        return
    trial_spec = template.trial_spec
    if trial_spec is None:
        return
    metadata = trial_spec.get("metadata") or {}
    if metadata.get("name") or metadata.get("namespace"):
        yield "spec.trialTemplate.trialSpec.metadata: name and namespace must be left out"
    if not trial_spec.get("apiVersion") or not trial_spec.get("kind"):
        yield "spec.trialTemplate.trialSpec: apiVersion and kind must be given"
    has_defaults = trial_spec.get("kind") in KINDS_WITH_CONDITIONS
    if not has_defaults and not (template.success_condition and template.failure_condition):
        yield "spec.trialTemplate: successCondition and failureCondition must be given"
    yield from _trial_parameters(experiment)


def _trial_parameters(experiment: Experiment) -> Iterator[str]:
    template = experiment.spec.trial_template
    path = "spec.trialTemplate.trialParameters"
    known = {p.name for p in experiment.spec.parameters}
    used = placeholders(template.trial_spec)
    names: set[str] = set()
    references: set[str] = set()
    for parameter in template.trial_parameters:
        name, reference = parameter.name, parameter.reference
        if not name or not reference or "{" in name or "}" in name:
            yield f"{path}: name and reference must be given, without braces in the name"
            continue
        if name in names:
            yield f"{path}: {name!r} is there twice"
        if reference in references:
            yield f"{path}: {reference!r} is referred to twice"
        names.add(name)
        references.add(reference)
        meta = meta_key(reference)
        if meta is None and reference not in known:
            yield f"{path}.{name}: there is no parameter {reference!r}"
        if meta is not None and meta[0] not in META_KEYS:
            yield f"{path}.{name}: a trial has no {reference}"
        if name not in used:
            yield f"{path}.{name}: ${{trialParameters.{name}}} is not in trialSpec"
    for name in sorted(used - names):
        yield f"spec.trialTemplate.trialSpec: ${{trialParameters.{name}}} is not declared"
    for name in sorted(known - references):
        yield f"{path}: no entry refers to parameter {name!r}"


def _collector(experiment: Experiment) -> Iterator[str]:
    spec = experiment.spec.metrics_collector_spec
    path = "spec.metricsCollectorSpec"
    if spec.collector.kind == "File":
        if spec.file.kind != "File" or not spec.file.path.startswith("/"):
            yield f"{path}.source.fileSystemPath: an absolute path of kind File"
        if spec.file.format == "JSON" and spec.filters:
            yield f"{path}.source.filter: not with JSON"
    for pattern in spec.filters:
        try:
            re.compile(pattern)
        except re.error as exc:
            yield f"{path}.source.filter.metricsFormat: {pattern!r}: {exc}"
            continue
        if not _TWO_GROUPS.match(pattern):
            yield f"{path}.source.filter.metricsFormat: {pattern!r} needs two groups"
