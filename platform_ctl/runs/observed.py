"""Runs with observers: the log and lineage of every run that this process executes or follows.

The engine of a target knows none of them. It tells of events, here as on KFP, and ``ObservedRuns``
passes each to the observers and then to who asked for the run.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from platform_ctl.errors import PlatformError
from platform_ctl.ir.pipeline import Pipeline
from platform_ctl.ir.support import UnsupportedUse
from platform_ctl.runs.port import Orchestrator, RunObserver
from platform_ctl.runs.record import Run, RunEvent, RunRequest, Task

OnEvent = Callable[[RunEvent], None]


@dataclass(frozen=True)
class ObservedRuns:
    """An ``Orchestrator`` whose runs are observed while they are followed.

    A run that is only submitted is observed by the process that executes it, or by nobody: its
    record says the same later (``lineage repair``).
    """

    runs: Orchestrator
    observers: Callable[[], Sequence[RunObserver]]
    """Called when a run is about to be followed: to submit one needs none of what they need."""

    # ---- followed to the end -----------------------------------------------

    def run(self, request: RunRequest, on_event: OnEvent) -> Run:
        return self.follow(lambda tell: self.runs.run(request, tell), on_event)

    def resume(self, run_id: str, on_event: OnEvent) -> Run:
        before = self.runs.get(run_id)
        return self.follow(lambda tell: self.runs.resume(before.id, tell), on_event, before)

    def follow(
        self, execute: Callable[[OnEvent], Run], on_event: OnEvent, before: Run | None = None
    ) -> Run:
        """What ``execute`` returns, with each of its events told to the observers first.

        ``before``: the record of a run that was there already; else the first event tells which
        one it is, and it has not been started before.
        """
        followed, observers = before, self.observers()

        def tell(event: RunEvent) -> None:
            nonlocal followed
            followed = followed or replace(self.runs.get(event.run_id), started_at=None)
            for observer in observers:
                observer.observe(followed, event)
            on_event(event)

        try:
            ended = execute(tell)
        except PlatformError:
            if followed:
                with contextlib.suppress(PlatformError):
                    _tell_end(observers, self.runs.get(followed.id))
            raise
        _tell_end(observers, ended)
        return ended

    # ---- as the target does it ---------------------------------------------

    def get(self, run_id: str) -> Run:
        return self.runs.get(run_id)

    def list(self, limit: int) -> list[Run]:
        return self.runs.list(limit)

    def outcomes(self, runs: Sequence[Run]) -> Sequence[Run]:
        return self.runs.outcomes(runs)

    def watch(self, run_id: str) -> Iterator[RunEvent]:
        return self.runs.watch(run_id)

    def log(self, run: Run, task: Task, begin: int = 0) -> bytes:
        return self.runs.log(run, task, begin)

    def pipeline_file(self, run_id: str) -> bytes:
        return self.runs.pipeline_file(run_id)

    def submit(self, request: RunRequest) -> Run:
        return self.runs.submit(request)

    def cancel(self, run_id: str) -> Run:
        return self.runs.cancel(run_id)

    def delete(self, run: Run) -> None:
        self.runs.delete(run)

    def explain(self, pipeline: Pipeline) -> Sequence[UnsupportedUse]:
        return self.runs.explain(pipeline)


def _tell_end(observers: Sequence[RunObserver], run: Run) -> None:
    """A run that continues without this process has no end yet."""
    if run.state.final:
        for observer in observers:
            observer.ended(run)
