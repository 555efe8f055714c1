"""Charges a run for what it uses while it executes."""

from __future__ import annotations

import time

from platform_ctl.home.process import own_cpu_s
from platform_ctl.runs.cache.values import Hit
from platform_ctl.runs.ledger import Ledger
from platform_ctl.runs.record import Task


class RunCost:
    """One execution of a run, from its making to ``end``."""

    def __init__(self, ledger: Ledger, run_id: str) -> None:
        self._ledger, self._run_id = ledger, run_id
        self._begun, self._before_s = time.monotonic(), own_cpu_s()
        self._steps_s = 0.0

    def task(self, task: Task) -> None:
        """Every change of a task; only executed ones that ended cost something."""
        if task.state.final and task.attempts:
            used = task.usage
            self._steps_s += used.cpu_s
            self._ledger.add(self._run_id, task.path, "step", wall_s=used.wall_s, cpu_s=used.cpu_s)

    def saved(self, task: str, hit: Hit) -> None:
        """The cache answered for ``task``."""
        if hit.run_id != self._run_id:
            self._ledger.save(self._run_id, task, hit.run_id, hit.task)

    def end(self) -> None:
        """The step server has been waited for, and with it every step: the rest is ours."""
        self._ledger.add(
            self._run_id,
            "",
            "orchestrator",
            wall_s=time.monotonic() - self._begun,
            cpu_s=max(0.0, own_cpu_s() - self._before_s - self._steps_s),
        )
