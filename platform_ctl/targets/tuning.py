"""Search and training: Katib Experiments, Ray."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platform_ctl.errors import ConfigError
from platform_ctl.settings import Settings
from platform_ctl.targets.ledger import ledger
from platform_ctl.targets.models import prepared_mlflow_uri
from platform_ctl.targets.step import step_in_pod
from platform_ctl.text import is_reference

if TYPE_CHECKING:
    from platform_ctl.recipe.recipe import Budget
    from platform_ctl.runs.spent import Spent
    from platform_ctl.training.local.training import LocalTraining
    from platform_ctl.training.port import Metrics, Training
    from platform_ctl.tuning.experiment import Experiment
    from platform_ctl.tuning.port import SearchRecord, Tuner


def training(settings: Settings) -> Training:
    """Fits of recipes: on the Ray cluster of the settings, else as the target does it.

    On this machine that is the Ray of this run; outside a run (notebook, test), a private one.
    """
    if settings.training.ray_address:
        return _ray_cluster(settings)
    if settings.target == "local":
        return local_training(settings)
    from platform_ctl.cluster.owner import own_pod
    from platform_ctl.cluster.store import open_store
    from platform_ctl.targets.installation import cluster
    from platform_ctl.training.kubernetes.training import KubernetesTraining

    server = cluster(settings)
    return KubernetesTraining(
        server,
        open_store(settings.storage.artifacts_uri),
        settings.training,
        settings.kubernetes,
        own_pod(server),
    )


def _ray_cluster(settings: Settings) -> Training:
    """Raises ConfigError for a token that is no reference, or one that refers to nothing."""
    from platform_ctl.home.secrets import read_secret
    from platform_ctl.training.ray_cluster.training import RayClusterTraining

    wanted = settings.training
    if wanted.ray_token and not is_reference(wanted.ray_token):
        raise ConfigError(
            "training.ray_token is not a reference (env:NAME or file:PATH)",
            where="setting training.ray_token",
            fix="export PLATFORM_CTL_TRAINING__RAY_TOKEN=env:RAY_TOKEN",
        )
    token = read_secret(wanted.ray_token, os.environ).strip() if wanted.ray_token else ""
    return RayClusterTraining(wanted.ray_address, token, wanted.ray_checkpoints)


def local_training(settings: Settings) -> LocalTraining:
    """The Ray of this run on this machine."""
    from platform_ctl.training.local.training import LocalTraining

    run_dir, pid = os.environ.get("PLATFORM_RUN_DIR"), os.environ.get("PLATFORM_RUN_PID")
    if not run_dir or not pid:
        return LocalTraining()
    run_id, task = Path(run_dir).name, os.environ.get("PLATFORM_TASK_NAME", "")

    def charge(cpu_s: float) -> None:
        ledger(settings).charge_ray(run_id, task, cpu_s)

    return LocalTraining(run_dir=Path(run_dir), run_pid=int(pid), charge=charge)


def tuner(settings: Settings) -> Tuner:
    """Runs Katib Experiments; trials that are functions run in the Ray of this run."""
    if settings.target != "local":
        return _katib(settings)
    from platform_ctl.tuning.local.folder import FolderTuner
    from platform_ctl.tuning.local.tuning import LocalTuner

    return LocalTuner(
        settings.layout,
        FolderTuner(Path(settings.project_root), settings.money_per_cpu_hour),
        connect=lambda: local_training(settings).connect(),
        charge=lambda record: charge_search(settings, record),
    )


def _katib(settings: Settings) -> Tuner:
    from platform_ctl.cluster.owner import own_pod
    from platform_ctl.cluster.store import open_store
    from platform_ctl.targets.installation import cluster
    from platform_ctl.tuning.kubernetes.tuning import KubernetesTuner

    server = cluster(settings)
    return KubernetesTuner(
        server,
        lambda: open_store(settings.storage.artifacts_uri),
        settings.kubernetes,
        settings.money_per_cpu_hour,
        own_pod(server),
    )


def train(
    settings: Settings,
    function: str,
    *,
    inputs: Mapping[str, str],
    arguments: Mapping[str, Any],
    out: str,
    workers: int,
    epochs: int = 0,
) -> Metrics:
    """Run a fit for the task that this process executes; see ``runs.fit.fit``."""
    from platform_ctl.runs.fit import fit
    from platform_ctl.training.port import TrainingJob, WorkerResources

    run_id, task = task_of_this_process(settings)
    worker = settings.training
    job = TrainingJob(
        name=f"{run_id}/{task or function}",
        function=function,
        inputs=dict(inputs),
        out=out,
        arguments=dict(arguments),
        workers=workers,
        resources=WorkerResources(worker.worker_cpus, worker.worker_memory_mib, worker.worker_gpus),
        epochs=epochs,
        run_id=run_id,
        task=task,
    )
    return fit(training(settings), job, worker.head_cpus, _spent_of_step(settings))


def tune(
    settings: Settings,
    experiment: Experiment,
    trial: str,
    *,
    inputs: Mapping[str, str],
    budget: Budget,
    seed: int,
) -> SearchRecord:
    """Run the search of the task that this process executes, and record it in MLflow.

    Each trial that ends is a line of the task's log. Outside a run, the search has a new id.
    """
    from platform_ctl.tuning.search import Search, run_search

    run_id, _ = task_of_this_process(settings)
    search_id = run_id or f"{experiment.name}-{uuid.uuid4().hex[:8]}"
    search = Search(search_id, experiment, trial, inputs, budget, seed)
    record = run_search(tuner(settings), search, _spent_of_step(settings))
    package = trial.partition(":")[0].rpartition(".")[0]
    log_search(settings, record, run_id, experiment=package.rpartition(".")[2])
    return record


def task_of_this_process(settings: Settings) -> tuple[str, str]:
    """Run id and task name of the step that this process executes; empty outside a run.

    On a cluster both stand on the pod.
    """
    if settings.target == "local":
        return os.environ.get("PLATFORM_RUN_ID", ""), os.environ.get("PLATFORM_TASK_NAME", "")
    step = step_in_pod(settings)
    return step.run_id, step.task


def _spent_of_step(settings: Settings) -> Callable[[Spent], None]:
    """Notes what a job of this step used, which on a cluster is not this process; on this machine
    the ledger is charged as the job runs."""
    from platform_ctl.runs.spent import write

    if settings.target != "kubernetes":
        return lambda spent: None
    return lambda spent: write(step_in_pod(settings), spent)


def log_search(
    settings: Settings, record: SearchRecord, run_id: str = "", experiment: str = ""
) -> str:
    """Record a search in MLflow as a parent with nested runs; returns the parent's run id.

    ``experiment``: the MLflow experiment, when it is not that of the search's own name.
    """
    from platform_ctl.tuning.search_tracking import log_search

    return log_search(
        record,
        tracking_uri=prepared_mlflow_uri(settings),
        artifacts=None if settings.mlflow_tracking_uri else settings.layout.mlflow / "artifacts",
        experiment=experiment,
        run_id=run_id,
    )


def charge_search(settings: Settings, record: SearchRecord) -> None:
    """Charge this run's task with the trials that ran in its Ray; outside a run, nobody."""
    from platform_ctl.tuning.progress import cut_short, wall_s

    if run_id := os.environ.get("PLATFORM_RUN_ID"):
        ledger(settings).record(
            run_id,
            os.environ.get("PLATFORM_TASK_NAME", ""),
            "tune",
            wall_s=wall_s(record.status),
            cpu_s=sum(trial.cpu_s for trial in record.trials),
            trials=record.status.trials,
            note=cut_short(record.status),
        )
