"""Substitution, the Job's command, and other values for its environment."""

from __future__ import annotations

from typing import Any

import pytest

from platform_ctl.errors import BadExperiment, BadParameter, UnsupportedTrial
from platform_ctl.tuning.experiment import parse
from platform_ctl.tuning.template import (
    deadline_s,
    job_command,
    substitute,
    with_environment,
)
from tests.support.experiments import document, double, experiment

X = double("x", 0, 1)


def container(doc: dict[str, Any]) -> dict[str, Any]:
    return doc["spec"]["trialTemplate"]["trialSpec"]["spec"]["template"]["spec"]["containers"][0]


def test_every_placeholder_is_replaced_wherever_it_is() -> None:
    doc = document(X, command=["run", "--x=${trialParameters.x},${trialParameters.x}"])
    container(doc)["env"] = [{"name": "X", "value": "${trialParameters.x}"}]
    command = job_command(parse(doc), "t", {"x": "0.25"})
    assert command.argv == ("run", "--x=0.25,0.25")
    assert command.env == {"X": "0.25"}


def test_a_value_that_looks_like_a_placeholder_stays_text() -> None:
    command = job_command(experiment(X), "t", {"x": "${trialParameters.x}"})
    assert command.argv[1] == "--x=${trialParameters.x}"


def test_trial_metadata_can_be_substituted() -> None:
    doc = document(X, command=["run", "${trialParameters.x}", "${trialParameters.me}"])
    template = doc["spec"]["trialTemplate"]
    template["trialParameters"].append({"name": "me", "reference": "${trialSpec.Name}"})
    template["trialSpec"]["metadata"] = {"labels": {"team": "blue"}}
    assert job_command(parse(doc), "search-1", {"x": "1"}).argv == ("run", "1", "search-1")
    template["trialParameters"][1]["reference"] = "${trialSpec.Labels[team]}"
    assert job_command(parse(doc), "search-1", {"x": "1"}).argv == ("run", "1", "blue")
    template["trialParameters"][1]["reference"] = "${trialSpec.Labels[none]}"
    with pytest.raises(BadExperiment, match="none"):
        job_command(parse(doc), "search-1", {"x": "1"})


def test_the_trial_gets_its_name_and_namespace() -> None:
    spec = substitute(experiment(X), "search-1", {"x": "1"})
    assert spec["metadata"] == {"name": "search-1", "namespace": "default"}


def test_kubernetes_variable_references_are_expanded() -> None:
    doc = document(X, command=["run", "$(A)/$(B)", "$$(A)", "$(MISSING)", "${trialParameters.x}"])
    container(doc)["env"] = [{"name": "A", "value": "a"}, {"name": "B", "value": "$(A)b"}]
    argv = job_command(parse(doc), "t", {"x": "1"}).argv
    assert argv == ("run", "a/ab", "$(A)", "$(MISSING)", "1")


def test_args_follow_the_command() -> None:
    doc = document(X, command=["sh", "-c"])
    container(doc)["args"] = ["echo ${trialParameters.x}"]
    assert job_command(parse(doc), "t", {"x": "1"}).argv == ("sh", "-c", "echo 1")


def test_the_deadline_is_the_jobs() -> None:
    assert deadline_s(experiment(X)) is None
    assert deadline_s(experiment(X, job={"activeDeadlineSeconds": 7})) == 7.0


def test_what_cannot_run_here_is_refused_by_name() -> None:
    doc = document(X)
    container(doc)["env"] = [{"name": "S", "valueFrom": {"secretKeyRef": {}}}]
    with pytest.raises(UnsupportedTrial, match="variable S"):
        job_command(parse(doc), "t", {"x": "1"})
    doc = document(X)
    doc["spec"]["trialTemplate"]["trialSpec"]["kind"] = "TFJob"
    with pytest.raises(UnsupportedTrial, match="TFJob"):
        job_command(parse(doc), "t", {"x": "1"})
    doc = document(X)
    del container(doc)["command"]
    with pytest.raises(UnsupportedTrial, match="without a command"):
        job_command(parse(doc), "t", {"x": "1"})
    doc = document(X)
    doc["spec"]["trialTemplate"]["primaryContainerName"] = "other"
    with pytest.raises(BadExperiment, match="other"):
        job_command(parse(doc), "t", {"x": "1"})


def test_other_values_for_the_environment() -> None:
    doc = document(X, command=["cat", "$(ROWS)", "${trialParameters.x}"])
    container(doc)["env"] = [{"name": "ROWS", "value": "/mnt/rows"}]
    original = parse(doc)
    changed = with_environment(original, {"ROWS": "/tmp/rows"})
    assert job_command(changed, "t", {"x": "1"}).argv[1] == "/tmp/rows"
    assert job_command(original, "t", {"x": "1"}).argv[1] == "/mnt/rows"
    with pytest.raises(BadParameter, match="ROWS"):
        with_environment(original, {"ROW": "x"})
