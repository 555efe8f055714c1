"""The fit of a task: its epochs go to the task's log, and what its workers used to the record."""

from __future__ import annotations

import time
from collections.abc import Callable

from platform_ctl.progress import Progress, complete_history, write
from platform_ctl.runs.spent import Spent
from platform_ctl.training.port import Metrics, Training, TrainingJob


def fit(
    training: Training, job: TrainingJob, head_cpus: float, spent: Callable[[Spent], None]
) -> Metrics:
    """Run a fit of the task that this process executes.

    The result holds ``history``, each figure after each epoch, where every epoch was reported: a
    fit that went on from a kept epoch has none, and the artifact's metadata is the same whenever
    the fit is. ``spent`` hears what the fit had reserved, its head and its workers, for as long
    as it was waited for.
    """
    epochs: list[Progress] = []

    def on_progress(progress: Progress) -> None:
        epochs.append(progress)
        write(progress)

    begun = time.monotonic()
    metrics = training.run(job, on_progress=on_progress)
    wall_s = time.monotonic() - begun
    cpus = head_cpus + job.workers * job.resources.cpus
    spent(Spent("ray", round(wall_s, 3), round(wall_s * cpus, 3)))
    history = complete_history(epochs)
    return {**metrics, "history": history} if history else metrics
