"""Metrics of runs, their tasks, the step cache and the ledger.

What counts up is read from the totals that the database keeps (migration 071),
so that a scrape costs the same with ten runs and with ten thousand. What may
come is told as 0 from the start: Prometheus sees an increase only from a value
that it has seen before.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from itertools import groupby, product
from pathlib import Path

from platform_ctl.home import process
from platform_ctl.metrics import catalogue as metrics
from platform_ctl.metrics.catalogue import MetricFamily, Sample
from platform_ctl.metrics.home import reading, seconds
from platform_ctl.models.training_age import NEWEST_ROW
from platform_ctl.recipe.verdict import Verdict
from platform_ctl.runs.record import RunState

_ENDS = tuple(state.value for state in RunState if state.final)
_OPEN = tuple(state.value for state in RunState if not state.final)
_RESULTS = {"HIT": "hit", "MISS": "miss", "BYPASS": "bypass"}


class RecordMetrics:
    """Implements ``metrics.port.Metrics``."""

    name = "records"

    def __init__(self, database: Path) -> None:
        self._database = database

    def samples(self, now: float) -> Iterator[Sample]:
        """Raises sqlite3.Error."""
        with reading(self._database) as db:
            if db is None:
                yield metrics.CACHE_QUARANTINES.of(value=0)
                return
            pipelines = _pipelines(db)
            yield from _runs(db, pipelines)
            yield from _open_runs(db, pipelines)
            yield from _tasks(db)
            yield from _durations(db)
            yield from _verdicts(db)
            yield from _training(db)
            yield from _cache(db, pipelines)
            yield from _cost(db, pipelines)


def _pipelines(db: sqlite3.Connection) -> list[str]:
    """Every pipeline that ever ended a run, or has one open now."""
    rows = db.execute(
        "SELECT pipeline FROM run_totals UNION"
        " SELECT pipeline FROM runs WHERE state IN ('PENDING', 'RUNNING') ORDER BY pipeline"
    )
    return [row["pipeline"] for row in rows]


def _runs(db: sqlite3.Connection, pipelines: list[str]) -> Iterator[Sample]:
    rows = {(r["pipeline"], r["state"]): r for r in db.execute("SELECT * FROM run_totals")}
    for key in product(pipelines, _ENDS):
        row = rows.get(key)
        yield metrics.RUNS.of(*key, value=row["runs"] if row else 0)
        if row:
            yield metrics.RUN_LAST_END.of(*key, value=seconds(row["last_ended_at"]))
            yield metrics.RUN_LAST_DURATION.of(*key, value=row["last_wall_s"])


def _open_runs(db: sqlite3.Connection, pipelines: list[str]) -> Iterator[Sample]:
    """An orphan is open until ``doctor --repair`` or a command that acts on it records its end."""
    counts = dict.fromkeys(product(pipelines, _OPEN), 0)
    orphans = dict.fromkeys(pipelines, 0)
    for row in db.execute(
        "SELECT pipeline, state, pid, pid_started FROM runs WHERE state IN ('PENDING', 'RUNNING')"
    ):
        counts[row["pipeline"], row["state"]] += 1
        orphans[row["pipeline"]] += not process.alive(row["pid"], row["pid_started"])
    for key, count in counts.items():
        yield metrics.RUNS_OPEN.of(*key, value=count)
    for pipeline, count in orphans.items():
        yield metrics.RUNS_ORPHANED.of(pipeline, value=count)


def _tasks(db: sqlite3.Connection) -> Iterator[Sample]:
    for pipeline, task, state, count in db.execute(
        "SELECT pipeline, task, state, sum(tasks) FROM task_totals GROUP BY 1, 2, 3"
    ):
        yield metrics.TASKS.of(pipeline, task, state, value=count)


def _durations(db: sqlite3.Connection) -> Iterator[Sample]:
    bounds = [b for (b,) in db.execute("SELECT * FROM task_duration_bounds ORDER BY 1")]
    rows = db.execute(
        "SELECT pipeline, task, upper_bound_s, sum(tasks), sum(wall_s) FROM task_totals"
        " WHERE upper_bound_s > 0 GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
    )
    for (pipeline, task), group in groupby(rows, lambda row: (row[0], row[1])):
        observed = list(group)
        counts = {row[2]: row[3] for row in observed}
        value = metrics.cumulative(
            [(bound, counts.get(bound, 0)) for bound in bounds], sum(row[4] for row in observed)
        )
        yield metrics.TASK_DURATION.of(pipeline, task, value=value)


def _verdicts(db: sqlite3.Connection) -> Iterator[Sample]:
    rows = {tuple(r)[:3]: r for r in db.execute("SELECT * FROM verdict_totals")}
    tasks = sorted({key[:2] for key in rows})
    for (pipeline, task), verdict in product(tasks, Verdict):
        row = rows.get((pipeline, task, verdict.value))
        key = (pipeline, task, verdict.value)
        yield metrics.VERDICTS.of(*key, value=row["verdicts"] if row else 0)
        if row:
            yield metrics.VERDICT_LAST.of(*key, value=seconds(row["last_at"]))


def _training(db: sqlite3.Connection) -> Iterator[Sample]:
    """From the evaluation that the newest successful run has left."""
    rows = db.execute(
        "SELECT r.pipeline, t.outputs FROM tasks t JOIN runs r ON r.id = t.run_id"
        " WHERE r.state = 'SUCCEEDED' AND instr(t.outputs, ?) ORDER BY r.ended_at DESC",
        (f'"{NEWEST_ROW}":',),
    )
    reported: set[str] = set()
    for pipeline, outputs in rows:
        if pipeline in reported:
            continue
        reported.add(pipeline)
        lists = json.loads(outputs).get("artifacts", {}).values()
        metadata = [artifact.get("metadata", {}) for found in lists for artifact in found]
        newest = next(m[NEWEST_ROW] for m in metadata if NEWEST_ROW in m)
        yield metrics.TRAINING_NEWEST_ROW.of(pipeline, value=seconds(newest))


def _cache(db: sqlite3.Connection, pipelines: list[str]) -> Iterator[Sample]:
    counts = dict.fromkeys(product(pipelines, _RESULTS), 0)
    quarantines = 0
    for pipeline, event, events in db.execute("SELECT * FROM cache_totals"):
        if event == "QUARANTINE":
            quarantines += events
        else:
            counts[pipeline, event] = events
    for (pipeline, event), count in counts.items():
        yield metrics.CACHE_LOOKUPS.of(pipeline, _RESULTS[event], value=count)
    yield metrics.CACHE_QUARANTINES.of(value=quarantines)


def _cost(db: sqlite3.Connection, pipelines: list[str]) -> Iterator[Sample]:
    rows = list(db.execute("SELECT * FROM cost_totals ORDER BY pipeline, kind"))
    for row in (r for r in rows if not r["saved_by_cache"]):
        key = (row["pipeline"], row["kind"])
        yield metrics.COST_CPU.of(*key, value=row["cpu_s"])
        yield metrics.COST_MONEY.of(*key, value=row["money"])
    known = sorted({*pipelines, *(r["pipeline"] for r in rows)})
    for pipeline in known:
        own = [r for r in rows if r["pipeline"] == pipeline]
        saved = [r for r in own if r["saved_by_cache"]]
        yield from _saved(pipeline, saved)
        trials = sum(r["trials"] for r in own if not r["saved_by_cache"])
        yield metrics.TRIALS.of(pipeline, value=trials)


def _saved(pipeline: str, rows: list[sqlite3.Row]) -> Iterator[Sample]:
    """Wall time is that of the steps: what ran inside a step is part of it."""
    sums: tuple[tuple[MetricFamily, float], ...] = (
        (metrics.CACHE_SAVED_WALL, sum(r["wall_s"] for r in rows if r["kind"] == "step")),
        (metrics.CACHE_SAVED_CPU, sum(r["cpu_s"] for r in rows)),
        (metrics.CACHE_SAVED_MONEY, sum(r["money"] for r in rows)),
    )
    for metric, value in sums:
        yield metric.of(pipeline, value=value)
