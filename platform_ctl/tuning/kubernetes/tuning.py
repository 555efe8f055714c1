"""Searches on a cluster: one Katib Experiment for each search, which a repeated call adopts.

Katib has no limit of time or money: this process looks at the Experiment every
two seconds and ends it when the budget is spent. Used time is counted from the
Experiment's own start, so that a killed process changes nothing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from platform_ctl.cluster.api import POD, Cluster, ResourceKind
from platform_ctl.cluster.outage import through_outage
from platform_ctl.cluster.owner import OwnPod
from platform_ctl.cluster.store import RemoteStore
from platform_ctl.errors import (
    BadExperiment,
    NothingYet,
    SearchFailed,
    UnknownName,
    Unsupported,
    unknown,
)
from platform_ctl.recipe.recipe import Budget
from platform_ctl.runs.budget import Spend, exhausted
from platform_ctl.settings import KubernetesSettings
from platform_ctl.tuning import document
from platform_ctl.tuning.check import check
from platform_ctl.tuning.experiment import Experiment, ExperimentStatus, Trial, TrialState, parse
from platform_ctl.tuning.kubernetes import findings
from platform_ctl.tuning.kubernetes.manifest import (
    DOCUMENT,
    ENDED,
    RUN_LABEL,
    SEARCH,
    SEED,
    SPEC,
    SearchPlace,
    render,
    spec_digest,
)
from platform_ctl.tuning.kubernetes.trials import (
    Pods,
    pods_by_trial,
    read_status,
    read_trials,
    reserved_cpus,
)
from platform_ctl.tuning.port import SearchRecord
from platform_ctl.tuning.progress import BUDGET_REACHED, End, best, with_condition

POLL_S = 2.0
SUGGESTION_TIMEOUT_S = 300.0
"""How long the suggestion service may take to come up."""
SETTLE_S = 60.0
"""How long Katib may take to notice that a search shall end."""


@dataclass(frozen=True)
class KubernetesTuner:
    """Implements tuning.port.Tuner."""

    cluster: Cluster
    store: Callable[[], RemoteStore]
    kubernetes: KubernetesSettings
    money_per_cpu_hour: float = 0.0
    own_pod: OwnPod = field(default_factory=OwnPod)
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)
    suggestion_timeout_s: float = SUGGESTION_TIMEOUT_S

    def load(self, path: Path) -> Experiment:
        return document.load(path)

    def run(
        self,
        experiment: Experiment,
        *,
        search: str,
        trial: str = "",
        inputs: Mapping[str, str] | None = None,
        budget: Budget,
        seed: int | None = None,
        on_trial: Callable[[Trial], None] = lambda trial: None,
        warm_start: Sequence[Trial] = (),
    ) -> ExperimentStatus:
        check(experiment)
        if warm_start:
            raise Unsupported(
                "Katib's suggestions cannot learn from another search",
                where="--warm-start",
                fix="platform-ctl experiment run FILE",
            )
        if seed is None:
            seed = int(experiment.spec.algorithm.settings.get("random_state", 0))
        if budget.trials is not None:
            limit = experiment.spec.max_trial_count or budget.trials
            spec = experiment.spec.with_max_trials(min(limit, budget.trials))
            experiment = msgspec.structs.replace(experiment, spec=spec)
        store = self.store() if inputs else None
        staged = {name: store.stage(uri) for name, uri in (inputs or {}).items()} if store else {}
        self._begin(experiment, search, trial, staged, seed)
        record = self._follow(search, budget, on_trial)
        self._stop_in_flight(record)
        return record.status

    def read(self, search: str) -> SearchRecord:
        manifest = self._found(search)
        if manifest is None:
            raise UnknownName(
                f"there is no search {search!r} on the cluster",
                where=f"namespace {self.cluster.namespace}",
                fix=f"kubectl -n {self.cluster.namespace} get experiments",
            )
        return self._record(manifest)

    def find(self, reference: str) -> str:
        all_of_them = self._ours()
        if not all_of_them:
            raise NothingYet(
                f"there is no search yet, so there is no {reference!r}",
                where=f"namespace {self.cluster.namespace}",
                fix="platform-ctl experiment run FILE",
            )
        if reference == "latest":
            newest = max(all_of_them, key=lambda e: e["metadata"]["creationTimestamp"])
            return _search_of(newest)
        names = {_search_of(e): e["metadata"]["name"] for e in all_of_them}
        matching = [s for s, name in names.items() if reference in (s, name)] or [
            s for s in names if s.startswith(reference)
        ]
        if len(matching) == 1:
            return matching[0]
        raise unknown(
            f"{'several searches' if matching else 'no search'} called {reference!r}",
            reference,
            sorted(names),
            where=f"namespace {self.cluster.namespace}",
            fix="platform-ctl experiment show {}",
            otherwise=f"platform-ctl experiment show {min(names)}",
        )

    def end_run(self, run_id: str) -> None:
        end_run(self.cluster, run_id)

    # ---- one search ---------------------------------------------------------------

    def _begin(
        self, experiment: Experiment, search: str, trial: str, inputs: dict[str, str], seed: int
    ) -> None:
        """Make the Experiment, or adopt the one that is there and bring its counts up to date."""
        image = self.kubernetes.image or self.own_pod.image
        place = SearchPlace(self.kubernetes, image, self.own_pod.owners, self.own_pod.node)
        manifest = render(experiment, search, place, trial=trial, inputs=inputs, seed=seed)
        if through_outage(partial(self.cluster.create, manifest), self.sleep) is not None:
            return
        there = self._found(search)
        digest = spec_digest(experiment, trial, inputs, seed)
        if there is None or there["metadata"]["annotations"].get(SPEC) != digest:
            raise BadExperiment(
                "this search exists with another spec, seed or input; only parallelTrialCount, "
                "maxTrialCount and maxFailedTrialCount may change",
                where=f"Experiment {manifest['metadata']['name']}",
                fix=f"platform-ctl experiment run FILE --name {experiment.name}-2",
            )
        counts = ("parallelTrialCount", "maxTrialCount", "maxFailedTrialCount")
        wanted = {k: manifest["spec"][k] for k in counts if k in manifest["spec"]}
        ended = ENDED in there["metadata"]["annotations"]
        if not ended and any(there["spec"].get(k) != v for k, v in wanted.items()):
            document_now = manifest["metadata"]["annotations"][DOCUMENT]
            change = {"metadata": {"annotations": {DOCUMENT: document_now}}, "spec": wanted}
            self.cluster.patch(self._kind("Experiment"), there["metadata"]["name"], change)

    def _follow(
        self, search: str, budget: Budget, on_trial: Callable[[Trial], None]
    ) -> SearchRecord:
        """Until the end. Raises SearchFailed where the search cannot begin."""
        heard: set[str] = set()
        begun = time.monotonic()
        while True:
            record = through_outage(partial(self.read, search), self.sleep)
            for trial in record.trials:
                if trial.state.is_final and trial.name not in heard:
                    heard.add(trial.name)
                    on_trial(trial)
            if record.status.outcome is not None:
                return record
            if reason := self._exhausted(record, budget):
                return self._end_by_budget(record, search, reason)
            if not record.trials and time.monotonic() - begun > self.suggestion_timeout_s:
                self._refuse_to_wait(record, search)
            self.sleep(POLL_S)

    def _exhausted(self, record: SearchRecord, budget: Budget) -> str | None:
        start = record.status.start_time
        now = datetime.now(UTC)
        cpus = reserved_cpus(record.experiment)
        running = sum(
            (now - t.start_time).total_seconds() * cpus
            for t in record.trials
            if not t.state.is_final and t.start_time
        )
        spend = Spend(
            wall_s=(now - start).total_seconds() if start else 0.0,
            cpu_s=running + sum(t.cpu_s for t in record.trials),
        )
        return exhausted(budget, spend, money_per_cpu_hour=self.money_per_cpu_hour)

    def _end_by_budget(self, record: SearchRecord, search: str, reason: str) -> SearchRecord:
        """Leave the trials that are done; those in flight are stopped.

        Katib calls a search complete when ``maxTrialCount`` trials are done: that
        is set to what there is. A search without a finished trial is removed.
        """
        done = sum(t.state.is_final for t in record.trials)
        in_flight = len(record.trials) - done
        top = best(record.experiment, record.trials)
        used = f"; best so far is {top[0].name}" if top else "; no usable trial"
        stopped = f"; {in_flight} in flight stopped" if in_flight else ""
        end = End(
            "Succeeded" if top else "Failed", BUDGET_REACHED, f"budget: {reason}{stopped}{used}"
        )
        kind, name = self._kind("Experiment"), _name(record)
        if not done:
            self.cluster.delete(kind, name)
            raise SearchFailed(
                f"the search has no usable trial: {end.message}",
                where=f"Experiment {name}",
                fix="platform-ctl run why latest",
            )
        failed = record.experiment.spec.max_failed_trial_count
        spec: dict[str, Any] = {
            "maxTrialCount": done,
            "parallelTrialCount": min(done, record.experiment.spec.parallel_trial_count),
        }
        if failed is not None:
            spec["maxFailedTrialCount"] = min(failed, done)
        note = json.dumps({"type": end.type, "reason": end.reason, "message": end.message})
        self.cluster.patch(kind, name, {"metadata": {"annotations": {ENDED: note}}, "spec": spec})
        self._settle(search)
        return self.read(search)

    def _settle(self, search: str) -> None:
        """Wait until Katib has marked the search as complete: it starts no more trials then."""
        end = time.monotonic() + SETTLE_S
        while time.monotonic() < end:
            manifest = self._found(search) or {}
            conditions = manifest.get("status", {}).get("conditions", [])
            if any(
                c["type"] in ("Succeeded", "Failed") and c["status"] == "True" for c in conditions
            ):
                return
            self.sleep(POLL_S)

    def _stop_in_flight(self, record: SearchRecord) -> None:
        """Trials that would run on after the end of their search (goal reached, budget spent)."""
        kind = self._kind("Trial")
        for trial in record.trials:
            if not trial.state.is_final or trial.state is TrialState.KILLED:
                self.cluster.delete(kind, trial.name)

    def _refuse_to_wait(self, record: SearchRecord, search: str) -> None:
        """Raises SearchFailed, named by what keeps the first trial from starting, where known."""
        blockers = findings.of_experiment(self.cluster, self._found(search) or {})
        if blockers:
            raise SearchFailed(
                blockers[0].message, where=f"Experiment {_name(record)}", fix=blockers[0].fix
            )

    # ---- reading ------------------------------------------------------------------

    def _record(self, manifest: Mapping[str, Any]) -> SearchRecord:
        annotations = manifest["metadata"]["annotations"]
        experiment = parse(json.loads(annotations[DOCUMENT]))
        labels = f"{findings.EXPERIMENT_OF}={manifest['metadata']['name']}"
        objects = self.cluster.list(self._kind("Trial"), labels=labels)
        pods = pods_by_trial(self.cluster.list(POD, labels=labels))
        read = read_trials(objects, reserved_cpus(experiment), pods)
        trials = [self._explained(trial, pods.get(trial.name, ())) for trial in read]
        status = read_status(experiment, manifest, trials, datetime.now(UTC))
        if note := annotations.get(ENDED):
            end = End(**json.loads(note))
            now = status.completion_time or datetime.now(UTC)
            status = with_condition(status, end, now=now)
        location = f"{self.cluster.server}{self._kind('Experiment').path(self.cluster.namespace)}"
        where = f"{location}/{manifest['metadata']['name']}"
        return SearchRecord(experiment, status, trials, int(annotations[SEED]), where)

    def _explained(self, trial: Trial, pods: Pods) -> Trial:
        """With the end of what a failed trial printed, while its pod is there."""
        if trial.state not in (TrialState.FAILED, TrialState.METRICS_UNAVAILABLE):
            return trial
        words = findings.last_words(self.cluster, pods).strip().splitlines()
        return msgspec.structs.replace(trial, message=words[-1]) if words else trial

    def _found(self, search: str) -> dict[str, Any] | None:
        return next((e for e in self._ours() if _search_of(e) == search), None)

    def _ours(self) -> list[dict[str, Any]]:
        """The Experiments that this platform made and that are not being removed."""
        manifests = self.cluster.list(self._kind("Experiment"))
        return [
            e
            for e in manifests
            if SEARCH in e["metadata"].get("annotations", {})
            and not e["metadata"].get("deletionTimestamp")
        ]

    def _kind(self, kind: str) -> ResourceKind:
        return self.cluster.kind_of({"apiVersion": findings.VERSION, "kind": kind})


def end_run(cluster: Cluster, run_id: str) -> None:
    """Remove the Experiments of a run; with them go their trials and the suggestion service."""
    kind = cluster.kind(findings.VERSION, "Experiment")
    if kind is None:
        return
    for search in cluster.list(kind, labels=f"{RUN_LABEL}={run_id}"):
        cluster.delete(kind, search["metadata"]["name"])


def _search_of(manifest: Mapping[str, Any]) -> str:
    return str(manifest["metadata"]["annotations"][SEARCH])


def _name(record: SearchRecord) -> str:
    return record.location.rpartition("/")[2]
