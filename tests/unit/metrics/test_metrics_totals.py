"""Totals never go down, whatever happens to the records that they were counted from."""

from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from platform_ctl.home import state
from platform_ctl.home.state import Database, connect
from platform_ctl.metrics.catalogue import Histogram, MetricType
from platform_ctl.metrics.records import RecordMetrics
from platform_ctl.runs.ledger import Ledger
from platform_ctl.runs.local.records import RunEnd, RunRecords
from platform_ctl.runs.record import Outputs, Run, RunState, Task, TaskState, Usage

NO_PID = 2**22 + 1
"""Above the largest pid a Linux kernel gives out."""
AT = "2026-01-05T00:00:00.000Z"
ENDS = [state for state in RunState if state.final]
VERDICTS = ("successful", "failed", "inconclusive", "perhaps")


def totals(database: Path) -> dict[tuple[str, ...], float]:
    """Every counter, and the counts of every histogram."""
    found: dict[tuple[str, ...], float] = {}
    for sample in RecordMetrics(database).samples(0):
        if isinstance(sample.value, Histogram):
            for bound, count in sample.value.counts:
                found[(sample.metric.name, *sample.labels, str(bound))] = count
        elif sample.metric.kind is MetricType.COUNTER:
            found[(sample.metric.name, *sample.labels)] = sample.value
    return found


class Homes(RuleBasedStateMachine):
    """Runs start, end, are resumed, die and are pruned, in any order."""

    @initialize()
    def empty(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.database = Path(self.folder.name) / "platform.db"
        self.db = db = connect(self.database)
        self.records, self.ledger = RunRecords(Database(self.database)), Ledger(db, 0.05)
        self.runs: list[str] = []
        self.seen: dict[tuple[str, ...], float] = {}
        self.started = self.ends = 0

    def teardown(self) -> None:
        self.folder.cleanup()

    @rule(pipeline=st.sampled_from("ab"))
    def start(self, pipeline: str) -> None:
        self.started += 1  # ids are never used again, pruned or not
        run_id = f"run-{self.started}"
        self.runs.append(run_id)
        run = Run(run_id, run_id, pipeline, RunState.PENDING, AT, "/x", pid=NO_PID)
        self.records.create(run)

    @rule(data=st.data(), state=st.sampled_from(ENDS))
    def end(self, data: st.DataObject, state: RunState) -> None:
        run = self.pick(data)
        if run and not run.state.final:
            self.records.end(run.id, RunEnd(state, ""))
            self.ends += 1

    @rule(data=st.data())
    def resume(self, data: st.DataObject) -> None:
        run = self.pick(data)
        if run:
            self.records.own(run, NO_PID, RunState.RUNNING)

    @rule(data=st.data(), state=st.sampled_from(list(TaskState)), verdict=st.sampled_from(VERDICTS))
    def task(self, data: st.DataObject, state: TaskState, verdict: str) -> None:
        run = self.pick(data)
        if run:
            wall_s = data.draw(st.sampled_from([0.0, 0.05, 7.0, 1e6]))
            outputs = Outputs({"verdict": verdict})
            task = Task("g.t", "t", "c", state, usage=Usage(wall_s), outputs=outputs)
            self.records.save_task(run.id, task)

    @rule(data=st.data(), cpu_s=st.floats(0, 100), again=st.booleans(), saved=st.booleans())
    def charge(self, data: st.DataObject, cpu_s: float, again: bool, saved: bool) -> None:
        run = self.pick(data)
        if run and again:
            self.ledger.add(run.id, "t", "step", wall_s=1, cpu_s=cpu_s)
        elif run:
            self.ledger.record(
                run.id, "t", "tune", wall_s=1, cpu_s=cpu_s, trials=3, saved_by_cache=saved
            )

    @rule(data=st.data())
    def prune(self, data: st.DataObject) -> None:
        run = self.pick(data)
        if run:
            self.records.delete(run.id)
            self.runs.remove(run.id)

    @rule()
    def look(self) -> None:
        """Nobody's look counts as an end."""
        self.records.list(-1)

    @rule()
    def repair(self) -> None:
        """Makes orphans final: their process is gone."""
        before = [r for r in self.open_runs()]
        self.records.record_deaths()
        self.ends += len(before)

    @invariant()
    def nothing_goes_down(self) -> None:
        if not hasattr(self, "seen"):
            return
        now = totals(self.database)
        lost = {k: (v, now.get(k)) for k, v in self.seen.items() if now.get(k, -1.0) < v - 1e-9}
        # Of a pipeline that never ended a run and is pruned nothing is told, and all was 0.
        assert not {k: v for k, v in lost.items() if v[0]}
        self.seen = now
        assert sum(v for k, v in now.items() if k[0] == "platform_runs_total") == self.ends

    def pick(self, data: st.DataObject) -> Run | None:
        if not self.runs:
            return None
        wanted = data.draw(st.sampled_from(self.runs))
        row = self.db.execute("SELECT * FROM runs WHERE id = ?", (wanted,)).fetchone()
        state = RunState(row["state"])
        return Run(wanted, wanted, row["pipeline"], state, AT, "/x", pid=row["pid"])

    def open_runs(self) -> list[str]:
        rows = self.db.execute(
            "SELECT id FROM runs WHERE state IN ('PENDING', 'RUNNING')"
        ).fetchall()
        return [row["id"] for row in rows]


Homes.TestCase.settings = hypothesis_settings(
    max_examples=15, stateful_step_count=20, deadline=None
)
TestTotals = Homes.TestCase


def test_what_an_older_home_holds_is_counted_when_it_is_migrated(tmp_path: Path) -> None:
    """The same totals as if the home had been new all the time."""
    database = tmp_path / "new.db"
    db = connect(database)
    records, ledger = RunRecords(Database(database)), Ledger(db, 0.05)
    for number, ended in enumerate((RunState.SUCCEEDED, RunState.SUCCEEDED, RunState.FAILED)):
        run = Run(f"run-{number}", "n", "p", RunState.PENDING, AT, "/x")
        records.create(run)
        outputs = Outputs({"verdict": "successful"})
        usage = Usage(number + 0.5)
        task = Task("t", "t", "c", TaskState.SUCCEEDED, AT, AT, 1, "", usage, Outputs(), outputs)
        records.save_task(run.id, task)
        records.save_task(run.id, Task("s", "s", "c", TaskState.SKIPPED))
        records.end(run.id, RunEnd(ended, ""))
        ledger.add(run.id, "t", "step", wall_s=1, cpu_s=2)
        ledger.record(run.id, "t", "step", wall_s=1, cpu_s=2, saved_by_cache=True)
    db.close()
    older = tmp_path / "older.db"
    copied_into_schema_70(database, older)
    connect(older).close()
    assert totals(database) == totals(older)
    assert totals(older)[("platform_runs_total", "p", "SUCCEEDED")] == 2


def copied_into_schema_70(database: Path, older: Path) -> None:
    db = sqlite3.connect(older)
    scripts = sorted((Path(state.__file__).parent / "migrations").glob("*.sql"))
    for script in scripts:
        if int(script.name[:3]) <= 70:
            db.executescript(script.read_text())
    db.execute("PRAGMA user_version=70")
    db.execute("ATTACH ? AS new", (str(database),))
    for table in ("runs", "tasks", "ledger"):
        columns = ", ".join(row[1] for row in db.execute(f"PRAGMA main.table_info({table})"))
        db.execute(f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM new.{table}")
    db.commit()
    db.close()
