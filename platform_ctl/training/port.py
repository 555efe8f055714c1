"""Training by reference: a function of a recipe, run on as many workers as it asks for.

What crosses the port can cross a machine: ``module:function``, URIs and JSON
values. The function is called once, as

    function(NAME=path of each input, **arguments, out_dir=path, num_workers=N)

and leaves the model in ``out_dir``. It returns its metrics, JSON values by name.
Three more keyword arguments are given to a function whose signature has them:
``report``, to be called with the figures of each epoch, from any process;
``resources_per_worker``, Ray's resources for one worker; ``checkpoints``, the URI
of a folder that outlives the workers (None where they live and die together).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from platform_ctl.progress import Progress

Metrics = dict[str, Any]
OnProgress = Callable[[Progress], None]


class WorkerResources(msgspec.Struct, frozen=True):
    """What one worker gets. ``cpus`` may be a fraction."""

    cpus: float = 1.0
    memory_mib: int = 2048
    gpus: int = 0


class TrainingJob(msgspec.Struct, frozen=True):
    """One fit. The same ``name`` with the same content is the same job."""

    name: str
    """Of the run and the task: a later attempt of the task goes on with this job."""
    function: str
    """``module:function``, importable wherever the workers run."""
    inputs: dict[str, str]
    """Argument name -> URI, or path on this machine, of a file or folder."""
    out: str
    """URI, or path on this machine, of the folder that the function fills."""
    arguments: dict[str, Any] = {}
    """Further arguments, JSON values."""
    workers: int = 1
    resources: WorkerResources = WorkerResources()
    epochs: int = 0
    """How many reports to expect, for the time left; 0: not known."""
    run_id: str = ""
    task: str = ""


class Training(Protocol):
    """Runs fits. On a cluster every method may raise ClusterUnavailable."""

    def run(self, job: TrainingJob, *, on_progress: OnProgress = ...) -> Metrics:
        """Run ``job`` to its end, or go on with it, and return its metrics.

        A job that has succeeded is not run again. Raises BadParameter for more
        workers or GPUs than the target can hold, before anything starts;
        RayUnavailable when the workers do not come up; TrainingFailed when the
        function raised, ran out of time, or lost its workers for good.
        """

    def end_run(self, run_id: str) -> None:
        """End and remove whatever is left of the jobs of a run. Idempotent."""
