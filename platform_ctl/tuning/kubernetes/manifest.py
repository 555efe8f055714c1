"""A search as Katib's custom resource: the same document, made to run on this cluster.

What differs from the file: name, namespace and labels; the pods' image and their
settings; the seed; kept trials (``retain``), so that a failed one can be explained;
and the command, where the trial is a function. Katib joins command and arguments
with blanks into ``sh -c``: a word that a shell would read otherwise is refused.
"""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from platform_ctl.cluster.environment import env_from
from platform_ctl.cluster.owner import STEP
from platform_ctl.errors import BadExperiment, UnsupportedTrial
from platform_ctl.settings import KubernetesSettings
from platform_ctl.tuning.experiment import Experiment
from platform_ctl.tuning.template import meta_key, placeholders, primary_container

PREFIX = "platform-ctl.io"
SEARCH_LABEL = f"{PREFIX}/search"
RUN_LABEL = f"{PREFIX}/run-id"
SEARCH = f"{PREFIX}/search-id"
SEED = f"{PREFIX}/seed"
SPEC = f"{PREFIX}/spec-digest"
DOCUMENT = f"{PREFIX}/experiment"
"""The Experiment as it was asked for: what the cluster holds is filled with defaults."""
ENDED = f"{PREFIX}/ended"
MODULE = "platform_ctl.tuning.kubernetes.trial"
KEEP_FINISHED_S = 3600
SAFE_WORD = re.compile(r"[A-Za-z0-9_@%+=:,./\-]*")
"""What a shell takes as it is."""
SEEDED = frozenset({"random", "tpe", "multivariate-tpe", "grid", "cmaes", "bayesianoptimization"})
"""Algorithms whose service takes the setting ``random_state`` (Katib 0.19)."""


@dataclass(frozen=True)
class SearchPlace:
    """Where a search runs."""

    kubernetes: KubernetesSettings
    image: str
    owners: list[dict[str, Any]]
    step: str = ""
    """Argo's name of the step that asks for it; empty outside a run."""


def resource_name(experiment: Experiment, search: str) -> str:
    """Of the search id: whoever asks for the same search finds it."""
    digest = hashlib.sha256(search.encode()).hexdigest()[:10]
    return f"{experiment.name[:30].rstrip('-.')}-{digest}"


def render(
    experiment: Experiment,
    search: str,
    place: SearchPlace,
    *,
    trial: str,
    inputs: Mapping[str, str],
    seed: int,
) -> dict[str, Any]:
    """The manifest. Raises BadExperiment, UnsupportedTrial."""
    spec = copy.deepcopy(msgspec.to_builtins(experiment.spec))
    _seed(spec["algorithm"], seed)
    collector = spec.setdefault("metricsCollectorSpec", {}).setdefault("collector", {})
    collector["kind"] = experiment.spec.metrics_collector_spec.collector.kind
    template = spec["trialTemplate"]
    template["retain"] = True
    job = template.get("trialSpec") or {}
    _fit_into_cluster(experiment, job, place)
    if trial:
        container = primary_container(experiment, job["spec"])
        container.pop("args", None)
        container["command"] = function_command(experiment, trial, inputs)
        _only_used(template, job)
    refuse_shell_words(experiment, job)
    return {
        "apiVersion": "kubeflow.org/v1beta1",
        "kind": "Experiment",
        "metadata": _metadata(experiment, search, place, trial, inputs, seed),
        "spec": spec,
    }


def _metadata(
    experiment: Experiment,
    search: str,
    place: SearchPlace,
    trial: str,
    inputs: Mapping[str, str],
    seed: int,
) -> dict[str, Any]:
    """Under which the same search is found again, with what it was asked for."""
    metadata: dict[str, Any] = {
        "name": resource_name(experiment, search),
        "namespace": place.kubernetes.namespace,
        "labels": {
            SEARCH_LABEL: hashlib.sha256(search.encode()).hexdigest()[:32],
            **({RUN_LABEL: search} if SAFE_LABEL.fullmatch(search) else {}),
        },
        "annotations": {
            SEARCH: search,
            SEED: str(seed),
            SPEC: spec_digest(experiment, trial, inputs, seed),
            DOCUMENT: msgspec.json.encode(experiment).decode(),
            **({STEP: place.step} if place.step else {}),
        },
    }
    if place.owners:
        metadata["ownerReferences"] = place.owners
    return metadata


SAFE_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.\-]{0,61}[A-Za-z0-9])?")


def spec_digest(experiment: Experiment, trial: str, inputs: Mapping[str, str], seed: int) -> str:
    """What must be equal for two requests to mean the same search; counts may be edited."""
    frozen = msgspec.to_builtins(experiment.spec.frozen_part())
    content = json.dumps([frozen, trial, dict(inputs), seed], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def function_command(experiment: Experiment, trial: str, inputs: Mapping[str, str]) -> list[str]:
    """The program of a trial that is a function: one word an assignment."""
    parameters = [
        f"--parameter={p.reference}=${{trialParameters.{p.name}}}"
        for p in experiment.spec.trial_template.trial_parameters
        if meta_key(p.reference) is None
    ]
    input_words = [f"--input={name}={uri}" for name, uri in sorted(inputs.items())]
    return ["python", "-m", MODULE, f"--function={trial}", *input_words, *parameters]


def refuse_shell_words(experiment: Experiment, job: Mapping[str, Any]) -> None:
    """Raises UnsupportedTrial for a word that Katib's ``sh -c`` would not pass on as it is."""
    container = primary_container(experiment, job.get("spec") or {})
    words = [*(container.get("command") or ()), *(container.get("args") or ())]
    for word in words:
        plain = re.sub(r"\$\{trialParameters\.[^}]+\}|\$\([A-Za-z_][A-Za-z0-9_]*\)", "", str(word))
        if not SAFE_WORD.fullmatch(plain):
            raise UnsupportedTrial(
                f"Katib joins a trial's command into sh -c, which would change {word!r}",
                where=f"{experiment.name}: spec.trialTemplate",
                fix="make the trial a module with --key=value arguments",
            )
    for parameter in experiment.spec.parameters:
        for value in parameter.feasible_space.list:
            if not SAFE_WORD.fullmatch(value):
                raise UnsupportedTrial(
                    f"Katib passes {parameter.name} through sh -c, which would change {value!r}",
                    where=f"{experiment.name}: spec.parameters",
                    fix="use values of letters, digits and _@%+=:,./-",
                )


def _seed(algorithm: dict[str, Any], seed: int) -> None:
    if algorithm["algorithmName"] not in SEEDED:
        return
    others = [s for s in algorithm.get("algorithmSettings", ()) if s["name"] != "random_state"]
    algorithm["algorithmSettings"] = [*others, {"name": "random_state", "value": str(seed)}]


def _fit_into_cluster(experiment: Experiment, job: dict[str, Any], place: SearchPlace) -> None:
    """Image, settings and account of the trial's pods. Raises UnsupportedTrial, BadExperiment."""
    if (job.get("apiVersion"), job.get("kind")) != ("batch/v1", "Job"):
        raise UnsupportedTrial(
            f"a trial of kind {job.get('kind')} is not supported",
            where=f"{experiment.name}: spec.trialTemplate",
            fix="use a batch/v1 Job",
        )
    container = primary_container(experiment, job.get("spec") or {})
    if not container.get("command"):
        raise BadExperiment(
            "the trial's container has no command, which Katib's collector needs",
            where=f"{experiment.name}: spec.trialTemplate",
            fix="write the command into the template",
        )
    if place.image:
        container["image"] = place.image
    container.setdefault("imagePullPolicy", "IfNotPresent")
    container["envFrom"] = [*env_from(place.kubernetes), *container.get("envFrom", ())]
    job["spec"].setdefault("ttlSecondsAfterFinished", KEEP_FINISHED_S)
    job["spec"].setdefault("backoffLimit", 0)


def _only_used(template: dict[str, Any], job: Mapping[str, Any]) -> None:
    """Drop trial parameters that the new command does not use: Katib refuses unused ones."""
    used = placeholders(job)
    template["trialParameters"] = [p for p in template["trialParameters"] if p["name"] in used]
