"""The budget ledger in the home's database: what each task of a run cost."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime

from platform_ctl.domain.budget import LedgerEntry, money

_COLUMNS = "run_id, task, kind, wall_s, cpu_s, money, trials, saved_by_cache"


@dataclass(frozen=True)
class Ledger:
    """Entries are keyed by run, task and kind: recording one again replaces it."""

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
    ) -> None:
        """``cpu_s`` as the kernel counted it; money follows from the rate in force now."""
        self.db.execute(
            f"INSERT OR REPLACE INTO ledger ({_COLUMNS}, recorded_at) VALUES (?,?,?,?,?,?,?,?,?)",
            (
                run_id,
                task,
                kind,
                wall_s,
                cpu_s,
                money(cpu_s, self.money_per_cpu_hour),
                trials,
                saved_by_cache,
                datetime.now(UTC).isoformat(),
            ),
        )

    def save(self, run_id: str, task: str, of_run_id: str, of_task: str) -> None:
        """A cache hit: the entries of the task that had done the work count as saved."""
        for entry in self.entries(of_run_id):
            if entry.task == of_task:
                self.record(
                    run_id,
                    task,
                    entry.kind,
                    wall_s=entry.wall_s,
                    cpu_s=entry.cpu_s,
                    trials=entry.trials,
                    saved_by_cache=True,
                )

    def entries(self, run_id: str) -> list[LedgerEntry]:
        """In the order of recording."""
        rows = self.db.execute(
            f"SELECT {_COLUMNS} FROM ledger WHERE run_id = ? ORDER BY rowid", (run_id,)
        )
        return [
            LedgerEntry(**{**dict(r), "saved_by_cache": bool(r["saved_by_cache"])}) for r in rows
        ]
