"""Search and training: Katib Experiments, Ray."""

from __future__ import annotations

import os
import sys
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platform_ctl.errors import ConfigError
from platform_ctl.progress import Progress, complete_history
from platform_ctl.progress import line as progress_line
from platform_ctl.settings import Settings, is_reference
from platform_ctl.targets.ledger import ledger
from platform_ctl.targets.models import prepared_mlflow_uri
from platform_ctl.targets.step import step_in_pod

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
    return RayClusterTraining(wanted.ray_address, token)


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
    """Run a fit for the task that this process executes; its epochs go to the task's log.

    ``function`` and the rest as in training.port.TrainingJob. The result holds ``history``, each
    figure after each epoch, where every epoch was reported: a fit that went on from a kept epoch
    has none, and the artifact's metadata is the same whenever the fit is.
    """
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
    epochs_seen: list[Progress] = []

    def on_progress(progress: Progress) -> None:
        epochs_seen.append(progress)
        _write_progress(progress)

    begun = time.monotonic()
    metrics = training(settings).run(job, on_progress=on_progress)
    if settings.target == "kubernetes":
        _write_spent(settings, _spent_on_fit(settings, workers, time.monotonic() - begun))
    history = complete_history(epochs_seen)
    return {**metrics, "history": history} if history else metrics


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
    from platform_ctl.tuning.progress import TrialLines, finished_trials

    run_id, _ = task_of_this_process(settings)
    search = run_id or f"{experiment.name}-{uuid.uuid4().hex[:8]}"
    made = tuner(settings)
    ended = finished_trials(lambda: made.read(search).trials)
    made.run(
        experiment,
        search=search,
        trial=trial,
        inputs=inputs,
        budget=budget,
        seed=seed,
        on_trial=TrialLines(experiment, _write_progress, ended),
    )
    record = made.read(search)
    if settings.target == "kubernetes":
        _write_spent(settings, _spent_on(record))
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


def _write_spent(settings: Settings, spent: Spent) -> None:
    """Of a job of this step: it is not this process that has used it."""
    from platform_ctl.runs.spent import write

    write(step_in_pod(settings), spent)


def _spent_on_fit(settings: Settings, workers: int, wall_s: float) -> Spent:
    """What a fit had reserved: its head and its workers, for as long as it was waited for."""
    from platform_ctl.runs.spent import Spent

    cpus = settings.training.head_cpus + workers * settings.training.worker_cpus
    return Spent("ray", round(wall_s, 3), round(wall_s * cpus, 3))


def _spent_on(record: SearchRecord) -> Spent:
    from platform_ctl.runs.spent import Spent
    from platform_ctl.tuning.progress import cut_short, wall_s

    return Spent(
        "tune",
        wall_s(record.status),
        sum(trial.cpu_s for trial in record.trials),
        trials=record.status.trials,
        note=cut_short(record.status),
    )


def _write_progress(progress: Progress) -> None:
    """On standard output, which is the log of a step."""
    sys.stdout.write(progress_line(progress) + "\n")
    sys.stdout.flush()


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
