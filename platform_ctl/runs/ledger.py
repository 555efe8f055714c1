"""The budget ledger in the home's database: what each task of a run cost."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from platform_ctl.home.state import transaction
from platform_ctl.runs.budget import LedgerEntry, money

_COLUMNS = "run_id, task, kind, wall_s, cpu_s, money, trials, saved_by_cache, note"
_ADD = (
    " ON CONFLICT DO UPDATE SET wall_s = wall_s + excluded.wall_s, cpu_s = cpu_s + excluded.cpu_s,"
    " money = money + excluded.money, trials = trials + excluded.trials,"
    " recorded_at = excluded.recorded_at"
)
_REPLACE = (
    # Not INSERT OR REPLACE: the totals' triggers must see what there was before.
    " ON CONFLICT DO UPDATE SET wall_s = excluded.wall_s, cpu_s = excluded.cpu_s,"
    " money = excluded.money, trials = excluded.trials, note = excluded.note,"
    " recorded_at = excluded.recorded_at"
)


@dataclass(frozen=True)
class Ledger:
    """Entries are keyed by run, task, kind and whether the cache saved them.

    ``cpu_s`` is always as the kernel counted it; money follows from the rate
    in force when it is recorded.
    """

    db: sqlite3.Connection
    money_per_cpu_hour: float

    def record(
        self,
        run_id: str,
        task: str,
        kind: str,
        *,
        wall_s: float,
        cpu_s: float,
        trials: int = 0,
        saved_by_cache: bool = False,
        note: str = "",
    ) -> None:
        """The whole of something: recording it again replaces it."""
        cost = money(cpu_s, self.money_per_cpu_hour)
        row = (run_id, task, kind, wall_s, cpu_s, cost, trials, saved_by_cache, note)
        self._insert(row, _REPLACE)

    def add(self, run_id: str, task: str, kind: str, *, wall_s: float, cpu_s: float) -> None:
        """One attempt more: a resumed run pays for what it repeats."""
        cost = money(cpu_s, self.money_per_cpu_hour)
        self._insert((run_id, task, kind, wall_s, cpu_s, cost, 0, False, ""), _ADD)

    def charge_ray(self, run_id: str, task: str, total_cpu_s: float) -> None:
        """Add to ``task`` what the run's Ray has used since it was last charged to a task.

        ``total_cpu_s``: of all its processes since it started. Trials are part
        of that and have their own entry, so that the two together are the total.
        """
        with transaction(self.db):
            (charged,) = self.db.execute(
                "SELECT COALESCE(SUM(cpu_s), 0) FROM ledger"
                " WHERE run_id = ? AND kind IN ('tune', 'ray') AND NOT saved_by_cache",
                (run_id,),
            ).fetchone()
            self.add(run_id, task, "ray", wall_s=0.0, cpu_s=max(0.0, total_cpu_s - charged))

    @contextlib.contextmanager
    def metered(
        self, run_id: str, task: str, kind: str, used_cpu_s: Callable[[], float]
    ) -> Iterator[None]:
        """Add what ``used_cpu_s`` rises by meanwhile."""
        before, begun = used_cpu_s(), time.monotonic()
        try:
            yield
        finally:
            after = used_cpu_s()
            # Less than before: the processes are new ones.
            rise = after - before if after >= before else after
            self.add(run_id, task, kind, wall_s=time.monotonic() - begun, cpu_s=rise)

    def save(self, run_id: str, task: str, of_run_id: str, of_task: str) -> None:
        """A cache hit: the entries of the task that had done the work count as saved."""
        for entry in self.entries(of_run_id):
            if entry.task == of_task and not entry.saved_by_cache:
                self.record(
                    run_id,
                    task,
                    entry.kind,
                    wall_s=entry.wall_s,
                    cpu_s=entry.cpu_s,
                    trials=entry.trials,
                    saved_by_cache=True,
                    note=entry.note,
                )

    def entries(self, run_id: str) -> list[LedgerEntry]:
        """In the order of recording."""
        rows = self.db.execute(
            f"SELECT {_COLUMNS} FROM ledger WHERE run_id = ? ORDER BY rowid", (run_id,)
        )
        return [
            LedgerEntry(**{**dict(r), "saved_by_cache": bool(r["saved_by_cache"])}) for r in rows
        ]

    def _insert(self, row: tuple[object, ...], on_conflict: str) -> None:
        self.db.execute(
            f"INSERT INTO ledger ({_COLUMNS}, recorded_at) VALUES (?,?,?,?,?,?,?,?,?,?)"
            f"{on_conflict}",
            (*row, datetime.now(UTC).isoformat()),
        )
