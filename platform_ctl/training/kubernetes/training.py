"""Trains on a cluster: one RayJob for each fit, which a repeated call adopts."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from platform_ctl.cluster.api import Cluster, ResourceKind
from platform_ctl.cluster.outage import through_outage
from platform_ctl.cluster.owner import OwnPod
from platform_ctl.cluster.store import RemoteStore
from platform_ctl.errors import (
    BadParameter,
    ClusterForbidden,
    ConfigError,
    RayUnavailable,
    TrainingFailed,
    from_dict,
)
from platform_ctl.progress import Progress
from platform_ctl.settings import KubernetesSettings, TrainingSettings
from platform_ctl.training import call
from platform_ctl.training.kubernetes.findings import of_job, pods_of
from platform_ctl.training.kubernetes.job_files import JobFiles
from platform_ctl.training.kubernetes.manifests import (
    ATTEMPT_LABEL,
    JOB_LABEL,
    RUN_LABEL,
    JobPlan,
    render,
)
from platform_ctl.training.port import Metrics, OnProgress, TrainingJob

T = TypeVar("T")
POLL_S = 1.0
MAX_WORKERS = 1000
API_VERSIONS = {
    "RayJob": "ray.io/v1",
    "TrainJob": "trainer.kubeflow.org/v1alpha1",
    "PyTorchJob": "kubeflow.org/v1",
}


@dataclass(frozen=True)
class KubernetesTraining:
    """Implements training.port.Training."""

    cluster: Cluster
    store: RemoteStore
    settings: TrainingSettings
    kubernetes: KubernetesSettings
    own_pod: OwnPod = field(default_factory=OwnPod)
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)

    def run(self, job: TrainingJob, *, on_progress: OnProgress = lambda progress: None) -> Metrics:
        """As the port says. The result stays in the object store until ``end_run``."""
        self._refuse(job)
        inputs = {name: self.store.stage(uri) for name, uri in job.inputs.items()}
        staged = replace_inputs(job, inputs)
        digest = job_digest(staged)
        files = JobFiles(f"{self.store.root}/training/{digest}")
        known = files.result()
        if known is None or known.error:
            files.write_job(staged)
            self._see_through(staged, digest, files, on_progress)
            known = files.result()
        self._remove(f"{JOB_LABEL}={digest}")
        if known is None or known.metrics is None:
            if known and known.error:
                raise from_dict(known.error)
            raise TrainingFailed("the fit left no result", where=files.uri, fix=_RESUME)
        RemoteStore(files.uri).download(files.out, Path(job.out))
        return known.metrics

    def end_run(self, run_id: str) -> None:
        """Remove the fits of a run, in whatever state they are."""
        end_run(self.cluster, run_id)

    def _refuse(self, job: TrainingJob) -> None:
        call.resolve(job.function)
        if not 1 <= job.workers <= MAX_WORKERS:
            raise BadParameter(
                f"{job.workers} workers: from 1 to {MAX_WORKERS} are possible",
                where=job.function,
                fix="platform-ctl pipeline run NAME -p num_workers=2",
            )
        if job.resources.gpus and self._gpus() == 0:
            raise BadParameter(
                f"{job.resources.gpus} GPUs a worker: no node of the cluster has nvidia.com/gpu",
                where="training.worker_gpus",
                fix="kubectl get nodes -o yaml | grep nvidia.com/gpu",
            )

    def _gpus(self) -> int | None:
        """GPUs of all nodes; None where the account may not read them: the scheduler says it."""
        try:
            nodes = self.cluster.list(
                ResourceKind("v1", "Node", "nodes", namespaced=False), namespace=""
            )
        except ClusterForbidden:
            return None
        counts = (
            n.get("status", {}).get("allocatable", {}).get("nvidia.com/gpu", 0) for n in nodes
        )
        return sum(int(count) for count in counts)

    # ---- one fit, over all its attempts --------------------------------------

    def _see_through(
        self, job: TrainingJob, digest: str, files: JobFiles, on_progress: OnProgress
    ) -> None:
        """Until there is a result. Raises RayUnavailable, TrainingFailed."""
        current = self._newest(digest)
        attempt = _attempt(current) if current else 0
        if current is None:
            known = files.result()
            if known is not None and known.metrics is not None:
                return  # it ended between two looks
            files.forget_result()
            current = self._create(job, digest, files, attempt)
        while not self._followed(current, files, on_progress):
            if attempt >= self.settings.retries:
                raise self._lost(current)
            self._remove(f"{JOB_LABEL}={digest}")
            attempt += 1
            current = self._create(job, digest, files, attempt)

    def _followed(self, job: dict[str, Any], files: JobFiles, on_progress: OnProgress) -> bool:
        """Whether one attempt ended with a result; False when its cluster was lost."""
        name, kind = job["metadata"]["name"], self.cluster.kind_of(job)
        hear, head, begun = _Listener(files, on_progress), "", time.monotonic()
        while True:
            current = self._answered(partial(self.cluster.get, kind, name))
            if current is None or _ended(current) or self._head_changed(current, head):
                hear()
                return files.result() is not None
            hear()
            if files.result() is not None:
                return True
            head = head or self._ready_head(current)
            if current["spec"].get("suspend"):
                begun = time.monotonic()  # a queue may take its time
            elif not head and time.monotonic() - begun > self.settings.start_timeout_s:
                raise self._not_up(current)
            self.sleep(POLL_S)

    def _ready_head(self, job: dict[str, Any]) -> str:
        """The uid of Ray's head once it is ready; empty before, and for other kinds of jobs."""
        if job["kind"] != "RayJob":
            return "" if not job.get("status") else job["metadata"]["uid"]
        for pod in self._answered(partial(pods_of, self.cluster, job))[:1]:
            statuses = pod.get("status", {}).get("containerStatuses", [])
            if statuses and all(c.get("ready") for c in statuses):
                return str(pod["metadata"]["uid"])
        return ""

    def _head_changed(self, job: dict[str, Any], head: str) -> bool:
        """Whether the head that was ready is gone: Ray does not survive that."""
        if not head or job["kind"] != "RayJob":
            return False
        uids = [
            str(p["metadata"]["uid"]) for p in self._answered(partial(pods_of, self.cluster, job))
        ]
        return head not in uids

    def _answered(self, call: Callable[[], T]) -> T:
        return through_outage(call, self.sleep)

    # ---- objects ----------------------------------------------------------------

    def _newest(self, digest: str) -> dict[str, Any] | None:
        """The latest attempt that exists and can still succeed."""
        kind = self._kind()
        jobs = self.cluster.list(kind, labels=f"{JOB_LABEL}={digest}")
        live = [job for job in jobs if not _ended(job)]
        if not live:
            for job in jobs:
                self.cluster.delete(kind, job["metadata"]["name"])
            return None
        newest = max(live, key=_attempt)
        return {**newest, "apiVersion": kind.group_version, "kind": kind.kind}

    def _kind(self) -> ResourceKind:
        wanted = {"apiVersion": API_VERSIONS[self.settings.kind], "kind": self.settings.kind}
        return self.cluster.kind_of(wanted)

    def _create(
        self, job: TrainingJob, digest: str, files: JobFiles, attempt: int
    ) -> dict[str, Any]:
        plan = JobPlan(
            name=f"fit-{digest[:16]}-{attempt}",
            attempt=attempt,
            digest=digest,
            files_uri=files.uri,
            image=self._image(),
            ray_version=_ray_version(),
            training=self.settings,
            kubernetes=self.kubernetes,
            owners=self.own_pod.owners,
            step=self.own_pod.node,
        )
        manifest = render(job, plan)
        self._answered(partial(self.cluster.create, manifest))
        return manifest

    def _image(self) -> str:
        image = self.kubernetes.image or self.own_pod.image
        if not image:
            raise ConfigError(
                "no image for the pods of a fit",
                where="kubernetes.image",
                fix="export PLATFORM_CTL_KUBERNETES__IMAGE=REGISTRY/NAME@sha256:DIGEST",
            )
        return image

    def _remove(self, labels: str) -> None:
        kind = self._kind()
        for job in self.cluster.list(kind, labels=labels):
            self.cluster.delete(kind, job["metadata"]["name"])

    # ---- words --------------------------------------------------------------------

    def _lost(self, job: dict[str, Any]) -> TrainingFailed:
        findings_of_job = self._current_findings(job)
        reason = (
            f"{findings_of_job[0].reason}: {findings_of_job[0].message}"
            if findings_of_job
            else "its Ray cluster was lost"
        )
        tries = self.settings.retries + 1
        where = f"{job['kind']} {job['metadata']['name']}"
        return TrainingFailed(f"{reason} ({tries} attempts)", where=where, fix=_RESUME)

    def _not_up(self, job: dict[str, Any]) -> RayUnavailable:
        findings_of_job = self._current_findings(job)
        reason = (
            f"{findings_of_job[0].reason}: {findings_of_job[0].message}"
            if findings_of_job
            else "its pods do not come up"
        )
        where = f"{job['kind']} {job['metadata']['name']}"
        fix = (
            findings_of_job[0].fix
            if findings_of_job
            else f"kubectl -n {self.cluster.namespace} get pods"
        )
        return RayUnavailable(reason, where=where, fix=fix)

    def _current_findings(self, job: dict[str, Any]) -> list[Any]:
        current = self.cluster.get(self._kind(), job["metadata"]["name"])
        return of_job(self.cluster, current) if current else []


def end_run(cluster: Cluster, run_id: str) -> None:
    """Remove the fits of a run, of every kind that the cluster serves; with them go their pods."""
    for kind, version in API_VERSIONS.items():
        served = cluster.kind(version, kind)
        if served is None:
            continue
        for job in cluster.list(served, labels=f"{RUN_LABEL}={run_id}"):
            cluster.delete(served, job["metadata"]["name"])


_RESUME = "platform-ctl run resume latest"


@dataclass
class _Listener:
    """Passes on the newest epoch of a fit whenever there is another one."""

    files: JobFiles
    on_progress: OnProgress
    seen: Progress | None = None

    def __call__(self) -> None:
        newest = self.files.progress()
        if newest is not None and newest != self.seen:
            self.seen = newest
            self.on_progress(newest)


def replace_inputs(job: TrainingJob, inputs: dict[str, str]) -> TrainingJob:
    """The job with its inputs in the object store, and nothing in it of this machine."""
    return msgspec.structs.replace(job, inputs=inputs, out="")


def job_digest(job: TrainingJob) -> str:
    """What makes two requests the same fit: name, function, arguments, inputs, workers."""
    return hashlib.sha256(msgspec.json.encode(job, order="deterministic")).hexdigest()[:32]


def _attempt(job: dict[str, Any]) -> int:
    return int(job["metadata"]["labels"][ATTEMPT_LABEL])


def _ended(job: dict[str, Any]) -> bool:
    """Whether the operator has given up on it, or is done with it."""
    if job["metadata"].get("deletionTimestamp"):
        return True
    status = job.get("status", {})
    if status.get("jobDeploymentStatus") in ("Complete", "Failed"):
        return True
    finals = ("Complete", "Succeeded", "Failed")
    return any(c["type"] in finals and c["status"] == "True" for c in status.get("conditions", []))


def _ray_version() -> str:
    from importlib.metadata import version

    return version("ray")
