"""A finished search as MLflow runs: one parent, one nested run for each trial."""

from __future__ import annotations

import logging
import time
from datetime import datetime
from pathlib import Path

from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from platform_ctl.cluster.answering import MLFLOW, require_answer
from platform_ctl.errors import TargetUnavailable
from platform_ctl.models import mlflow_pages
from platform_ctl.text import without_user
from platform_ctl.tuning.experiment import Trial, TrialState
from platform_ctl.tuning.metrics import finite
from platform_ctl.tuning.port import SearchRecord
from platform_ctl.tuning.progress import best

STATUS = {
    TrialState.SUCCEEDED: "FINISHED",
    TrialState.EARLY_STOPPED: "FINISHED",
    TrialState.KILLED: "KILLED",
}
"""MLflow's run status; what is not listed FAILED."""
RUN_TAG = "platform.run_id"


def log_search(
    record: SearchRecord,
    *,
    tracking_uri: str,
    artifacts: Path | None,
    experiment: str = "",
    run_id: str = "",
) -> str:
    """Log ``record`` once and return the parent's MLflow run id.

    ``experiment``: the MLflow experiment, which is that of the recipe's models; a search without a
    recipe has one by the name of its tuning Experiment. Its files go below ``artifacts``, or where
    a server wants them (None). A search
    that was logged before, recognised by its location and ``run_id``,
    is left alone. Raises TargetUnavailable.
    """
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    require_answer(tracking_uri, MLFLOW)
    try:
        return _log(MlflowClient(tracking_uri), record, (experiment, artifacts), run_id)
    except MlflowException as exc:
        raise TargetUnavailable(
            f"the search is complete, but MLflow did not take it: {exc}",
            where=without_user(tracking_uri),
            fix="platform-ctl config show --origin",
        ) from exc


def _log(
    client: MlflowClient, record: SearchRecord, place: tuple[str, Path | None], run_id: str
) -> str:
    name = record.experiment.name
    experiment_id = mlflow_pages.experiment_id(client, place[0] or name, place[1])
    key = f"{run_id}/{record.location}"
    known = client.search_runs([experiment_id], f"tags.`platform.search` = '{key}'", max_results=1)
    if known:
        return known[0].info.run_id
    parent = client.create_run(
        experiment_id,
        run_name=f"search {run_id[:8]}" if run_id else f"search {name}",
        start_time=_ms(record.status.start_time),
        tags={
            "mlflow.note.content": _description(record, run_id),
            "platform.search": key,
            RUN_TAG: run_id,
            "platform.seed": str(record.seed),
        },
    ).info.run_id
    for trial in record.trials:
        _log_trial(client, experiment_id, parent, trial)
    top = best(record.experiment, record.trials)
    if top is not None:
        metric = record.experiment.spec.objective.objective_metric_name
        client.log_batch(
            parent,
            metrics=[Metric(metric, top[1], int(time.time() * 1000), 0)],
            params=[Param(k, v) for k, v in top[0].parameters.items()],
            tags=[RunTag("platform.best_trial", top[0].name)],
        )
    client.set_terminated(parent, "FINISHED" if top else "FAILED")
    return parent


def _description(record: SearchRecord, run_id: str) -> str:
    """What the search found, in one sentence of Markdown."""
    metric = record.experiment.spec.objective.objective_metric_name
    top = best(record.experiment, record.trials)
    chosen = ", ".join(f"{k} {v}" for k, v in top[0].parameters.items()) if top else ""
    outcome = f"best {metric} {top[1]:.4g} with {chosen}" if top else "no usable trial"
    shown = f"platform-ctl experiment show {run_id[:8] or record.experiment.name}"
    return f"{len(record.trials)} trials, {outcome}. `{shown}`"


def _log_trial(client: MlflowClient, experiment_id: str, parent: str, trial: Trial) -> None:
    run = client.create_run(
        experiment_id,
        run_name=trial.name,
        start_time=_ms(trial.start_time),
        tags={
            "mlflow.parentRunId": parent,
            "katib.state": trial.state.value,
            "katib.reason": trial.reason,
        },
    ).info.run_id
    end = _ms(trial.completion_time) or int(time.time() * 1000)
    observed = trial.observation.metrics if trial.observation else ()
    values = {m.name: finite(m.latest) for m in observed}
    client.log_batch(
        run,
        metrics=[Metric(k, v, end, 0) for k, v in values.items() if v is not None]
        + [Metric("cpu_s", trial.cpu_s, end, 0)],
        params=[Param(k, v) for k, v in trial.parameters.items()],
    )
    client.set_terminated(run, STATUS.get(trial.state, "FAILED"), end)


def _ms(at: datetime | None) -> int | None:
    return int(at.timestamp() * 1000) if at is not None else None
