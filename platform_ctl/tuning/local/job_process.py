"""Trials as processes: the command of the template's Job, collected from output or a file.

Each process leads a group of its own, which dies with this one; its output is
the trial's log. What the cluster would add (image, volumes, resources,
restarts within ``backoffLimit``) is not there: a crash is a crash.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from platform_ctl.tuning.experiment import Experiment, Trial
from platform_ctl.tuning.local.executor import LOG, Follower, TrialOutcome, last_line
from platform_ctl.tuning.local.guard import Guard
from platform_ctl.tuning.metrics import MetricReport
from platform_ctl.tuning.template import JobCommand, job_command

TERM_GRACE_S = 2.0


@dataclass
class _Running:
    process: subprocess.Popen[bytes]
    end_pipe: int
    """Read end of a pipe whose write end the process holds: readable when it is gone."""
    metrics: Path
    cpu_s: float = 0.0


class JobExecutor:
    """Raises UnsupportedTrial or BadExperiment at once for what job_command refuses."""

    def __init__(
        self, experiment: Experiment, *, cwd: Path, environment: Mapping[str, str]
    ) -> None:
        probe = {p.name: "0" for p in experiment.spec.parameters}
        job_command(experiment, experiment.name, probe)  # refused here, before any trial
        self._experiment = experiment
        self._cwd = cwd
        self._environment = environment
        self._running: dict[str, _Running] = {}
        self._failed_to_start: list[TrialOutcome] = []
        self._followers: dict[str, Follower] = {}
        self._logs: dict[str, Path] = {}
        self._cpu: dict[str, float] = {}
        self._guard = Guard()

    def start(self, trial: Trial, folder: Path, on_report: Callable[[], None]) -> None:
        command = job_command(self._experiment, trial.name, trial.parameters)
        command, metrics = self._place_metrics(command, folder)
        self._followers[trial.name] = self._follower(metrics)
        end_pipe, held = os.pipe()
        try:
            self._logs[trial.name] = folder / LOG
            with (folder / LOG).open("wb") as log:
                process = subprocess.Popen(
                    command.argv,
                    cwd=self._cwd,
                    env={**self._environment, **command.env},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    pass_fds=(held,),
                    start_new_session=True,
                )
        except OSError as exc:
            os.close(end_pipe)
            self._cpu[trial.name] = 0.0
            self._failed_to_start.append(
                TrialOutcome(trial.name, False, "CannotStart", f"{command.argv[0]}: {exc.strerror}")
            )
            return
        finally:
            os.close(held)
        self._guard.add(process.pid)
        self._running[trial.name] = _Running(process, end_pipe, metrics)

    def wait(self, timeout_s: float) -> list[TrialOutcome]:
        outcomes, self._failed_to_start = self._failed_to_start, []
        if outcomes or not self._running:
            return outcomes
        by_pipe = {r.end_pipe: name for name, r in self._running.items()}
        ready, _, _ = select.select(list(by_pipe), [], [], timeout_s)
        ended = {by_pipe[fd] for fd in ready}
        # A process may close descriptors it does not know; its exit is what counts.
        ended |= {n for n, r in self._running.items() if n not in ended and _exited(r.process)}
        return [self._outcome(name) for name in sorted(ended)]

    def stop(self, name: str) -> None:
        running = self._running.get(name)
        if running is None:
            return
        running.cpu_s = self.cpu_s(name)
        _signal_group(running.process.pid, signal.SIGTERM)
        select.select([running.end_pipe], [], [], TERM_GRACE_S)
        self._reap(name, grace_s=0.0)

    def readings(self, name: str) -> Sequence[MetricReport]:
        return self._followers[name].read(to_end=name not in self._running)

    def mentions(self, name: str, metric: str) -> bool:
        return self._followers[name].mentioned(metric)

    def cpu_s(self, name: str) -> float:
        if name in self._cpu:
            return self._cpu[name]
        running = self._running[name]
        total = 0.0
        with contextlib.suppress(psutil.Error):
            leader = psutil.Process(running.process.pid)
            for process in (leader, *leader.children(recursive=True)):
                with contextlib.suppress(psutil.Error):
                    times = process.cpu_times()
                    total += times.user + times.system + times.children_user + times.children_system
        running.cpu_s = max(running.cpu_s, total)
        return running.cpu_s

    def close(self) -> None:
        for name in list(self._running):
            self.stop(name)
        self._guard.close()

    def _outcome(self, name: str) -> TrialOutcome:
        code = self._reap(name)
        if code == 0:
            return TrialOutcome(name, ok=True)
        what = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        ended = f"the command ended with {what}"
        line = last_line(self._logs[name])
        message = f"{ended}: {line}" if line else ended
        return TrialOutcome(name, False, "BackoffLimitExceeded", message)

    def _reap(self, name: str, grace_s: float = TERM_GRACE_S) -> int:
        """Take the exit code and the kernel's CPU figure, and end what is left of the group."""
        running = self._running.pop(name)
        process = running.process
        group = process.pid
        if not _waitable(group, grace_s):
            _signal_group(group, signal.SIGKILL)
        _, status, usage = os.wait4(group, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        _signal_group(group, signal.SIGKILL)
        self._guard.remove(group)
        os.close(running.end_pipe)
        self._cpu[name] = max(running.cpu_s, usage.ru_utime + usage.ru_stime)
        return process.returncode

    def _place_metrics(self, command: JobCommand, folder: Path) -> tuple[JobCommand, Path]:
        """Each trial's metrics file in its own folder, as each pod has its own file system."""
        collector = self._experiment.spec.metrics_collector_spec
        if collector.collector.kind == "StdOut":
            return command, folder / LOG
        declared = collector.file.path
        mine = folder / Path(declared).name
        return (
            replace(
                command,
                argv=tuple(word.replace(declared, str(mine)) for word in command.argv),
                env={k: v.replace(declared, str(mine)) for k, v in command.env.items()},
            ),
            mine,
        )

    def _follower(self, metrics: Path) -> Follower:
        collector = self._experiment.spec.metrics_collector_spec
        is_file = collector.collector.kind == "File"
        return Follower(
            metrics,
            metrics=self._experiment.spec.objective.metric_names,
            json_lines=is_file and collector.file.format == "JSON",
            filters=collector.filters,
        )


def _exited(process: subprocess.Popen[bytes]) -> bool:
    """Whether the process has ended, leaving it to be waited for."""
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _waitable(pid: int, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.001)
    return True


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
