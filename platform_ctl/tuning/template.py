"""The trial template: finding and filling ``${trialParameters.NAME}``, and the Job in it."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from platform_ctl.errors import BadExperiment, BadParameter, UnsupportedTrial
from platform_ctl.tuning.experiment import Experiment

PLACEHOLDER = re.compile(r"\$\{trialParameters\.(.+?)\}")
META_REFERENCE = re.compile(r"^\$\{trialSpec\.(.+?)\}$")
_INDEXED = re.compile(r"^(.+)\[(.+)\]$")
_ENV_REFERENCE = re.compile(r"\$\$|\$\(([A-Za-z_][A-Za-z0-9_.-]*)\)")


@dataclass(frozen=True)
class JobCommand:
    """What the primary container of a Job runs, with everything substituted."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    deadline_s: float | None = None
    """``activeDeadlineSeconds`` of the Job, None when it has none."""


def placeholders(node: Any) -> set[str]:
    """Names used as ``${trialParameters.NAME}`` anywhere in a template."""
    if isinstance(node, str):
        return set(PLACEHOLDER.findall(node))
    if isinstance(node, Mapping):
        parts = [*node.keys(), *node.values()]
    elif isinstance(node, list | tuple):
        parts = list(node)
    else:
        return set()
    return set().union(*(placeholders(part) for part in parts)) if parts else set()


def meta_key(reference: str) -> tuple[str, str] | None:
    """``${trialSpec.Labels[x]}`` -> ("Labels", "x"); None for a reference to a parameter."""
    match = META_REFERENCE.match(reference)
    if match is None:
        return None
    indexed = _INDEXED.match(match[1])
    return (indexed[1], indexed[2]) if indexed else (match[1], "")


def substitute(experiment: Experiment, trial_name: str, parameters: Mapping[str, str]) -> dict:
    """The trialSpec of one trial: placeholders filled, named and placed as Katib would.

    Values are inserted as they are: a template that quotes a number keeps text.
    Raises BadExperiment for metadata that the template does not have.
    """
    template = experiment.spec.trial_template
    values = {
        p.name: _value(experiment, trial_name, parameters, p.reference)
        for p in template.trial_parameters
    }

    def fill(node: Any) -> Any:
        if isinstance(node, str):
            return PLACEHOLDER.sub(lambda m: values.get(m[1], m[0]), node)
        if isinstance(node, Mapping):
            return {fill(k): fill(v) for k, v in node.items()}
        if isinstance(node, list | tuple):
            return [fill(item) for item in node]
        return node

    spec = fill(template.trial_spec or {})
    spec["metadata"] = {
        **spec.get("metadata", {}),
        "name": trial_name,
        "namespace": experiment.namespace,
    }
    return spec


def _value(
    experiment: Experiment, trial_name: str, parameters: Mapping[str, str], reference: str
) -> str:
    meta = meta_key(reference)
    if meta is None:
        return parameters[reference]
    key, index = meta
    spec = experiment.spec.trial_template.trial_spec or {}
    metadata = spec.get("metadata") or {}
    known = {
        "Name": trial_name,
        "Namespace": experiment.namespace,
        "Kind": spec.get("kind"),
        "APIVersion": spec.get("apiVersion"),
        "Labels": (metadata.get("labels") or {}).get(index),
        "Annotations": (metadata.get("annotations") or {}).get(index),
    }
    value = known.get(key)
    if value is None:
        raise BadExperiment(
            f"the template has no {reference}", where=experiment.name, fix="edit trialParameters"
        )
    return str(value)


def job_command(
    experiment: Experiment, trial_name: str, parameters: Mapping[str, str]
) -> JobCommand:
    """The command of the primary container of one trial's Job.

    Images, volumes and resources belong to the cluster and are left out;
    ``env`` entries with a plain value apply. Raises UnsupportedTrial for
    any other kind of trial, for a container without a command, and for
    environment variables taken from the cluster.
    """
    spec = substitute(experiment, trial_name, parameters)
    if (spec.get("apiVersion"), spec.get("kind")) != ("batch/v1", "Job"):
        raise _unsupported(experiment, f"a trial of kind {spec.get('kind')}")
    job = spec.get("spec") or {}
    container = primary_container(experiment, job)
    env: dict[str, str] = {}
    for entry in container.get("env") or ():
        if "valueFrom" in entry:
            raise _unsupported(experiment, f"environment variable {entry['name']} from the cluster")
        env[entry["name"]] = _expand(str(entry.get("value", "")), env)
    words = [*(container.get("command") or ()), *(container.get("args") or ())]
    if not container.get("command"):
        raise _unsupported(experiment, "a container without a command (its image decides)")
    deadline = job.get("activeDeadlineSeconds")
    return JobCommand(
        tuple(_expand(str(word), env) for word in words),
        env,
        None if deadline is None else float(deadline),
    )


def primary_container(experiment: Experiment, job: Mapping[str, Any]) -> dict[str, Any]:
    """The container named in the template. Raises BadExperiment when the Job has none such."""
    wanted = experiment.spec.trial_template.primary_container_name
    pod = (job.get("template") or {}).get("spec") or {}
    for container in pod.get("containers") or ():
        if container.get("name") == wanted:
            return container
    raise BadExperiment(
        f"the Job has no container {wanted!r}",
        where=f"{experiment.name}: spec.trialTemplate.primaryContainerName",
        fix="edit primaryContainerName",
    )


def deadline_s(experiment: Experiment) -> float | None:
    """``activeDeadlineSeconds`` of the template: how long one trial may run."""
    spec = (experiment.spec.trial_template.trial_spec or {}).get("spec") or {}
    value = spec.get("activeDeadlineSeconds")
    return float(value) if isinstance(value, int | float) else None


def _expand(text: str, env: Mapping[str, str]) -> str:
    """Kubernetes' ``$(NAME)``; ``$$`` escapes a dollar, unknown names stay as they are."""

    def one(match: re.Match[str]) -> str:
        return "$" if match[0] == "$$" else env.get(match[1], match[0])

    return _ENV_REFERENCE.sub(one, text)


def _unsupported(experiment: Experiment, what: str) -> UnsupportedTrial:
    return UnsupportedTrial(
        f"the local target cannot run {what}",
        where=f"{experiment.name}: spec.trialTemplate",
        fix="use a batch/v1 Job with a command, or the kubernetes target",
    )


def with_environment(experiment: Experiment, values: Mapping[str, str]) -> Experiment:
    """``experiment`` with other values for ``env`` entries of the primary container.

    What a trial reads (a file, an address) differs between machines while the
    search stays the same. Raises BadParameter for a name that is not there.
    """
    if not values:
        return experiment
    spec = copy.deepcopy(experiment.spec.trial_template.trial_spec or {})
    container = primary_container(experiment, spec.get("spec") or {})
    entries = {e["name"]: e for e in container.get("env") or ()}
    for name, value in values.items():
        if name not in entries:
            known = ", ".join(entries) or "none"
            raise BadParameter(
                f"the trial's container has no environment variable {name!r} (it has: {known})",
                where=experiment.name,
                fix="platform-ctl experiment run --help",
            )
        entries[name].clear()
        entries[name].update(name=name, value=value)
    template = msgspec.structs.replace(experiment.spec.trial_template, trial_spec=spec)
    return msgspec.structs.replace(
        experiment, spec=msgspec.structs.replace(experiment.spec, trial_template=template)
    )
