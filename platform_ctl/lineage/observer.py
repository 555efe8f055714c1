"""Turns what happens to a run into lineage events, in the process that follows it and cheaply."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from platform_ctl.errors import KfpUnavailable, NothingYet, UnknownName
from platform_ctl.home.state import Database
from platform_ctl.lineage import events as lineage
from platform_ctl.lineage.backfill import Backfill
from platform_ctl.lineage.facets import Event, Producer
from platform_ctl.lineage.outbox import Outbox
from platform_ctl.runs.port import RunReader
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
        with_inputs: Callable[[Run], Run] = lambda run: run,
    ) -> None:
        """``with_inputs`` completes a record that does not hold what the tasks were given."""
        self._outbox, self._producer, self._trials = outbox, producer, trials
        self._database, self._with_inputs = database, with_inputs
        self._backfill = Backfill(outbox.folder, producer.target)
        self._incomplete: set[str] = set()
        self._about: dict[str, str] = {}

    def observe(self, run: Run, event: RunEvent) -> None:
        """START of the run; START and end of its tasks."""
        if event.kind is EventKind.RUN and event.state == RunState.RUNNING:
            self._begin(run.id)
            self._append(run, [lineage.run_start(run, self._producer)])
        elif event.kind is EventKind.TASK and event.task is not None:
            self._append(run, self.task_events(run, event.task))

    def ended(self, run: Run) -> None:
        """The run's last event, from its final record; of a run that has lost some, none: all that
        is missing is one backfill."""
        if run.id in self._incomplete:
            self._note(run.id)
            return
        try:
            with self._backfill.one_at_a_time():
                if self._backfill.holds(run.id):  # else another process wrote it meanwhile
                    self._outbox.append([lineage.run_end(run, self._producer)])
                    self._backfill.done(run.id)
        except OSError:
            self.owe(run.id)

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
        return self._missing(self._with_inputs(run))

    def _missing(self, run: Run) -> list[Event]:
        there = {_Key.of(e) for e in self._outbox.of_run(run.id)}
        events = [lineage.run_start(run, self._producer)]
        for task in run.tasks:
            events += self.task_events(run, task, started=False)
        if run.state.final:
            events.append(lineage.run_end(run, self._producer))
        return [e for e in events if _Key.of(e) not in there]

    def repair(self, run: Run) -> int:
        """Append what is missing; how many events that were. Raises OSError, KfpUnavailable."""
        run = self._with_inputs(run)
        with self._backfill.one_at_a_time():
            events = self._missing(run)
            self._outbox.append(events)
            if run.state.final:
                self._backfill.done(run.id)
        return len(events)

    def owe(self, run_id: str) -> None:
        """Events of the run are missing: the next run that ends, or ``doctor --repair``, adds
        them."""
        self._incomplete.add(run_id)
        self._note(run_id)

    def write_backfill(self, runs: RunReader) -> bool:
        """Write the events that a full disk, a kill or a server that was away left out; whether
        there were any. What cannot be written or read now waits for another time."""
        written = False
        for run_id in self._backfill.run_ids():
            try:
                run = runs.get(run_id)
                if not run.state.final:
                    continue
                self.repair(run)
            except (NothingYet, UnknownName):  # removed since
                self._backfill.done(run_id)
            except (OSError, KfpUnavailable):
                return written
            self._incomplete.discard(run_id)
            written = True
        return written

    @property
    def backfill(self) -> Backfill:
        return self._backfill

    def _begin(self, run_id: str) -> None:
        """Note that events of the run are to come. One that is noted already has lost some."""
        if self._backfill.holds(run_id):
            self._incomplete.add(run_id)
        self._note(run_id)

    def _note(self, run_id: str) -> None:
        with contextlib.suppress(OSError):
            self._backfill.add(run_id)

    def _append(self, run: Run, events: list[Event]) -> None:
        try:
            self._outbox.append(events)
        except OSError:
            self.owe(run.id)

    def _inside(self, run: Run, task: Task, about: str) -> list[Event]:
        events = []
        if task.state.good:
            events = lineage.materialisations(run, task, self._producer, about)
        return [*events, *self._trials(run, task, about)]

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


@dataclass(frozen=True)
class LineageFromRecord:
    """Writes the events of a run when it has ended, from its record: for a target whose events do
    not hold what a task was given. A kill before leaves the run noted for ``write_backfill``."""

    lineage: LineageObserver

    def observe(self, run: Run, event: RunEvent) -> None:
        if event.kind is EventKind.RUN and not RunState(event.state).final:
            self.lineage.owe(run.id)

    def ended(self, run: Run) -> None:
        """``Delivery`` writes what is noted; a short run may have ended before its first event."""
        self.lineage.owe(run.id)


@dataclass(frozen=True)
class Delivery:
    """After each run: the events that earlier runs are owed, then the delivery of all."""

    lineage: LineageObserver
    runs: RunReader
    start: Callable[[], None]
    """Starts a process that delivers the outbox."""

    def observe(self, run: Run, event: RunEvent) -> None:
        """Nothing is delivered before the end: one process a run."""

    def ended(self, run: Run) -> None:
        self.lineage.write_backfill(self.runs)
        self.start()
