"""Turns what happens to a run into lineage events, in the run's own process and cheaply."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from platform_ctl.home.state import Database
from platform_ctl.lineage import events as lineage
from platform_ctl.lineage.backfill import Backfill
from platform_ctl.lineage.facets import Event, Producer
from platform_ctl.lineage.outbox import Outbox
from platform_ctl.runs.record import EventKind, Run, RunEvent, RunState, Task, TaskState

Trials = Callable[[Run, Task, str], Sequence[Event]]
"""(run, ended task, nominal time) -> events of the trials of the search that the task ran."""


@dataclass(frozen=True)
class _Key:
    """What tells events apart: of one OpenLineage run each kind is written once."""

    run_id: str
    kind: str

    @classmethod
    def of(cls, event: Event) -> _Key:
        return cls(event["run"]["runId"], event["eventType"])


class LineageObserver:
    """Never raises for a full disk: a run goes on without its lineage, and it is written later."""

    def __init__(
        self,
        outbox: Outbox,
        database: Database,
        producer: Producer,
        trials: Trials = lambda run, task, about: (),
    ) -> None:
        self._spool, self._producer, self._trials = outbox, producer, trials
        self._database = database
        self._backfill = Backfill(outbox.folder)
        self._about: dict[str, str] = {}
        self._repaired: set[str] = set()

    def observe(self, run: Run, event: RunEvent) -> None:
        """START of the run; START and end of its tasks."""
        if event.kind is EventKind.RUN and event.state == RunState.RUNNING:
            self._repaired.discard(run.id)
            self._append(run, [lineage.run_start(run, self._producer)])
        elif event.kind is EventKind.TASK and event.task is not None:
            self._append(run, self.task_events(run, event.task))

    def ended(self, run: Run) -> None:
        """The run's last event, from its final record."""
        if run.state.final and run.id not in self._repaired:
            self._append(run, [lineage.run_end(run, self._producer)])

    def task_events(self, run: Run, task: Task, *, started: bool = True) -> list[Event]:
        """What a change of a task's record is worth; ``started`` False when no START was written.

        A skipped task was no run. One that never waited for a process (cached,
        imported) starts and ends at once.
        """
        about = self._nominal_time(run, task)
        if task.state is TaskState.RUNNING:
            first = task.attempts == 1
            return [lineage.task_start(run, task, self._producer, about)] if first else []
        if task.state in (TaskState.SKIPPED, TaskState.PENDING):
            return []
        executed = bool(task.log and task.attempts)
        end = lineage.task_end(run, task, self._producer, self._produced_by(run, task), about)
        inside = self._inside(run, task, about) if executed else []
        if started and executed:
            return [*inside, end]
        return [lineage.task_start(run, task, self._producer, about), *inside, end]

    def missing(self, run: Run) -> list[Event]:
        """Events of a run that the outbox does not hold, from its records."""
        there = {_Key.of(e) for e in self._spool.of_run(run.id)}
        events = [lineage.run_start(run, self._producer)]
        for task in run.tasks:
            events += self.task_events(run, task, started=False)
        if run.state.final:
            events.append(lineage.run_end(run, self._producer))
        return [e for e in events if _Key.of(e) not in there]

    def repair(self, run: Run) -> int:
        """Append what is missing; how many events that were. Raises OSError."""
        with self._backfill.one_at_a_time():
            events = self.missing(run)
            self._spool.append(events)
        if run.state.final:
            self._repaired.add(run.id)
        return len(events)

    def owe(self, run_id: str) -> None:
        """Events of the run are missing: the next run that ends, or ``doctor --repair``, adds
        them."""
        with contextlib.suppress(OSError):
            self._backfill.add(run_id)

    @property
    def backfill(self) -> Backfill:
        return self._backfill

    def _append(self, run: Run, events: list[Event]) -> None:
        try:
            self._spool.append(events)
        except OSError:
            self.owe(run.id)

    def _inside(self, run: Run, task: Task, about: str) -> list[Event]:
        made = []
        if task.state.good:
            made = lineage.materialisations(run, task, self._producer, about)
        return [*made, *self._trials(run, task, about)]

    def _nominal_time(self, run: Run, task: Task) -> str:
        """Of the run, once one of its tasks has told."""
        about = self._about.get(run.id) or lineage.nominal_time([task])
        if about:
            self._about[run.id] = about
        return about

    def _produced_by(self, run: Run, task: Task) -> tuple[str, str]:
        """(run id, task path) of the work that a cached task took over."""
        if task.state is not TaskState.CACHED:
            return "", ""
        row = (
            self._database.reading()
            .execute(
                "SELECT source_run_id, source_task FROM cache_decisions WHERE run_id=? AND task=?",
                (run.id, task.path),
            )
            .fetchone()
        )
        return (row[0], row[1]) if row else ("", "")
