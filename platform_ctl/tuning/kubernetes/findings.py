"""Why a search on a cluster does not go on, by type.

For ``run why``: ``findings(cluster, run_id)`` reads, and changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from platform_ctl.cluster.api import EVENT, JOB, POD, Cluster, ResourceKind
from platform_ctl.cluster.owner import STEP
from platform_ctl.cluster.pods import LASTING, Blocked, PodFinding, blocked
from platform_ctl.cluster.refusals import FAILED_CREATE, refused_pods
from platform_ctl.tuning.kubernetes.manifest import RUN_LABEL

VERSION = "kubeflow.org/v1beta1"
EXPERIMENT = ResourceKind(VERSION, "Experiment", "experiments")
SUGGESTION = ResourceKind(VERSION, "Suggestion", "suggestions")
TRIAL = ResourceKind(VERSION, "Trial", "trials")
EXPERIMENT_OF = "katib.kubeflow.org/experiment"
JOB_NAME = "job-name"
"""Label of a Job's pods; the Job of a trial has its name."""
COLLECTOR = "metrics-logger-and-collector"
TAIL_LINES = 60
PRINTED = re.compile(r"I\d{4} \S+ +\d+ main\.go:\d+\] (?!Trial Name: |Metrics reported)(.*)")
"""How the collector (Katib 0.19) repeats a line of the trial in its own log."""


class SearchReason(StrEnum):
    """Reasons that are a search's own; those of a single pod are cluster.pods.Blocked."""

    SUGGESTION_NOT_READY = "SuggestionNotReady"
    NEVER_REPORTED = "TrialNeverReported"
    TRIAL_FAILED = "TrialFailed"


@dataclass(frozen=True)
class SearchFinding:
    """One reason. ``fix`` is a command; ``reason`` a SearchReason, a cluster.pods.Blocked, or a
    word of cluster.refusals."""

    experiment: str
    reason: str
    message: str
    fix: str
    trial: str = ""
    pod: str = ""
    lasting: bool = False
    """Whether no waiting ends it."""
    step: str = ""
    """Argo's name of the step whose search it is."""


def findings(cluster: Cluster, run_id: str) -> list[SearchFinding]:
    """Everything that keeps the searches of a run from a result."""
    searches = cluster.list(EXPERIMENT, labels=f"{RUN_LABEL}={run_id}")
    return [
        replace(finding, step=search["metadata"].get("annotations", {}).get(STEP, ""))
        for search in searches
        for finding in of_experiment(cluster, search)
    ]


def of_experiment(cluster: Cluster, experiment: Mapping[str, Any]) -> list[SearchFinding]:
    """The suggestion service first: without it there is no trial."""
    name = experiment["metadata"]["name"]
    finding = suggestion(cluster, name)
    return ([finding] if finding else []) + trials(cluster, name)


def suggestion(cluster: Cluster, name: str) -> SearchFinding | None:
    """Why the suggestion service of an Experiment is not ready; None when it is, or has ended."""
    there = cluster.get(SUGGESTION, name)
    if there is None:
        return None
    holding = {c["type"] for c in there.get("status", {}).get("conditions", []) if _holds(c)}
    if holding & {"DeploymentReady", "Running", "Succeeded"}:
        return None
    pods = [p for p in _pods(cluster, name) if "katib.kubeflow.org/suggestion" in _labels(p)]
    reasons = [b for b in map(blocked, pods) if b]
    fix = f"kubectl -n {cluster.namespace} describe pods -l katib.kubeflow.org/suggestion={name}"
    if pods or reasons:
        because = f": {_words(reasons[0])}" if reasons else ": its pod starts"
        lasting = bool(reasons) and reasons[0].reason in {*LASTING, Blocked.OUT_OF_MEMORY}
    else:
        why = refused_pods(cluster, labels={"katib.kubeflow.org/suggestion": name})
        lasting = why.reason != FAILED_CREATE
        because = f": {why.message}" if lasting else " and nothing is known of its pod"
        fix = why.fix if lasting else fix
    return SearchFinding(
        name,
        SearchReason.SUGGESTION_NOT_READY,
        f"the suggestion service is not ready{because}",
        fix,
        pod=reasons[0].pod if reasons else "",
        lasting=lasting,
    )


def trials(cluster: Cluster, name: str) -> list[SearchFinding]:
    """Failed trials and trials without metrics, with the end of what they printed."""
    findings_of_trials = []
    for trial in cluster.list(TRIAL, labels=f"{EXPERIMENT_OF}={name}"):
        holding = {c["type"] for c in trial.get("status", {}).get("conditions", []) if _holds(c)}
        own = trial["metadata"]["name"]
        if "MetricsUnavailable" in holding:
            findings_of_trials.append(_of_trial(cluster, name, own, SearchReason.NEVER_REPORTED))
        elif "Failed" in holding:
            findings_of_trials.append(_of_trial(cluster, name, own, SearchReason.TRIAL_FAILED))
        elif not holding & {"Succeeded", "Killed", "EarlyStopped"}:
            findings_of_trials += _of_waiting(cluster, name, own)
    return findings_of_trials


def _of_waiting(cluster: Cluster, experiment: str, trial: str) -> list[SearchFinding]:
    """Why a trial that is not done does not go on; nothing where it just runs."""
    pods = _trial_pods(cluster, trial)
    for waiting in filter(None, map(blocked, pods)):
        fix = f"kubectl -n {cluster.namespace} describe pod {waiting.pod}"
        reason, pod = waiting.reason, waiting.pod
        lasting = reason in LASTING
        return [SearchFinding(experiment, reason, waiting.message, fix, trial, pod, lasting)]
    if pods:
        return []
    wanted = f"involvedObject.kind=Job,involvedObject.name={trial},reason=FailedCreate"
    events = cluster.list(EVENT, fields=wanted)
    return [_refused(cluster, experiment, trial, str(e.get("message", ""))) for e in events[-1:]]


def _refused(cluster: Cluster, experiment: str, trial: str, message: str) -> SearchFinding:
    """A trial whose pod a webhook, a quota or a policy refuses: the Job controller says so."""
    job = cluster.get(JOB, trial)
    template = (job or {}).get("spec", {}).get("template", {}).get("metadata", {})
    why = refused_pods(cluster, message, template.get("labels", {}))
    fix = why.fix if why.reason != FAILED_CREATE else ""
    fix = fix or f"kubectl -n {cluster.namespace} describe job {trial}"
    return SearchFinding(experiment, why.reason, why.message, fix, trial, lasting=True)


def last_words(cluster: Cluster, pods: Sequence[Mapping[str, Any]]) -> str:
    """The end of what a trial with these pods printed; empty when they are gone.

    Katib sends the output of the trial to a file, and the collector prints it.
    """
    for pod in pods:
        log = cluster.log(pod["metadata"]["name"], container=COLLECTOR, tail_lines=TAIL_LINES)
        lines = (log or b"").decode(errors="replace").splitlines()
        printed = [match[1] for match in map(PRINTED.match, lines) if match and match[1].strip()]
        if printed:
            return "\n".join(printed)
    return ""


def _of_trial(cluster: Cluster, experiment: str, trial: str, reason: SearchReason) -> SearchFinding:
    pods = _trial_pods(cluster, trial)
    ended = next((b for b in map(blocked, pods) if b), None)
    words = last_words(cluster, pods).strip().splitlines()
    text = words[-1] if words else (_words(ended) if ended else "its pod is gone")
    never = "ended and reported no metric of the objective; it printed last"
    what = never if reason is SearchReason.NEVER_REPORTED else "failed"
    pod = pods[0]["metadata"]["name"] if pods else ""
    fix = f"kubectl -n {cluster.namespace} logs -l {JOB_NAME}={trial} --all-containers"
    return SearchFinding(experiment, reason, f"{trial} {what}: {text}", fix, trial, pod)


def _pods(cluster: Cluster, experiment: str) -> list[dict[str, Any]]:
    return cluster.list(POD, labels=f"{EXPERIMENT_OF}={experiment}")


def _trial_pods(cluster: Cluster, trial: str) -> list[dict[str, Any]]:
    return cluster.list(POD, labels=f"{JOB_NAME}={trial}")


def _labels(thing: Mapping[str, Any]) -> Mapping[str, str]:
    return thing["metadata"].get("labels", {})


def _holds(condition: Mapping[str, Any]) -> bool:
    return condition["status"] == "True"


def _words(finding: PodFinding) -> str:
    code = "" if finding.exit_code is None else f" (exit code {finding.exit_code})"
    return f"{finding.reason}{code}" + (f", {finding.message}" if finding.message else "")
