"""An orchestrator that keeps records and executes nothing: each run goes to the end it is given."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from platform_ctl.errors import PlatformError, UnknownName
from platform_ctl.ir.pipeline import Pipeline
from platform_ctl.ir.support import UnsupportedUse
from platform_ctl.runs.record import EventKind, Run, RunEvent, RunRequest, RunState, Task

AT = "2026-11-20T10:00:00.000+00:00"


@dataclass
class FakeRuns:
    """``refused`` is raised before there is a run, ``error`` when it runs.

    ``ends``: the state of each run that was followed; None for one that goes on.
    """

    ends: RunState | None = RunState.SUCCEEDED
    error: PlatformError | None = None
    refused: PlatformError | None = None
    kept: dict[str, Run] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    """Idempotency key -> id of the run that was submitted with it."""

    def run(self, request: RunRequest, on_event: Callable[[RunEvent], None]) -> Run:
        return self._follow(self.submit(request), on_event)

    def submit(self, request: RunRequest) -> Run:
        if self.refused:
            raise self.refused
        run_id = f"run-{len(self.kept) + 1}"
        if request.idempotency_key:
            run_id = self.keys.setdefault(request.idempotency_key, run_id)
        if run_id in self.kept:
            return self.kept[run_id]
        name = request.pipeline.stem
        self.kept[run_id] = Run(
            run_id,
            request.name or name,
            name,
            RunState.PENDING,
            AT,
            "",
            parameters=request.parameters,
        )
        return self.kept[run_id]

    def end(self, run_id: str, state: RunState, *, died: bool = False) -> None:
        """A submitted run has ended."""
        self.kept[run_id] = replace(self.kept[run_id], state=state, orphaned=died, ended_at=AT)

    def resume(self, run_id: str, on_event: Callable[[RunEvent], None]) -> Run:
        return self._follow(self.get(run_id), on_event)

    def _follow(self, run: Run, on_event: Callable[[RunEvent], None]) -> Run:
        self.kept[run.id] = replace(run, state=RunState.RUNNING, started_at=run.started_at or AT)
        on_event(RunEvent(EventKind.RUN, run.id, RunState.RUNNING))
        if self.ends:
            self.kept[run.id] = replace(self.kept[run.id], state=self.ends, ended_at=AT)
        if self.error:
            raise self.error
        if self.ends:
            on_event(RunEvent(EventKind.RUN, run.id, self.ends))
        return self.kept[run.id]

    def get(self, run_id: str) -> Run:
        if run_id not in self.kept:
            raise UnknownName(f"no run {run_id}", where="runs", fix="platform-ctl run list")
        return self.kept[run_id]

    def list(self, limit: int) -> list[Run]:
        newest = list(reversed(self.kept.values()))
        return newest if limit < 0 else newest[:limit]

    def outcomes(self, runs: Sequence[Run]) -> Sequence[Run]:
        return runs

    def watch(self, run_id: str) -> Iterator[RunEvent]:
        yield RunEvent(EventKind.RUN, run_id, self.get(run_id).state)

    def log(self, run: Run, task: Task, begin: int = 0) -> bytes:
        return b""

    def pipeline_file(self, run_id: str) -> bytes:
        return self.get(run_id).pipeline.encode()

    def cancel(self, run_id: str) -> Run:
        run = self.get(run_id)
        self.kept[run_id] = run if run.state.final else replace(run, state=RunState.CANCELED)
        return self.kept[run_id]

    def delete(self, run: Run) -> None:
        del self.kept[run.id]

    def explain(self, pipeline: Pipeline) -> Sequence[UnsupportedUse]:
        return []
