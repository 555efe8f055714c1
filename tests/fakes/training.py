"""Training without workers: the function is called in this process."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from platform_ctl.errors import BadParameter, PlatformError, RayUnavailable, TrainingFailed
from platform_ctl.progress import Progress
from platform_ctl.training import call
from platform_ctl.training.port import Metrics, TrainingJob


class FakeTraining:
    """Implements training.port.Training.

    ``holds``: how many workers there is room for; ``comes_up`` False: none ever
    does; ``lost_after`` N: the workers are lost for good after N epochs.
    """

    def __init__(
        self, *, holds: int = 8, comes_up: bool = True, lost_after: int | None = None
    ) -> None:
        self._holds = holds
        self._comes_up = comes_up
        self._lost_after = lost_after
        self._done: dict[str, Metrics] = {}
        self.called: list[str] = []

    def run(
        self, job: TrainingJob, *, on_progress: Callable[[Progress], None] = lambda progress: None
    ) -> Metrics:
        if job.workers > self._holds or job.resources.gpus:
            raise BadParameter(f"{job.workers} workers do not fit", where=job.name, fix="use fewer")
        if job.name in self._done:
            return self._done[job.name]
        if not self._comes_up:
            raise RayUnavailable("no worker comes up", where=job.name, fix="look at them")
        self.called.append(job.name)
        started = datetime.now(UTC)

        def report(figures: dict[str, float]) -> None:
            if self._lost_after is not None and figures["epoch"] > self._lost_after:
                raise TrainingFailed("the workers are lost", where=job.name, fix="run it again")
            on_progress(call.epoch(job, figures, started))

        try:
            paths = {name: Path(uri) for name, uri in job.inputs.items()}
            cpus = {"CPU": job.resources.cpus}
            found = call.call(job, paths, Path(job.out), report=report, resources_per_worker=cpus)
        except PlatformError:
            raise
        except Exception as exc:
            raise TrainingFailed(str(exc), where=job.name, fix="read the log") from exc
        self._done[job.name] = found
        return found

    def end_run(self, run_id: str) -> None:
        self._done = {name: m for name, m in self._done.items() if not name.startswith(run_id)}
