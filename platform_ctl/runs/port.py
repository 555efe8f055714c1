"""Runs compiled pipelines: on this machine, or through the KFP API."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from platform_ctl.ir.pipeline import Pipeline
from platform_ctl.ir.support import UnsupportedUse
from platform_ctl.runs.record import Run, RunEvent, RunRequest, Task


class RunReader(Protocol):
    """What is known about runs. Ids are UUID4 strings; a unique prefix and ``latest`` do too.

    Methods that take one raise UnknownName, and NothingYet where there is no run at all.
    """

    def get(self, run_id: str) -> Run:
        """The record with its tasks."""
        ...

    def list(self, limit: int) -> list[Run]:
        """Newest first, without tasks; -1 for all."""
        ...

    def outcomes(self, runs: Sequence[Run]) -> Sequence[Run]:
        """Runs of ``list`` with their verdicts, and with those of their tasks that measured
        something; in the same order. One that is gone by now, or has not ended, stays as it is."""
        ...

    def watch(self, run_id: str) -> Iterator[RunEvent]:
        """What happens to it until it has ended, whoever executes it.

        Begins with the state of the run and of each task as they are now; of changes that
        follow each other quickly only the last may be seen. The last event is the run's end.
        """
        ...

    def log(self, run: Run, task: Task, begin: int = 0) -> bytes:
        """What the task's newest attempt wrote, from byte ``begin``; empty where there is none.

        Bytes as the step wrote them; a line at the end may be incomplete while it runs.
        """
        ...

    def pipeline_file(self, run_id: str) -> bytes:
        """The compiled pipeline that the run executes, as YAML or JSON. Raises BadPipelineFile
        where the target no longer has it."""
        ...


class Orchestrator(RunReader, Protocol):
    """Executes runs. Beside what is named, methods raise what tells that the target is not there:
    HomeBusy and DiskFull here, KfpUnavailable on a cluster."""

    def run(self, request: RunRequest, on_event: Callable[[RunEvent], None]) -> Run:
        """Run to the end and return the record, whatever the outcome.

        Raises, before anything starts: BadPipelineFile, UnsupportedInPipeline,
        BadParameter, MissingExtra.
        """
        ...

    def submit(self, request: RunRequest) -> Run:
        """Start a run that outlives this process; at once. Raises what ``run`` raises.

        Idempotent by ``request.idempotency_key``: an earlier run with the same
        key is returned as it is; one whose process died is continued, once.
        """
        ...

    def resume(self, run_id: str, on_event: Callable[[RunEvent], None]) -> Run:
        """Continue a failed, cancelled or killed run with the steps that did not finish.

        Returns the record at the end. Raises, before anything starts: UsageError for a run that
        succeeded, HomeBusy or UsageError for one that is still executed, WorkloadFailed where
        KFP does not retry it.
        """
        ...

    def cancel(self, run_id: str) -> Run:
        """Stop it and its steps, and return the record. A run that has ended is returned as it
        is. It may still be running in the record where its steps take long to end."""
        ...

    def delete(self, run: Run) -> None:
        """Forget a run that has ended, and what the target keeps of it: files, pods, jobs."""
        ...

    def explain(self, pipeline: Pipeline) -> Sequence[UnsupportedUse]:
        """What of the pipeline is ignored or refused on this target; raises nothing for it."""
        ...


class RunObserver(Protocol):
    """Writes down what the runs do that this process executes or follows.

    Quick, and raises nothing for a disk or a server that refuses: the run goes on without.
    """

    def observe(self, run: Run, event: RunEvent) -> None:
        """Hears each event; ``run`` is the record from before the run was started or resumed."""
        ...

    def ended(self, run: Run) -> None:
        """Hears of the end, with the final record."""
        ...


class Artifacts(Protocol):
    """Outputs of steps, by the URI that a run's record holds."""

    def fetch(self, uri: str, part: str = "") -> Path | None:
        """A path of this machine with the bytes of an artifact, or of ``part`` of its folder.

        The artifact itself where it is here, else a copy, made once. None where nothing is at
        the URI. Raises StoreUnavailable and MissingExtra where nobody could look.
        """
        ...
