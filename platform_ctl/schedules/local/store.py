"""Recurring runs, their starts and pauses in the home's database."""

from __future__ import annotations

import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
from filelock import FileLock, Timeout

from platform_ctl.errors import HomeBusy, UnknownName
from platform_ctl.folders import make_private
from platform_ctl.home import sqlite_file
from platform_ctl.home.state import connect, connect_reading, transaction
from platform_ctl.schedules.document import KfpExperiment, Spec
from platform_ctl.schedules.port import (
    Activity,
    Lock,
    NewRecurringRun,
    Pause,
    RecurringRun,
    Server,
)

SERVER = Server(zone="UTC", local=True)
"""This machine: its engine reads cron in UTC, and runs outlive their record."""


def wall_clock() -> int:
    """Whole seconds since the epoch."""
    return int(time.time())


@dataclass(frozen=True)
class Start:
    """One run that a schedule starts, from the moment that its slot is claimed."""

    submission: str
    """Idempotency key of the run: a second submission is the same run."""
    key: str
    slot: int | None
    recurring_run_id: str
    reason: str
    evidence: str
    claimed_at: int
    run_id: str = ""
    ended: str = ""


class LocalSchedules:
    """Implements ``schedules.port.Schedules``. One instance serves one thread."""

    def __init__(
        self,
        database: Path,
        locks: Path,
        clock: Callable[[], int] = wall_clock,
        *,
        reading: bool = False,
    ) -> None:
        """``reading``: only looked at; a home without a database stays without."""
        self._db = connect_reading(database) if reading else connect(database)
        self._locks = locks
        self._clock = clock

    # ---- port -------------------------------------------------------------

    def server(self) -> Server:
        return SERVER

    def list(self) -> Sequence[RecurringRun]:
        return read_runs(self._db)

    def create(self, new: NewRecurringRun) -> RecurringRun:
        run_id = str(uuid.uuid4())
        self._db.execute(
            "INSERT INTO recurring_runs"
            " (id, key, display_name, description, spec, compiled, created_at)"
            " VALUES (?,?,?,?,?,?,?)",
            (
                run_id,
                new.spec.key,
                new.display_name,
                new.description,
                msgspec.json.encode(new.spec).decode(),
                new.compiled,
                self._clock(),
            ),
        )
        return self.get(run_id)

    def enable(self, run_id: str) -> None:
        self._set_enabled(run_id, True)

    def disable(self, run_id: str) -> None:
        self._set_enabled(run_id, False)

    def delete(self, run_id: str) -> None:
        self._db.execute(
            "UPDATE recurring_runs SET deleted = 1, enabled = 0 WHERE id = ?",
            (run_id,),
        )

    def activity(self, run_ids: Sequence[str]) -> Activity:
        marks = ",".join("?" * len(run_ids))
        open_runs = self._db.execute(
            "SELECT run_id FROM schedule_starts"
            f" WHERE ended = '' AND recurring_run_id IN ({marks}) ORDER BY claimed_at",
            tuple(run_ids),
        ).fetchall()
        newest = self._db.execute(
            "SELECT max(slot) AS slot, (SELECT run_id FROM schedule_starts"
            f" WHERE recurring_run_id IN ({marks}) ORDER BY claimed_at DESC, slot DESC LIMIT 1)"
            f" AS run_id FROM schedule_starts WHERE recurring_run_id IN ({marks})",
            (*run_ids, *run_ids),
        ).fetchone()
        flying = tuple(row["run_id"] for row in open_runs)
        return Activity(flying, newest["slot"], newest["run_id"] or "")

    def experiments(self) -> Mapping[str, bool]:
        rows = self._db.execute("SELECT name, archived FROM schedule_experiments")
        return {row["name"]: bool(row["archived"]) for row in rows}

    def put_experiment(self, experiment: KfpExperiment) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO schedule_experiments VALUES (?,?,?)",
            (experiment.name, experiment.description, experiment.archived),
        )

    def pauses(self) -> Mapping[str, Pause]:
        return read_pauses(self._db)

    def pause(self, key: str, pause: Pause) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO schedule_pauses VALUES (?,?,?,?,?)",
            (key, pause.who, pause.why, pause.at, pause.until),
        )

    def resume(self, key: str) -> None:
        self._db.execute("DELETE FROM schedule_pauses WHERE key = ?", (key,))

    @contextmanager
    def lock(self, holder: str) -> Iterator[Lock]:
        make_private(self._locks)
        with exclusive(self._locks / "schedule-apply.lock", "another apply is at work"):
            yield _Held()

    # ---- for the engine ---------------------------------------------------

    def get(self, run_id: str) -> RecurringRun:
        """One record. Raises UnknownName."""
        row = self._db.execute(
            "SELECT * FROM recurring_runs WHERE id = ? AND deleted = 0", (run_id,)
        ).fetchone()
        if row is None:
            raise UnknownName(
                f"no recurring run {run_id!r}", where=run_id, fix="platform-ctl schedule list"
            )
        return _recurring_run(row)

    def get_spec(self, run_id: str) -> Spec:
        """What a record fires, also one that was deleted since."""
        row = self._db.execute("SELECT spec FROM recurring_runs WHERE id = ?", (run_id,)).fetchone()
        return msgspec.json.decode(row["spec"], type=Spec)

    def compiled(self, run_id: str) -> bytes:
        """The compiled pipeline of a record, also of one that was deleted since."""
        row = self._db.execute("SELECT compiled FROM recurring_runs WHERE id = ?", (run_id,))
        return bytes(row.fetchone()["compiled"])

    def claim(self, start: Start) -> bool:
        """Take a slot for this schedule; False when it was taken before, by any version."""
        try:
            self._db.execute(
                "INSERT INTO schedule_starts (submission, key, slot, recurring_run_id, reason,"
                " evidence, claimed_at) VALUES (?,?,?,?,?,?,?)",
                (
                    start.submission,
                    start.key,
                    start.slot,
                    start.recurring_run_id,
                    start.reason,
                    start.evidence,
                    start.claimed_at,
                ),
            )
        except sqlite3.IntegrityError:
            return False
        return True

    def submitted(self, submission: str, run_id: str) -> None:
        """Note the run of a claimed start."""
        self._db.execute(
            "UPDATE schedule_starts SET run_id = ? WHERE submission = ?", (run_id, submission)
        )

    def ended(self, submission: str, state: str) -> None:
        """Note that the run of a start is over."""
        self._db.execute(
            "UPDATE schedule_starts SET ended = ? WHERE submission = ?", (state, submission)
        )

    def open_starts(self) -> Sequence[Start]:
        """Starts whose run has not ended, or was not submitted yet."""
        return self._starts("ended = ''")

    def starts_of(self, key: str) -> Sequence[Start]:
        """Everything that a schedule has started, newest first."""
        return self._starts("key = ?", key)[::-1]

    def start(self, submission: str) -> Start | None:
        """One start by its key."""
        starts = self._starts("submission = ?", submission)
        return starts[0] if starts else None

    def suppressed(self, key: str, reason: str, now: int) -> None:
        """Count a look at which a true condition started nothing."""
        self._db.execute(
            "INSERT INTO schedule_counts VALUES (?, 'suppressed', ?, 1, ?) ON CONFLICT"
            " DO UPDATE SET value = value + 1, slot = excluded.slot",
            (key, reason, now),
        )

    def last_slot(self, run_id: str) -> int | None:
        """The newest slot of one record."""
        return self.activity([run_id]).last_slot

    def count(self, key: str, counted: str, reason: str, slot: int, value: int = 1) -> None:
        """Add to a counter, once for each slot."""
        self._db.execute(
            "INSERT INTO schedule_counts VALUES (?,?,?,?,?) ON CONFLICT DO UPDATE SET"
            " value = value + excluded.value, slot = excluded.slot WHERE slot < excluded.slot",
            (key, counted, reason, value, slot),
        )

    def trigger_state(self, key: str) -> bytes | None:
        """What a condition remembers."""
        row = self._db.execute("SELECT state FROM schedule_triggers WHERE key = ?", (key,))
        stored = row.fetchone()
        return stored["state"].encode() if stored else None

    def put_trigger_state(self, key: str, state: bytes) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO schedule_triggers VALUES (?,?)", (key, state.decode())
        )

    def beat(self) -> None:
        """Note that the engine lives."""
        self._db.execute("INSERT OR REPLACE INTO schedule_engine VALUES (1, ?)", (self._clock(),))

    def _starts(self, condition: str, *values: str) -> Sequence[Start]:
        rows = self._db.execute(
            f"SELECT * FROM schedule_starts WHERE {condition} ORDER BY claimed_at, slot", values
        )
        return [Start(**dict(row)) for row in rows]

    def _set_enabled(self, run_id: str, enabled: bool) -> None:
        with transaction(self._db):
            self.get(run_id)
            self._db.execute(
                "UPDATE recurring_runs SET enabled = ? WHERE id = ?", (enabled, run_id)
            )


def read_runs(db: sqlite3.Connection) -> Sequence[RecurringRun]:
    """All records, oldest first."""
    rows = db.execute("SELECT * FROM recurring_runs WHERE deleted = 0 ORDER BY seq")
    return [_recurring_run(row) for row in rows]


def read_pauses(db: sqlite3.Connection) -> dict[str, Pause]:
    """Pauses by ``team/name``."""
    rows = db.execute("SELECT * FROM schedule_pauses")
    return {r["key"]: Pause(r["who"], r["why"], r["at"], r["until"]) for r in rows}


@contextmanager
def looking(database: Path) -> Iterator[sqlite3.Connection | None]:
    """The home's database, read only; None where it has no schedules yet."""
    if not database.exists():
        yield None
        return
    with sqlite_file.reading(database) as db:
        db.row_factory = sqlite3.Row
        there = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'schedule_engine'")
        yield db if there.fetchone() else None


def read_heartbeat(db: sqlite3.Connection) -> int | None:
    """When the engine last looked; None when it never did."""
    row = db.execute("SELECT heartbeat_at FROM schedule_engine").fetchone()
    return row["heartbeat_at"] if row else None


def read_start(db: sqlite3.Connection, run_id: str) -> Start | None:
    """The start of a run; None for a run of no schedule."""
    row = db.execute("SELECT * FROM schedule_starts WHERE run_id = ?", (run_id,)).fetchone()
    return Start(**dict(row)) if row else None


class _Held:
    """The file's lock lasts as long as the process."""

    def check(self) -> None:
        return


@contextmanager
def exclusive(file: Path, what: str) -> Iterator[None]:
    """Hold a file's lock. Raises HomeBusy at once when another process holds it."""
    make_private(file.parent)
    lock = FileLock(file, mode=0o600)
    try:
        lock.acquire(timeout=0)
    except Timeout as exc:
        raise HomeBusy(what, where=str(file), fix="platform-ctl schedule list") from exc
    try:
        yield
    finally:
        lock.release()


def _recurring_run(row: sqlite3.Row) -> RecurringRun:
    return RecurringRun(
        id=row["id"],
        display_name=row["display_name"],
        description=row["description"],
        enabled=bool(row["enabled"]),
        created_at=row["created_at"],
        spec=msgspec.json.decode(row["spec"], type=Spec),
    )
