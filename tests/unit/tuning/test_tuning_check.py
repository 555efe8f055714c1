"""What is refused before a trial runs, by field."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubeflow_katib_api import models
from msgspec.structs import replace

from platform_ctl.errors import BadExperiment, UnsupportedAlgorithm, UnsupportedTrial
from platform_ctl.tuning.check import REFUSED, check
from platform_ctl.tuning.experiment import Experiment, parse
from tests.support.experiments import choice, document, double, whole

RECIPE = Path(__file__).parents[3] / "recipes/train_deploy/experiment.yaml"
X = double("x", 0.1, 1.0)


def refused(doc: dict[str, Any]) -> str:
    with pytest.raises(BadExperiment) as caught:
        check(parse(doc))
    return caught.value.what


def edited(path: str, value: Any, **options: Any) -> dict[str, Any]:
    doc = copy.deepcopy(document(X, **options))
    *parents, leaf = path.split(".")
    node: Any = doc
    for part in parents:
        node = node[int(part)] if part.isdigit() else node.setdefault(part, {})
    node[int(leaf) if leaf.isdigit() else leaf] = value
    return doc


def test_the_shortest_experiment_is_accepted() -> None:
    check(parse(document(X)))


def test_the_recipes_own_experiment_is_accepted_and_is_katibs() -> None:
    doc = yaml.safe_load(RECIPE.read_text())
    check(parse(doc))
    assert models.V1beta1Experiment.from_dict(doc).to_dict() == doc


@pytest.mark.parametrize("count", [1, 2, 7, 50])
def test_the_number_of_trials_can_be_anything_from_one(count: int) -> None:
    described = parse(yaml.safe_load(RECIPE.read_text()))
    spec = described.spec.with_max_trials(count)
    check(replace(described, spec=spec))
    assert spec.max_trial_count == count
    assert spec.parallel_trial_count == min(count, described.spec.parallel_trial_count)


WRONG = [
    ("kind", "Trial", "kind"),
    ("apiVersion", "kubeflow.org/v1", "apiVersion"),
    ("spec.objective.type", "sideways", "objective.type"),
    ("spec.objective.objectiveMetricName", "", "objectiveMetricName"),
    ("spec.objective.additionalMetricNames", ["loss"], "additionalMetricNames"),
    ("spec.objective.metricStrategies", [{"name": "loss", "value": "mean"}], "metricStrategies"),
    ("spec.objective.metricStrategies", [{"name": "lost", "value": "min"}], "'lost'"),
    ("spec.objective.goal", float("inf"), "goal"),
    ("spec.maxTrialCount", 0, "maxTrialCount"),
    ("spec.maxTrialCount", "20", "maxTrialCount"),
    ("spec.parallelTrialCount", 0, "parallelTrialCount"),
    ("spec.parallelTrialCount", 11, "parallelTrialCount"),
    ("spec.maxFailedTrialCount", -1, "maxFailedTrialCount"),
    ("spec.maxFailedTrialCount", 11, "maxFailedTrialCount"),
    ("spec.maxTrials", 3, "maxTrials"),
    ("spec.resumePolicy", "Always", "resumePolicy"),
    ("spec.nasConfig", {"graphConfig": {}}, "nasConfig"),
    ("metadata.name", "Upper", "metadata.name"),
    ("metadata.name", "x" * 41, "metadata.name"),
    ("metadata.name", "ends-", "metadata.name"),
    ("spec.parameters", [], "spec.parameters"),
    ("spec.parameters.0.parameterType", "float", "parameterType"),
    ("spec.parameters.0.parameterType", "unknown", "parameterType"),
    ("spec.parameters.0.feasibleSpace", {"min": "2", "max": "1"}, "below max"),
    ("spec.parameters.0.feasibleSpace", {"min": "1", "max": "1"}, "below max"),
    ("spec.parameters.0.feasibleSpace", {"min": "a", "max": "1"}, "not a number"),
    ("spec.parameters.0.feasibleSpace", {"min": "nan", "max": "1"}, "finite"),
    ("spec.parameters.0.feasibleSpace", {"max": "1"}, "min and max"),
    ("spec.parameters.0.feasibleSpace", {"min": 0.1, "max": "1"}, "feasibleSpace.min"),
    ("spec.parameters.0.feasibleSpace", {"min": "0", "max": "1", "step": "0"}, "step"),
    ("spec.parameters.0.feasibleSpace", {"min": "0", "max": "1", "step": "2"}, "step"),
    ("spec.parameters.0.feasibleSpace", {"min": "0", "max": "1", "list": ["1"]}, "list"),
    (
        "spec.parameters.0.feasibleSpace",
        {"min": "0", "max": "1", "distribution": "logUniform"},
        "above 0",
    ),
    (
        "spec.parameters.0.feasibleSpace",
        {"min": "0.1", "max": "1", "distribution": "beta"},
        "distribution",
    ),
    ("spec.trialTemplate.primaryContainerName", "", "primaryContainerName"),
    ("spec.trialTemplate.trialSpec.metadata", {"name": "me"}, "name and namespace"),
    ("spec.trialTemplate.trialSpec.metadata", {"namespace": "me"}, "name and namespace"),
    ("spec.trialTemplate.trialSpec.kind", "", "apiVersion and kind"),
    ("spec.trialTemplate.trialSpec.kind", "RayJob", "successCondition"),
    ("spec.trialTemplate.configMap", {"configMapName": "c"}, "one of trialSpec"),
    ("spec.trialTemplate.trialParameters", [], "is not declared"),
    ("spec.trialTemplate.trialParameters", [{"name": "x", "reference": "y"}], "no parameter 'y'"),
    ("spec.trialTemplate.trialParameters", [{"name": "y", "reference": "x"}], "not in trialSpec"),
    ("spec.trialTemplate.trialParameters", [{"name": "{", "reference": "x"}], "braces"),
    (
        "spec.trialTemplate.trialParameters",
        [{"name": "x", "reference": "x"}, {"name": "x", "reference": "x"}],
        "twice",
    ),
    (
        "spec.trialTemplate.trialParameters",
        [{"name": "x", "reference": "${trialSpec.Colour}"}],
        "a trial has no",
    ),
    (
        "spec.metricsCollectorSpec",
        {"collector": {"kind": "StdOut"}, "source": {"filter": {"metricsFormat": ["("]}}},
        "metricsFormat",
    ),
    (
        "spec.metricsCollectorSpec",
        {"collector": {"kind": "StdOut"}, "source": {"filter": {"metricsFormat": ["(a)"]}}},
        "two groups",
    ),
    (
        "spec.metricsCollectorSpec",
        {"collector": {"kind": "File"}, "source": {"fileSystemPath": {"path": "m.log"}}},
        "absolute path",
    ),
]


@pytest.mark.parametrize(("path", "value", "named"), WRONG, ids=[f"{p}={v}" for p, v, _ in WRONG])
def test_a_wrong_field_is_named(path: str, value: Any, named: str) -> None:
    assert named in refused(edited(path, value))


@pytest.mark.parametrize("kind", ["Push", "TensorFlowEvent", "PrometheusMetric", "Custom"])
def test_collectors_that_need_a_cluster_are_unsupported(kind: str) -> None:
    with pytest.raises(UnsupportedTrial, match=kind):
        check(parse(document(X, metricsCollectorSpec={"collector": {"kind": kind}})))


def test_templates_in_a_config_map_are_unsupported() -> None:
    doc = document(X)
    del doc["spec"]["trialTemplate"]["trialSpec"]
    doc["spec"]["trialTemplate"]["configMap"] = {"configMapName": "c"}
    with pytest.raises(UnsupportedTrial, match="configMap"):
        check(parse(doc))


def test_every_finding_is_reported_at_once() -> None:
    doc = edited("spec.parallelTrialCount", 0)
    doc["metadata"]["name"] = "Upper"
    found = refused(doc)
    assert "metadata.name" in found
    assert "parallelTrialCount" in found


@pytest.mark.parametrize("name", REFUSED)
def test_algorithms_of_katib_alone_are_refused_by_name(name: str) -> None:
    with pytest.raises(UnsupportedAlgorithm, match=name):
        check(parse(document(X, algorithm=name)))


def test_unknown_algorithms_and_stopping_rules_are_refused() -> None:
    with pytest.raises(UnsupportedAlgorithm, match="annealing"):
        check(parse(document(X, algorithm="annealing")))
    stopping = {"algorithmName": "asha"}
    with pytest.raises(UnsupportedAlgorithm, match="asha"):
        check(parse(document(X, earlyStopping=stopping)))


@pytest.mark.parametrize(
    ("algorithm", "settings", "named"),
    [
        ("tpe", {"gamma": "1.5"}, "gamma"),
        ("tpe", {"n_EI_candidates": "many"}, "n_EI_candidates"),
        ("tpe", {"n_startup_trials": "3"}, "not a setting of tpe"),
        ("random", {"random_state": "-1"}, "random_state"),
        ("bayesianoptimization", {"base_estimator": "RF"}, "base_estimator"),
        ("multivariate-tpe", {"n_ei_candidates": "0"}, "n_ei_candidates"),
        ("sobol", {"scramble": "1"}, "not a setting of sobol"),
    ],
)
def test_settings_are_checked_by_name_and_value(
    algorithm: str, settings: dict[str, str], named: str
) -> None:
    assert named in refused(document(X, algorithm=algorithm, settings=settings))


def test_medianstop_settings_are_checked() -> None:
    settings = [{"name": "start_step", "value": "0"}]
    stopping = {"algorithmName": "medianstop", "algorithmSettings": settings}
    assert "start_step" in refused(document(X, earlyStopping=stopping))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"parameters": [X], "algorithm": "grid"}, "grid needs a step"),
        ({"parameters": [whole("n", 1, 3)], "algorithm": "grid", "trials": 4}, "3 points"),
        ({"parameters": [X], "algorithm": "cmaes"}, "at least two"),
        ({"parameters": [double("x", -1, 1)], "algorithm": "bayesianoptimization"}, "above 0"),
        (
            {
                "parameters": [double("x", 0, 1, distribution="normal")],
                "algorithm": "multivariate-tpe",
            },
            "uniform and logUniform only",
        ),
    ],
)
def test_what_an_algorithm_needs_of_the_space(options: dict[str, Any], named: str) -> None:
    parameters = options.pop("parameters")
    assert named in refused(document(*parameters, **options))


def test_lists_must_be_whole_and_without_repeats() -> None:
    assert "repeat" in refused(document(choice("c", "a", "a")))
    assert "list must be given" in refused(document(choice("c")))


def test_decoding_is_the_inverse_of_encoding() -> None:
    import msgspec

    doc = yaml.safe_load(RECIPE.read_text())
    experiment = parse(doc)
    assert msgspec.convert(msgspec.to_builtins(experiment), Experiment) == experiment
