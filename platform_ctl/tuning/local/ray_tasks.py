"""Trials as tasks of the Ray that this process is connected to.

One CPU each, no process start per trial once the workers are warm. A task that
must end is interrupted, and its worker killed when it does not listen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
import psutil
import ray
from ray.exceptions import RayError, RayTaskError

from platform_ctl.tuning.experiment import Trial
from platform_ctl.tuning.local import function
from platform_ctl.tuning.local.executor import METRICS, Follower, TrialOutcome
from platform_ctl.tuning.local.function import TrialFunction
from platform_ctl.tuning.metrics import MetricReport

STOP_GRACE_S = 1.0
"""From the interrupt to the kill of a worker that does not react."""


class RayExecutor:
    """Raises what Ray raises when the cluster is gone; a failing trial is an outcome."""

    def __init__(self, trial_function: TrialFunction, metrics: Sequence[str]) -> None:
        self._function = ray.put(trial_function)
        self._metrics = metrics
        self._tasks: dict[ray.ObjectRef, str] = {}
        self._folders: dict[str, Path] = {}
        self._followers: dict[str, Follower] = {}
        self._cpu: dict[str, float] = {}
        self._remote = ray.remote(num_cpus=1, max_retries=0)(function.call)

    def start(self, trial: Trial, folder: Path, on_report: Callable[[], None]) -> None:
        name = trial.name
        self._folders[name] = folder
        self._followers[name] = Follower(folder / METRICS, metrics=self._metrics, json_lines=True)
        self._tasks[self._remote.remote(self._function, trial.parameters, folder)] = name

    def wait(self, timeout_s: float) -> list[TrialOutcome]:
        if not self._tasks:
            return []
        done, _ = ray.wait(list(self._tasks), num_returns=1, timeout=timeout_s)
        return [self._outcome(ref) for ref in done]

    def _outcome(self, ref: ray.ObjectRef) -> TrialOutcome:
        name = self._tasks[ref]
        live = self.cpu_s(name)
        del self._tasks[ref]
        try:
            self._cpu[name] = ray.get(ref)
            return TrialOutcome(name, ok=True)
        except RayTaskError as exc:
            cause = exc.cause
            self._cpu[name] = live
            (self._folders[name] / "error.txt").write_text(str(exc))
            return TrialOutcome(name, False, "TrialFailed", f"{type(cause).__name__}: {cause}")
        except RayError as exc:
            self._cpu[name] = live
            message = str(exc).partition("\n")[0]
            return TrialOutcome(name, False, "WorkerDied", f"{type(exc).__name__}: {message}")

    def stop(self, name: str) -> None:
        ref = next((r for r, n in self._tasks.items() if n == name), None)
        if ref is None:
            return
        self._cpu[name] = self.cpu_s(name)
        ray.cancel(ref, force=False)
        done, _ = ray.wait([ref], timeout=STOP_GRACE_S)
        if not done:
            self._cpu[name] = self.cpu_s(name)
            ray.cancel(ref, force=True)
            ray.wait([ref], timeout=STOP_GRACE_S)
        del self._tasks[ref]

    def readings(self, name: str) -> Sequence[MetricReport]:
        return self._followers[name].read()

    def mentions(self, name: str, metric: str) -> bool:
        return self._followers[name].mentioned(metric)

    def cpu_s(self, name: str) -> float:
        """Measured by the worker when the trial ended by itself, else read from the kernel."""
        if name in self._cpu:
            return self._cpu[name]
        with suppress(FileNotFoundError, psutil.Error):
            path = self._folders[name] / function.STARTED
            started = msgspec.json.decode(path.read_bytes(), type=function.Started)
            times = psutil.Process(started.pid).cpu_times()
            total = times.user + times.system + times.children_user + times.children_system
            return max(0.0, total - started.cpu_s)
        return 0.0

    def close(self) -> None:
        for name in list(self._tasks.values()):
            self.stop(name)
