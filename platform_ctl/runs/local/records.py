"""Runs and tasks in the home's SQLite database."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import msgspec

from platform_ctl.errors import NothingYet, UnknownName
from platform_ctl.home import process
from platform_ctl.home.state import transaction
from platform_ctl.runs.record import (
    ORPHANED,
    CacheUse,
    Outputs,
    Run,
    RunRequest,
    RunState,
    SkippedBy,
    Task,
    TaskState,
    TaskVerdict,
    Usage,
)


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def to_json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


@dataclass(frozen=True)
class RunEnd:
    """How a run ended."""

    state: RunState
    error: str
    verdicts: tuple[TaskVerdict, ...] = ()
    outputs: Outputs = field(default_factory=Outputs)


class RunRecords:
    """Each method is one transaction; readers never wait for a run."""

    def __init__(
        self, db: sqlite3.Connection, on_death: Callable[[str], None] = lambda run_id: None
    ) -> None:
        """``on_death`` hears of a run whose process is gone, before the record says so."""
        self._db = db
        self._on_death = on_death

    def create(self, run: Run, idempotency_key: str = "") -> None:
        """Insert a PENDING run owned by ``run.pid``."""
        self._db.execute(
            "INSERT INTO runs (id, name, pipeline, state, created_at, directory, parameters,"
            " use_cache, pid, pid_started, idempotency_key, scheduled_at)"
            " VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
            (
                run.id,
                run.name,
                run.pipeline,
                run.state,
                run.created_at,
                run.directory,
                to_json(run.parameters),
                run.use_cache,
                run.pid,
                process.started(run.pid) if run.pid else None,
                idempotency_key or None,
                run.scheduled_at,
            ),
        )

    def by_key(self, request: RunRequest) -> Run | None:
        row = self._db.execute(
            "SELECT * FROM runs WHERE idempotency_key = ?", (request.idempotency_key,)
        ).fetchone()
        return _run(row) if row else None

    def own(self, run: Run, pid: int, state: RunState) -> bool:
        """``pid`` is from now on the process of the run; False when another one was quicker."""
        changed = self._db.execute(
            "UPDATE runs SET state=?, pid=?, pid_started=?, error='', orphaned=0, ended_at=NULL,"
            " started_at=COALESCE(started_at, ?) WHERE id=? AND (pid IS ? OR pid = ?)"
            " AND (? <> 'PENDING' OR state = 'PENDING')",
            (
                state,
                pid,
                process.started(pid),
                now() if state is RunState.RUNNING else None,
                run.id,
                run.pid,
                pid,
                state,
            ),
        )
        return changed.rowcount == 1

    def reopen(self, run_id: str, pid: int) -> bool:
        """``pid`` takes over a run whose process died; False when another one was quicker."""
        changed = self._db.execute(
            "UPDATE runs SET state='PENDING', pid=?, pid_started=?, error='', orphaned=0,"
            " ended_at=NULL WHERE id=? AND pid IS NULL AND state='FAILED' AND orphaned=1",
            (pid, process.started(pid), run_id),
        )
        return changed.rowcount == 1

    def end(self, run_id: str, end: RunEnd) -> None:
        self._db.execute(
            "UPDATE runs SET state=?, error=?, ended_at=?, verdicts=?, outputs=?, pid=NULL"
            " WHERE id=?",
            (end.state, end.error, now(), to_json(end.verdicts), to_json(end.outputs), run_id),
        )

    def save_task(self, run_id: str, task: Task) -> None:
        """Insert or replace the record of one task."""
        self._db.execute(
            "INSERT OR REPLACE INTO tasks (run_id, path, name, component, state, started_at,"
            " ended_at, attempts, error, wall_s, cpu_s, peak_memory_bytes, inputs, outputs,"
            " inputs_digest, cache, log, cache_use, skipped_by, skip_cause)"
            " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
            (
                run_id,
                task.path,
                task.name,
                task.component,
                task.state,
                task.started_at,
                task.ended_at,
                task.attempts,
                task.error,
                task.usage.wall_s,
                task.usage.cpu_s,
                task.usage.peak_memory_bytes,
                to_json(task.inputs),
                to_json(task.outputs),
                task.inputs_digest,
                task.cache,
                task.log,
                task.cache_use or "",
                task.skipped_by or "",
                task.skip_cause,
            ),
        )

    def finished(self, run_id: str) -> dict[str, Task]:
        """Tasks whose outputs a resumed run may take over, by path."""
        rows = self._db.execute(
            "SELECT * FROM tasks WHERE run_id=? AND state IN ('SUCCEEDED', 'CACHED')", (run_id,)
        )
        return {row["path"]: _task(row) for row in rows}

    def get(self, run_id: str) -> Run:
        """By id, unique prefix or ``latest``, with tasks in order.

        Raises UnknownName, or NothingYet when there is no run at all.
        """
        self._mark_orphans()
        row = self._find(run_id)
        tasks = self._db.execute(
            "SELECT * FROM tasks WHERE run_id=? ORDER BY started_at IS NULL, started_at, path",
            (row["id"],),
        )
        return replace(_run(row), tasks=tuple(map(_task, tasks)))

    def list(self, limit: int) -> list[Run]:
        self._mark_orphans()
        rows = self._db.execute("SELECT * FROM runs ORDER BY created_at DESC LIMIT ?", (limit,))
        return [_run(row) for row in rows]

    def delete(self, run_id: str) -> None:
        self._db.execute("DELETE FROM runs WHERE id=?", (run_id,))

    def owner(self, run_id: str) -> int | None:
        """The pid of the run's process if it is alive."""
        row = self._db.execute("SELECT pid, pid_started FROM runs WHERE id=?", (run_id,)).fetchone()
        return row["pid"] if row and process.alive(row["pid"], row["pid_started"]) else None

    def _find(self, run_id: str) -> sqlite3.Row:
        if run_id == "latest":
            found = self._db.execute("SELECT * FROM runs ORDER BY created_at DESC LIMIT 1")
        else:
            found = self._db.execute(
                "SELECT * FROM runs WHERE substr(id, 1, ?) = ? LIMIT 2", (len(run_id), run_id)
            )
        rows = found.fetchall()
        if len(rows) == 1:
            return rows[0]
        if not self._db.execute("SELECT 1 FROM runs LIMIT 1").fetchone():
            raise NothingYet(
                f"there is no run yet, so there is no {run_id!r}",
                where="runs of this home",
                fix="platform-ctl pipeline list",
            )
        what = f"more than one run starts with {run_id!r}" if rows else f"no run {run_id!r}"
        raise UnknownName(what, where=run_id, fix="platform-ctl run list")

    def _mark_orphans(self) -> None:
        """A run whose process died has failed, and so have the tasks it was executing."""
        rows = self._db.execute(
            "SELECT id, pid, pid_started FROM runs WHERE state IN ('PENDING', 'RUNNING')"
        ).fetchall()
        for row in rows:
            if process.alive(row["pid"], row["pid_started"]):
                continue
            self._on_death(row["id"])
            with transaction(self._db):
                changed = self._db.execute(
                    "UPDATE runs SET state='FAILED', error=?, orphaned=1, ended_at=?, pid=NULL"
                    " WHERE id=? AND pid IS ? AND state IN ('PENDING', 'RUNNING')",
                    (ORPHANED, now(), row["id"], row["pid"]),
                ).rowcount
                if changed:
                    self._db.execute(
                        "UPDATE tasks SET state='FAILED', error=?, ended_at=?"
                        " WHERE run_id=? AND state IN ('PENDING', 'RUNNING')",
                        (ORPHANED, now(), row["id"]),
                    )


def _run(row: sqlite3.Row) -> Run:
    return Run(
        id=row["id"],
        name=row["name"],
        pipeline=row["pipeline"],
        state=RunState(row["state"]),
        created_at=row["created_at"],
        directory=row["directory"],
        parameters=msgspec.json.decode(row["parameters"]),
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        use_cache=bool(row["use_cache"]),
        scheduled_at=row["scheduled_at"],
        error=row["error"],
        orphaned=bool(row["orphaned"]),
        pid=row["pid"],
        verdicts=tuple(msgspec.json.decode(row["verdicts"], type=list[TaskVerdict])),
        outputs=msgspec.json.decode(row["outputs"], type=Outputs),
    )


def _task(row: sqlite3.Row) -> Task:
    return Task(
        path=row["path"],
        name=row["name"],
        component=row["component"],
        state=TaskState(row["state"]),
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        attempts=row["attempts"],
        error=row["error"],
        usage=Usage(row["wall_s"], row["cpu_s"], row["peak_memory_bytes"]),
        inputs=msgspec.json.decode(row["inputs"], type=Outputs),
        outputs=msgspec.json.decode(row["outputs"], type=Outputs),
        inputs_digest=row["inputs_digest"],
        cache=row["cache"],
        log=row["log"],
        cache_use=CacheUse(row["cache_use"]) if row["cache_use"] else None,
        skipped_by=SkippedBy(row["skipped_by"]) if row["skipped_by"] else None,
        skip_cause=row["skip_cause"],
    )
