"""A fit as an object of the cluster: RayJob, or as a preview TrainJob or PyTorchJob.

Formats: KubeRay ray.io/v1, Kubeflow Trainer trainer.kubeflow.org/v1alpha1, Training
Operator kubeflow.org/v1. Pure functions of values.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from platform_ctl.cluster.environment import env_from
from platform_ctl.cluster.owner import STEP
from platform_ctl.errors import ConfigError
from platform_ctl.settings import KubernetesSettings, TrainingSettings
from platform_ctl.training.kubernetes.job_files import INPUTS
from platform_ctl.training.port import TrainingJob

PREFIX = "platform-ctl.io"
JOB_LABEL = f"{PREFIX}/training-job"
RUN_LABEL = f"{PREFIX}/run-id"
ATTEMPT_LABEL = f"{PREFIX}/attempt"
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
MODULE = "platform_ctl.training.kubernetes.entrypoint"
KEEP_FINISHED_S = 600
"""A fit that nobody collected is removed by its operator after this."""
RAY_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.1",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    # A busy node starts a raylet slowly; Ray's own 30 s end in a pod that restarts for ever.
    "RAY_raylet_start_wait_time_s": "180",
    # A worker asks for the head every 2 s; after Ray's own 20 times it ends, and backs off.
    "RAY_NUM_REDIS_GET_RETRIES": "90",
}


@dataclass(frozen=True)
class JobPlan:
    """What a manifest is made of, beside the job."""

    name: str
    attempt: int
    digest: str
    """Of the job; every attempt carries it."""
    files_uri: str
    image: str
    ray_version: str
    training: TrainingSettings
    kubernetes: KubernetesSettings
    owners: list[dict[str, Any]]
    step: str = ""
    """Argo's name of the step that asks for it; empty outside a run."""


def render(job: TrainingJob, plan: JobPlan) -> dict[str, Any]:
    """The object of ``training.kind``."""
    kinds = {"RayJob": ray_job, "TrainJob": train_job, "PyTorchJob": pytorch_job}
    return kinds[plan.training.kind](job, plan)


def ray_job(job: TrainingJob, plan: JobPlan) -> dict[str, Any]:
    """A head that calls the function and holds no worker, and ``job.workers`` workers.

    The operator submits the job itself (HTTPMode): no third pod.
    """
    settings = plan.training
    head = _pod(job, plan, cpus=settings.head_cpus, memory_mib=settings.head_memory_mib, gpus=0)
    worker = job.resources
    pod = _pod(job, plan, cpus=worker.cpus, memory_mib=worker.memory_mib, gpus=worker.gpus)
    group = {
        "groupName": "workers",
        "replicas": job.workers,
        "minReplicas": job.workers,
        "maxReplicas": job.workers,
        "rayStartParams": {"num-cpus": str(math.ceil(worker.cpus))},
        "template": {"spec": _ray(pod, "worker")},
    }
    spec = {
        "entrypoint": f"python -m {MODULE} --job={plan.files_uri}",
        "submissionMode": "HTTPMode",
        "shutdownAfterJobFinishes": True,
        "ttlSecondsAfterFinished": KEEP_FINISHED_S,
        "activeDeadlineSeconds": settings.timeout_s,
        **({"suspend": True} if settings.queue else {}),
        "rayClusterSpec": {
            "rayVersion": plan.ray_version,
            "headGroupSpec": {
                "rayStartParams": {"dashboard-host": "0.0.0.0", "num-cpus": "0"},
                "template": {"spec": _ray(head, "head")},
            },
            "workerGroupSpecs": [group],
        },
    }
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayJob",
        "metadata": _metadata(job, plan),
        "spec": spec,
    }


def pytorch_job(job: TrainingJob, plan: JobPlan) -> dict[str, Any]:
    """Preview: the function in each of N processes, with torch.distributed's environment."""
    worker = job.resources
    pod = _pod(job, plan, cpus=worker.cpus, memory_mib=worker.memory_mib, gpus=worker.gpus)
    pod["containers"][0]["command"] = ["python", "-m", MODULE, f"--job={plan.files_uri}"]
    replica = {"restartPolicy": "Never", "template": {"spec": pod}}
    replicas = {"Master": {"replicas": 1, **replica}}
    if job.workers > 1:
        replicas["Worker"] = {"replicas": job.workers - 1, **replica}
    return {
        "apiVersion": "kubeflow.org/v1",
        "kind": "PyTorchJob",
        "metadata": _metadata(job, plan),
        "spec": {
            "runPolicy": {
                "activeDeadlineSeconds": plan.training.timeout_s,
                "cleanPodPolicy": "All",
                "ttlSecondsAfterFinished": KEEP_FINISHED_S,
                **({"suspend": True} if plan.training.queue else {}),
            },
            "pytorchReplicaSpecs": replicas,
        },
    }


def train_job(job: TrainingJob, plan: JobPlan) -> dict[str, Any]:
    """Preview: a TrainJob of the runtime ``training.runtime``; its pods fetch by themselves."""
    command = f"python -m {MODULE} --job={plan.files_uri}"
    env = [{"name": name, "value": value} for name, value in RAY_ENVIRONMENT.items()]
    return {
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": "TrainJob",
        "metadata": _metadata(job, plan),
        "spec": {
            "runtimeRef": {"name": plan.training.runtime, "kind": "ClusterTrainingRuntime"},
            **({"suspend": True} if plan.training.queue else {}),
            "trainer": {
                "image": plan.image,
                "command": ["sh", "-c", f"{command} --fetch && exec {command}"],
                "env": env,
                "numNodes": job.workers,
                "resourcesPerNode": _resources(
                    job.resources.cpus, job.resources.memory_mib, job.resources.gpus
                ),
            },
        },
    }


def tolerations(texts: list[str]) -> list[dict[str, str]]:
    """``KEY=VALUE:EFFECT`` or ``KEY:EFFECT`` as Kubernetes writes them. Raises ConfigError."""
    entries = []
    for text in texts:
        pair, colon, effect = text.rpartition(":")
        key, equals, value = pair.partition("=")
        if not colon or not key or effect not in ("NoSchedule", "PreferNoSchedule", "NoExecute"):
            raise ConfigError(
                f"{text!r} is not KEY=VALUE:EFFECT",
                where="training.tolerations",
                fix="export PLATFORM_CTL_TRAINING__TOLERATIONS=gpu=true:NoSchedule",
            )
        operator = {"operator": "Equal", "value": value} if equals else {"operator": "Exists"}
        entries.append({"key": key, "effect": effect, **operator})
    return entries


def _metadata(job: TrainingJob, plan: JobPlan) -> dict[str, Any]:
    labels = {
        JOB_LABEL: plan.digest,
        ATTEMPT_LABEL: str(plan.attempt),
        **({RUN_LABEL: job.run_id} if job.run_id else {}),
        **({QUEUE_LABEL: plan.training.queue} if plan.training.queue else {}),
    }
    notes = {f"{PREFIX}/task": job.task, f"{PREFIX}/function": job.function}
    metadata: dict[str, Any] = {
        "name": plan.name,
        "namespace": plan.kubernetes.namespace,
        "labels": labels,
        "annotations": notes | ({STEP: plan.step} if plan.step else {}),
    }
    return metadata | ({"ownerReferences": plan.owners} if plan.owners else {})


def _pod(
    job: TrainingJob, plan: JobPlan, *, cpus: float, memory_mib: int, gpus: int
) -> dict[str, Any]:
    """A pod whose inputs lie under INPUTS before its container starts."""
    container = {
        "image": plan.image,
        "imagePullPolicy": "IfNotPresent",
        "envFrom": env_from(plan.kubernetes),
        "volumeMounts": [{"name": "inputs", "mountPath": INPUTS}],
    }
    fetch = ["python", "-m", MODULE, f"--job={plan.files_uri}", "--fetch"]
    main = {"name": "pytorch", **container, "resources": _resources(cpus, memory_mib, gpus)}
    pod = {
        "restartPolicy": "Never",
        "initContainers": [{"name": "fetch-inputs", **container, "command": fetch}],
        "containers": [main],
        "volumes": [{"name": "inputs", "emptyDir": {}}],
    }
    if plan.training.tolerations:
        pod["tolerations"] = tolerations(plan.training.tolerations)
    return pod


def _ray(pod: dict[str, Any], name: str) -> dict[str, Any]:
    """The pod as KubeRay wants it: it writes the command, and restarts what dies."""
    env = [{"name": key, "value": value} for key, value in RAY_ENVIRONMENT.items()]
    main = {**pod["containers"][0], "name": f"ray-{name}", "env": env}
    rest = {key: value for key, value in pod.items() if key != "restartPolicy"}
    return {**rest, "containers": [main]}


def _resources(cpus: float, memory_mib: int, gpus: int) -> dict[str, Mapping[str, str]]:
    """Requests; memory and GPUs are limits too, CPU is not: idle CPU is nobody's loss."""
    memory = f"{memory_mib}Mi"
    gpu = {"nvidia.com/gpu": str(gpus)} if gpus else {}
    return {
        "requests": {"cpu": f"{round(cpus * 1000)}m", "memory": memory, **gpu},
        "limits": {"memory": memory, **gpu},
    }
