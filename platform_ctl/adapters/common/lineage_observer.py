"""Turns what happens to a run into lineage events, in the run's own process and cheaply."""

from __future__ import annotations

import contextlib
import sqlite3

from platform_ctl.adapters.common.lineage_spool import Spool
from platform_ctl.domain import lineage
from platform_ctl.domain.lineage import Event, Producer
from platform_ctl.domain.runs import EventKind, Run, RunEvent, RunState, Task, TaskState


class LineageObserver:
    """Never raises for a full disk: a run goes on without its lineage, and ``repair`` adds it."""

    def __init__(self, spool: Spool, db: sqlite3.Connection, producer: Producer) -> None:
        self._spool, self._db, self._producer = spool, db, producer

    def observe(self, run: Run, event: RunEvent) -> None:
        """START of the run; START and end of its tasks."""
        if event.kind is EventKind.RUN and event.state == RunState.RUNNING:
            self._append([lineage.run_start(run, self._producer)])
        elif event.kind is EventKind.TASK and event.task is not None:
            self._append(self.task_events(run, event.task))

    def ended(self, run: Run) -> None:
        """The run's last event, from its final record."""
        if run.state.final:
            self._append([lineage.run_end(run, self._producer)])

    def task_events(self, run: Run, task: Task, *, started: bool = True) -> list[Event]:
        """What a change of a task's record is worth; ``started`` False when no START was written.

        A skipped task was no run. One that never waited for a process (cached,
        imported) starts and ends at once.
        """
        if task.state is TaskState.RUNNING:
            return [lineage.task_start(run, task, self._producer)] if task.attempts == 1 else []
        if task.state in (TaskState.SKIPPED, TaskState.PENDING):
            return []
        end = lineage.task_end(run, task, self._producer, self._produced_by(run, task))
        if started and task.log and task.attempts:
            return [end]
        return [lineage.task_start(run, task, self._producer), end]

    def missing(self, run: Run) -> list[Event]:
        """Events of an ended run that the spool does not hold, from its records."""
        there = {(e["run"]["runId"], e["eventType"]) for e in self._spool.of_run(run.id)}
        events = [lineage.run_start(run, self._producer)]
        for task in run.tasks:
            events += self.task_events(run, task, started=False)
        if run.state.final:
            events.append(lineage.run_end(run, self._producer))
        return [e for e in events if (e["run"]["runId"], e["eventType"]) not in there]

    def repair(self, run: Run) -> int:
        """Append what is missing; how many events that were. Raises OSError."""
        events = self.missing(run)
        self._spool.append(events)
        return len(events)

    def _append(self, events: list[Event]) -> None:
        with contextlib.suppress(OSError):
            self._spool.append(events)

    def _produced_by(self, run: Run, task: Task) -> tuple[str, str]:
        """(run id, task path) of the work that a cached task took over."""
        if task.state is not TaskState.CACHED:
            return "", ""
        row = self._db.execute(
            "SELECT source_run_id, source_task FROM cache_decisions WHERE run_id=? AND task=?",
            (run.id, task.path),
        ).fetchone()
        return (row[0], row[1]) if row else ("", "")
