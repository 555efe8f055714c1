"""Runs compiled pipelines: on this machine, or through the KFP API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from platform_ctl.runs.record import Run, RunEvent, RunRequest


class Orchestrator(Protocol):
    """Run ids are UUID4 strings; methods accept unique prefixes and ``latest``."""

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

    def get(self, run_id: str) -> Run:
        """The record with its tasks. Raises UnknownName."""
        ...

    def list(self, limit: int) -> list[Run]:
        """Newest first, without tasks."""
        ...

    def pipeline_file(self, run_id: str) -> bytes:
        """The compiled pipeline that the run executes. Raises UnknownName."""
        ...

    def resume(self, run_id: str, on_event: Callable[[RunEvent], None]) -> Run:
        """Continue a failed, cancelled or killed run: only what did not finish is executed."""
        ...

    def cancel(self, run_id: str) -> Run:
        """Stop it and its steps. A run that has ended is returned as it is."""
        ...
