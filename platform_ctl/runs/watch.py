"""The events of a run, from reading its record again and again.

Works on every target, whoever executes: what changed since the last reading is
an event. A task that began and ended between two readings gives one event.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from platform_ctl.runs.record import EventKind, Run, RunEvent, RunState, Task, TaskState

POLL_S = 1.0


def watch(
    read: Callable[[], Run],
    *,
    poll_s: float = POLL_S,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[RunEvent]:
    """Every change until the run has ended, then returns. Begins with what there is now."""
    state: RunState | None = None
    seen: dict[str, Task] = {}
    while True:
        run = read()
        if run.state is not state and not run.state.final:
            yield RunEvent(EventKind.RUN, run.id, run.state)
        for task in run.tasks:
            if _told(seen.get(task.path)) != _told(task):
                yield RunEvent(EventKind.TASK, run.id, task.state, task)
            seen[task.path] = task
        if run.state.final:
            yield RunEvent(EventKind.RUN, run.id, run.state)
            return
        state = run.state
        sleep(poll_s)


def _told(task: Task | None) -> tuple[object, ...]:
    """What of a task is worth an event; one that waits its turn is not."""
    if task is None or (task.state is TaskState.PENDING and not task.blocker):
        return ()
    return (task.state, task.attempts, task.blocker)
