"""Runs and tasks in the home's SQLite database."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import msgspec

from platform_ctl.errors import NothingYet, unknown_id
from platform_ctl.home import process
from platform_ctl.home.state import Database, transaction
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
    """Each method is one transaction; readers never wait for a run, and change nothing.

    A run whose process is gone reads as failed and orphaned from that moment on;
    ``record_deaths`` writes it down.
    """

    def __init__(
        self, database: Database, on_death: Callable[[str], None] = lambda run_id: None
    ) -> None:
        """``on_death`` hears of a run whose process is gone, before the record says so."""
        self._database = database
        self._on_death = on_death

    def create(self, run: Run, idempotency_key: str = "") -> None:
        """Insert a PENDING run owned by ``run.pid``."""
        self._database.writing().execute(
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
        row = (
            self._database.reading()
            .execute("SELECT * FROM runs WHERE idempotency_key = ?", (request.idempotency_key,))
            .fetchone()
        )
        return _run(row) if row else None

    def own(self, run: Run, pid: int, state: RunState) -> bool:
        """``pid`` is from now on the process of the run; False when another one was quicker."""
        changed = self._database.writing().execute(
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
        changed = self._database.writing().execute(
            "UPDATE runs SET state='PENDING', pid=?, pid_started=?, error='', orphaned=0,"
            " ended_at=NULL WHERE id=? AND pid IS NULL AND state='FAILED' AND orphaned=1",
            (pid, process.started(pid), run_id),
        )
        return changed.rowcount == 1

    def end(self, run_id: str, end: RunEnd) -> None:
        self._database.writing().execute(
            "UPDATE runs SET state=?, error=?, ended_at=?, verdicts=?, outputs=?, pid=NULL"
            " WHERE id=?",
            (end.state, end.error, now(), to_json(end.verdicts), to_json(end.outputs), run_id),
        )

    def save_task(self, run_id: str, task: Task) -> None:
        """Insert or replace the record of one task."""
        self._database.writing().execute(
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
        rows = self._database.reading().execute(
            "SELECT * FROM tasks WHERE run_id=? AND state IN ('SUCCEEDED', 'CACHED')", (run_id,)
        )
        return {row["path"]: _task(row) for row in rows}

    def get(self, run_id: str) -> Run:
        """By id, unique prefix or ``latest``, with tasks in order.

        Raises UnknownName, or NothingYet when there is no run at all.
        """
        db = self._database.reading()
        row, died = _now(db, self._find(run_id))
        tasks = db.execute(
            "SELECT * FROM tasks WHERE run_id=? ORDER BY started_at IS NULL, started_at, path",
            (row["id"],),
        )
        run = replace(_run(row), tasks=tuple(map(_task, tasks)))
        return _ended(run, _last_record(db, row)) if died else run

    def list(self, limit: int) -> list[Run]:
        db = self._database.reading()
        rows = db.execute("SELECT * FROM runs ORDER BY created_at DESC LIMIT ?", (limit,))
        current = [_now(db, row) for row in rows.fetchall()]
        return [_ended(_run(r), _last_record(db, r)) if died else _run(r) for r, died in current]

    def delete(self, run_id: str) -> None:
        self._database.writing().execute("DELETE FROM runs WHERE id=?", (run_id,))

    def owner(self, run_id: str) -> int | None:
        """The pid of the run's process if it is alive."""
        db = self._database.reading()
        row = db.execute("SELECT pid, pid_started FROM runs WHERE id=?", (run_id,)).fetchone()
        return row["pid"] if row and process.alive(row["pid"], row["pid_started"]) else None

    def _find(self, run_id: str) -> sqlite3.Row:
        db = self._database.reading()
        if run_id == "latest":
            cursor = db.execute("SELECT * FROM runs ORDER BY created_at DESC LIMIT 1")
        else:
            cursor = db.execute(
                "SELECT * FROM runs WHERE substr(id, 1, ?) = ? LIMIT 2", (len(run_id), run_id)
            )
        rows = cursor.fetchall()
        if len(rows) == 1 and run_id:
            return rows[0]
        if not db.execute("SELECT 1 FROM runs LIMIT 1").fetchone():
            raise NothingYet(
                f"there is no run yet, so there is no {run_id!r}",
                where="runs of this home",
                fix="platform-ctl pipeline list",
            )
        ids = db.execute("SELECT id FROM runs ORDER BY created_at DESC").fetchall()
        raise unknown_id(
            "run",
            run_id,
            (row["id"] for row in ids),
            where="runs of this home",
            fix="platform-ctl run list",
        )

    def record_deaths(self) -> tuple[str, ...]:
        """Write down what ``get`` says of runs whose process is gone, and so of the tasks that
        they were executing; their ids."""
        db = self._database.reading()
        unfinished = db.execute("SELECT * FROM runs WHERE state IN ('PENDING', 'RUNNING')")
        current = [_now(db, row) for row in unfinished.fetchall()]
        dead = [row for row, died in current if died]
        for row in dead:
            self._on_death(row["id"])
            with transaction(self._database.writing()) as writing:
                _record_death(writing, row)
        return tuple(row["id"] for row in dead)


def _record_death(db: sqlite3.Connection, row: sqlite3.Row) -> None:
    ended_at = _last_record(db, row)
    changed = db.execute(
        "UPDATE runs SET state='FAILED', error=?, orphaned=1, ended_at=?, pid=NULL"
        " WHERE id=? AND pid IS ? AND state IN ('PENDING', 'RUNNING')",
        (ORPHANED, ended_at, row["id"], row["pid"]),
    ).rowcount
    if changed:
        db.execute(
            "UPDATE tasks SET state='FAILED', error=?, ended_at=?"
            " WHERE run_id=? AND state IN ('PENDING', 'RUNNING')",
            (ORPHANED, ended_at, row["id"]),
        )


def _now(db: sqlite3.Connection, row: sqlite3.Row) -> tuple[sqlite3.Row, bool]:
    """The record of a run, and whether its process is gone without having written its end.

    A process writes how the run ended before it exits: the record is read again after the
    process was found to be gone.
    """
    if RunState(row["state"]).final or process.alive(row["pid"], row["pid_started"]):
        return row, False
    again = db.execute("SELECT * FROM runs WHERE id=?", (row["id"],)).fetchone() or row
    died = not RunState(again["state"]).final and again["pid"] == row["pid"]
    return again, died


def _last_record(db: sqlite3.Connection, row: sqlite3.Row) -> str:
    """The last moment of an orphaned run that is on record: when it ended nobody knows."""
    of_tasks = db.execute(
        "SELECT max(started_at), max(ended_at) FROM tasks WHERE run_id=?", (row["id"],)
    ).fetchone()
    return max(filter(None, (row["created_at"], row["started_at"], *of_tasks)))


def _ended(run: Run, ended_at: str) -> Run:
    """An orphaned run as ``record_deaths`` writes it down."""
    tasks = (
        task
        if task.state.final
        else replace(task, state=TaskState.FAILED, error=ORPHANED, ended_at=ended_at)
        for task in run.tasks
    )
    return replace(
        run,
        state=RunState.FAILED,
        error=ORPHANED,
        orphaned=True,
        ended_at=ended_at,
        pid=None,
        tasks=tuple(tasks),
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
