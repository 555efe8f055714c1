"""How many workers and GPUs this machine's Ray holds."""

from __future__ import annotations

from pathlib import Path

from platform_ctl.errors import BadParameter
from platform_ctl.training.local.ray_switches import held_cpus
from platform_ctl.training.port import TrainingJob

WORKERS_PER_CORE = 4
"""More of them make a fit no faster, and each holds half a GiB."""
NVIDIA_GPUS = Path("/proc/driver/nvidia/gpus")


__all__ = ["cpus_per_worker", "held_cpus", "most_workers", "refuse_what_is_not_there"]


def most_workers() -> int:
    """How many workers this machine's Ray takes."""
    return WORKERS_PER_CORE * held_cpus()


def cpus_per_worker(job: TrainingJob) -> float:
    """What was asked for, or an equal share of the machine where that is less.

    Workers of a CPU each that do not fit would wait for each other for ever.
    """
    return min(job.resources.cpus, held_cpus() / max(1, job.workers))


def refuse_what_is_not_there(job: TrainingJob) -> None:
    """Raises BadParameter for workers or GPUs that this machine does not have."""
    gpus = len(list(NVIDIA_GPUS.glob("*")))
    if job.workers * job.resources.gpus > gpus:
        raise BadParameter(
            f"{job.workers} workers with {job.resources.gpus} GPUs each: this machine has {gpus}",
            where="training.worker_gpus",
            fix="export PLATFORM_CTL_TRAINING__WORKER_GPUS=0",
        )
    if not 1 <= job.workers <= most_workers():
        raise BadParameter(
            f"{job.workers} workers: from 1 to {most_workers()} fit on {held_cpus()} cores",
            where=job.function,
            fix=f"platform-ctl pipeline run NAME -p num_workers={held_cpus()}",
        )
