"""How far the running steps of a run are, read from their logs while it is watched."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType

from platform_ctl.errors import PlatformError
from platform_ctl.progress import describe, latest
from platform_ctl.runs.port import RunReader
from platform_ctl.runs.record import Run, RunEvent, Task, TaskState

POLL_S = 1.0
PIPE_S = 10.0
"""How long a pipe is spared a second line about the same step."""


class StepProgress:
    """Give it every event of a run; inside ``with`` it reads the logs of steps that run.

    ``say(path, text)`` gets each new state of a step: ``12 of 20 trials, …``.
    """

    def __init__(
        self, runs: RunReader, say: Callable[[str, str], None], *, poll_s: float = POLL_S
    ) -> None:
        self._runs = runs
        self._say = say
        self._poll_s = poll_s
        self._running: dict[str, tuple[Run, Task]] = {}
        self._read: dict[str, int] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="step-progress", daemon=True)

    def __enter__(self) -> StepProgress:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join(timeout=2 * self._poll_s)

    def __call__(self, event: RunEvent) -> None:
        """In the thread that reads the run: only logs are read in the other one."""
        task = event.task
        if task is None:
            return
        if task.state is not TaskState.RUNNING:
            self._running.pop(task.path, None)
        elif task.path not in self._running or self._running[task.path][1].attempts < task.attempts:
            self._read[task.path] = 0
            self._running[task.path] = (self._runs.get(event.run_id), task)

    def _follow(self) -> None:
        while not self._ended.wait(self._poll_s):
            for path, (run, task) in list(self._running.items()):
                self._look(path, run, task)

    def _look(self, path: str, run: Run, task: Task) -> None:
        try:
            added = self._runs.log(run, task, self._read.get(path, 0))
        except PlatformError:
            return  # the run itself will be told about it; this is a line of comfort
        whole = added[: added.rfind(b"\n") + 1]
        self._read[path] = self._read.get(path, 0) + len(whole)
        if (figures := latest(whole)) and path in self._running:
            self._say(path, describe(figures))


class ThrottledProgress:
    """Passes on what is said of a step at most every ``PIPE_S`` seconds."""

    def __init__(self, say: Callable[[str, str], None], every_s: float = PIPE_S) -> None:
        self._say = say
        self._every_s = every_s
        self._last: dict[str, float] = {}

    def __call__(self, path: str, text: str) -> None:
        now = time.monotonic()
        if now - self._last.get(path, -self._every_s) >= self._every_s:
            self._last[path] = now
            self._say(path, text)
