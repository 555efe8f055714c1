"""Runs of this machine to look at: implements ``runs.port.RunReader`` on the home's records.

Needs nothing that executes: no step server, no cache, no lineage.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from platform_ctl.errors import BadPipelineFile
from platform_ctl.runs.local.records import RunRecords
from platform_ctl.runs.record import Run, RunEvent, Task
from platform_ctl.runs.select import find
from platform_ctl.runs.watch import watch

POLL_S = 0.2
"""Between two readings of a run that is watched."""
PIPELINE_FILE = "pipeline.yaml"
"""In a run's directory: the IR as it was submitted."""


class LocalRuns:
    """One instance serves one thread."""

    def __init__(self, records: RunRecords) -> None:
        self._records = records

    def get(self, run_id: str) -> Run:
        return self._records.get(run_id)

    def outcomes(self, runs: Sequence[Run]) -> Sequence[Run]:
        return [self._outcome(run) for run in runs]

    def _outcome(self, run: Run) -> Run:
        return find(self, run.id) or run if run.state.final else run

    def list(self, limit: int) -> list[Run]:
        return self._records.list(limit)

    def watch(self, run_id: str) -> Iterator[RunEvent]:
        full_id = self._records.get(run_id).id
        return watch(lambda: self._records.get(full_id), poll_s=POLL_S)

    def log(self, run: Run, task: Task, begin: int = 0) -> bytes:
        path = Path(run.directory) / task.log
        if not task.log or not path.is_file():
            return b""
        with path.open("rb") as file:
            file.seek(begin)
            return file.read()

    def pipeline_file(self, run_id: str) -> bytes:
        path = Path(self._records.get(run_id).directory) / PIPELINE_FILE
        try:
            return path.read_bytes()
        except OSError as exc:
            raise BadPipelineFile(
                f"cannot read the pipeline: {exc.strerror}",
                where=str(path),
                fix="platform-ctl run list",
            ) from exc
