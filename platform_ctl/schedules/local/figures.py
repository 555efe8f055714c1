"""Figures of the schedules of this machine, from a database that is only read."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator

from platform_ctl.schedules import due, plan
from platform_ctl.schedules.apply import ScheduleSource
from platform_ctl.schedules.document import Documents
from platform_ctl.schedules.local.store import SERVER, read_pauses, read_runs
from platform_ctl.schedules.plan import PlanState, ScheduleAction
from platform_ctl.schedules.port import RecurringRun, ours

Figure = tuple[str, tuple[str, ...], float]
"""Name, label values, value; the names are those of ``metrics/schedules.py``."""


def figures(
    db: sqlite3.Connection, documents: Documents, source: ScheduleSource, now: int
) -> list[Figure]:
    """Drift by team; next and last slot, slots by outcome, suppressed triggers; the heartbeat."""
    runs = read_runs(db)
    experiments = db.execute("SELECT name, archived FROM schedule_experiments").fetchall()
    state = PlanState(
        documents,
        source.repository,
        source.commit,
        SERVER,
        runs,
        read_pauses(db),
        {row["name"]: bool(row["archived"]) for row in experiments},
    )
    rows = [*_drift(state, now)]
    for run in runs:
        if run.owned_by(source.repository) and run.enabled:
            rows += _slots(db, run, now)
    for row in db.execute("SELECT key, counted, reason, value FROM schedule_counts"):
        labels = tuple(row["key"].split("/"))
        if row["counted"] == "suppressed":
            rows.append(("suppressed", (*labels, row["reason"]), row["value"]))
        else:
            rows.append(("slots", (*labels, row["counted"]), row["value"]))
    for row in db.execute("SELECT heartbeat_at FROM schedule_engine"):
        rows.append(("heartbeat", (), row["heartbeat_at"]))
    return rows


def _drift(state: PlanState, now: int) -> Iterator[Figure]:
    changes = plan.make(state, {}, now=now).changes
    teams = Counter(
        c.key.partition("/")[0] for c in changes if c.action is not ScheduleAction.EXPERIMENT
    )
    applied = {key.partition("/")[0] for key in ours(state.runs, state.source)}
    for team in sorted(state.documents.teams | applied):
        yield "drift", (team,), teams[team]


def _slots(db: sqlite3.Connection, run: RecurringRun, now: int) -> Iterator[Figure]:
    team, _, name = run.key.partition("/")
    count, newest = db.execute(
        "SELECT count(*), max(slot) FROM schedule_starts WHERE key = ? AND slot IS NOT NULL",
        (run.key,),
    ).fetchone()
    yield "slots", (team, name, "fired"), count
    if newest is not None:
        yield "last", (team, name), newest
    if run.spec is None or run.spec.timing is None:
        return
    own = db.execute(
        "SELECT max(slot) FROM schedule_starts WHERE recurring_run_id = ?", (run.id,)
    ).fetchone()[0]
    slot = due.next_slot(run.spec.timing, last=own, created_at=run.created_at, now=now)
    if slot is not None:
        yield "next", (team, name), slot
