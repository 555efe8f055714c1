"""How many workers and GPUs this machine's Ray holds."""

from __future__ import annotations

from pathlib import Path

from platform_ctl.errors import BadParameter
from platform_ctl.training.local.ray_switches import held_cpus
from platform_ctl.training.port import TrainingJob

WORKERS_PER_CORE = 4
"""More of them make a fit no faster, and each holds half a GiB."""
NVIDIA_GPUS = Path("/proc/driver/nvidia/gpus")


__all__ = [
    "cpus_per_worker",
    "held_cpus",
    "most_workers",
    "most_workers_with_gpus",
    "refuse_what_is_not_there",
]


def most_workers() -> int:
    """How many workers this machine's Ray takes."""
    return WORKERS_PER_CORE * held_cpus()


def held_gpus() -> int:
    """GPUs of this machine, as NVIDIA's driver lists them."""
    return len(list(NVIDIA_GPUS.glob("*")))


def most_workers_with_gpus(gpus: int) -> int:
    """How many workers of so many GPUs each this machine takes. Raises BadParameter for none."""
    fitting = held_gpus() // gpus
    if not fitting:
        raise _too_few_gpus("a worker", gpus)
    return fitting


def cpus_per_worker(job: TrainingJob) -> float:
    """What was asked for, or an equal share of the machine where that is less.

    Workers of a CPU each that do not fit would wait for each other for ever.
    """
    return min(job.resources.cpus, held_cpus() / max(1, job.workers))


def refuse_what_is_not_there(job: TrainingJob) -> None:
    """Raises BadParameter for workers or GPUs that this machine does not have."""
    if job.workers * job.resources.gpus > held_gpus():
        raise _too_few_gpus(f"each of {job.workers} workers", job.resources.gpus)
    if not 1 <= job.workers <= most_workers():
        raise BadParameter(
            f"{job.workers} workers: from 1 to {most_workers()} fit on {held_cpus()} cores",
            where=job.function,
            fix=f"platform-ctl pipeline run NAME -p num_workers={held_cpus()}",
        )


def _too_few_gpus(workers: str, gpus: int) -> BadParameter:
    number = f"{gpus} GPU{'s' if gpus > 1 else ''}"
    return BadParameter(
        f"{workers} is to have {number}: this machine has {held_gpus()}",
        where="training.worker_gpus",
        fix="export PLATFORM_CTL_TRAINING__WORKER_GPUS=0",
    )
