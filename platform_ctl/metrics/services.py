"""Metrics of the InferenceServices' processes on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from platform_ctl.metrics import catalogue as metrics
from platform_ctl.metrics.catalogue import Sample
from platform_ctl.serving.local import records


class ServiceMetrics:
    """Implements ``metrics.port.Metrics``. A service that was stopped leaves no note of a process,
    so that one with a note and no process has died."""

    name = "services"

    def __init__(self, services: Path) -> None:
        self._services = services

    def samples(self, now: float) -> Iterator[Sample]:
        """Raises OSError, msgspec.MsgspecError."""
        for spec in sorted(self._services.glob("*/spec.json")):
            files = records.ServiceFiles(spec.parent)
            running = records.read_json(files.running, records.Running)
            if running is not None:
                up = running.supervisor.process() is not None or running.is_orphaned()
                yield metrics.SERVICE_UP.of(files.name, value=up)
