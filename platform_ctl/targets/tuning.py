"""Search and training: Katib Experiments, Ray."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from platform_ctl.settings import Settings
from platform_ctl.targets.home import require_local
from platform_ctl.targets.ledger import ledger
from platform_ctl.targets.models import prepared_mlflow_uri

if TYPE_CHECKING:
    from platform_ctl.training.port import Training
    from platform_ctl.tuning.port import SearchRecord, Tuner


def training(settings: Settings) -> Training:
    """Ray for the steps of this run; outside a run (notebook, test), a private one."""
    require_local(settings, "training")
    from platform_ctl.training.local.training import LocalTraining

    run_dir, pid = os.environ.get("PLATFORM_RUN_DIR"), os.environ.get("PLATFORM_RUN_PID")
    if not run_dir or not pid:
        return LocalTraining()
    run_id, task = Path(run_dir).name, os.environ.get("PLATFORM_TASK_NAME", "")

    def charge(cpu_s: float) -> None:
        ledger(settings).charge_ray(run_id, task, cpu_s)

    return LocalTraining(run_dir=Path(run_dir), run_pid=int(pid), charge=charge)


def tuner(settings: Settings) -> Tuner:
    """Runs Katib Experiments; trials that are functions go to the Ray of this process, if any."""
    require_local(settings, "tuner")
    from platform_ctl.tuning.local.tuning import LocalTuner

    return LocalTuner(Path(settings.project_root), settings.money_per_cpu_hour)


def log_search(settings: Settings, record: SearchRecord, run_id: str = "") -> str:
    """Record a search in MLflow as a parent with nested runs; returns the parent's run id."""
    from platform_ctl.tuning.search_tracking import log_search

    return log_search(record, tracking_uri=prepared_mlflow_uri(settings), run_id=run_id)


def draw_search(record: SearchRecord, path: Path) -> None:
    """Best-so-far and parameter importance, as a .png or .html file."""
    from platform_ctl.tuning.search_plots import draw

    draw(record.experiment, record.trials, path)


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
