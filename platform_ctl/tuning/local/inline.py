"""Trials as plain calls in this process, one at a time: what happens without Ray.

A trial can be ended between two reports only, and not by a deadline while it
hangs: whoever needs that runs it in Ray or as a Job.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from platform_ctl.tuning.experiment import Trial
from platform_ctl.tuning.local import function
from platform_ctl.tuning.local.executor import METRICS, Follower, TrialOutcome
from platform_ctl.tuning.local.function import TrialFunction
from platform_ctl.tuning.metrics import MetricReport


class StopTrial(BaseException):
    """Raised inside a report to leave the trial function; not an error of the trial."""


class InlineExecutor:
    def __init__(self, trial_function: TrialFunction, metrics: Sequence[str]) -> None:
        self._function = trial_function
        self._metrics = metrics
        self._followers: dict[str, Follower] = {}
        self._cpu: dict[str, float] = {}
        self._base: dict[str, float] = {}
        self._outcomes: list[TrialOutcome] = []
        self._stopped: set[str] = set()

    def start(self, trial: Trial, folder: Path, on_report: Callable[[], None]) -> None:
        """Runs the trial to its end before it returns."""
        name = trial.name
        self._followers[name] = Follower(folder / METRICS, metrics=self._metrics, json_lines=True)

        def check() -> None:
            on_report()
            if name in self._stopped:
                raise StopTrial

        self._base[name] = function.cpu_now()
        try:
            function.call(self._function, trial.parameters, folder, check)
            outcome = TrialOutcome(name, ok=True)
        except StopTrial:
            outcome = None
        except Exception as exc:  # noqa: BLE001 - a trial may raise anything; that is its result
            (folder / "error.txt").write_text(traceback.format_exc())
            outcome = TrialOutcome(name, False, "TrialFailed", f"{type(exc).__name__}: {exc}")
        self._cpu[name] = function.cpu_now() - self._base[name]
        if outcome is not None and name not in self._stopped:
            self._outcomes.append(outcome)

    def wait(self, timeout_s: float) -> list[TrialOutcome]:
        done, self._outcomes = self._outcomes, []
        return done

    def stop(self, name: str) -> None:
        self._stopped.add(name)

    def readings(self, name: str) -> Sequence[MetricReport]:
        return self._followers[name].read()

    def mentions(self, name: str, metric: str) -> bool:
        return self._followers[name].mentioned(metric)

    def cpu_s(self, name: str) -> float:
        if name in self._cpu:
            return self._cpu[name]
        return function.cpu_now() - self._base[name]

    def close(self) -> None:
        """Nothing runs between calls."""
