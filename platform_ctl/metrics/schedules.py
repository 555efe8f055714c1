"""Metrics of schedules and of the engine that fires them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from platform_ctl.metrics import catalogue as metrics
from platform_ctl.metrics.catalogue import MetricFamily, Sample
from platform_ctl.metrics.home import reading

_METRICS: Mapping[str, MetricFamily] = {
    "drift": metrics.SCHEDULE_DRIFT,
    "next": metrics.SCHEDULE_NEXT,
    "last": metrics.SCHEDULE_LAST,
    "slots": metrics.SCHEDULE_SLOTS,
    "suppressed": metrics.SCHEDULE_SUPPRESSED,
    "heartbeat": metrics.SCHEDULE_HEARTBEAT,
}
Figures = Callable[[sqlite3.Connection, float], Iterable[tuple[str, tuple[str, ...], float]]]
"""(database, now) -> (key of ``_METRICS``, label values, value)."""


class ScheduleMetrics:
    """Implements ``metrics.port.Metrics``; nothing before the home has schedules."""

    name = "schedules"

    def __init__(self, database: Path, figures: Figures) -> None:
        self._database, self._figures = database, figures

    def samples(self, now: float) -> Iterator[Sample]:
        """Raises sqlite3.Error, and BadSchedule for files that cannot be read."""
        with reading(self._database) as db:
            if db is None or not _has_schedules(db):
                return
            for name, labels, value in self._figures(db, now):
                yield _METRICS[name].of(*labels, value=value)


def _has_schedules(db: sqlite3.Connection) -> bool:
    there = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'recurring_runs'").fetchone()
    return bool(there and db.execute("SELECT 1 FROM recurring_runs LIMIT 1").fetchone())
