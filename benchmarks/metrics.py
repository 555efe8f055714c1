"""What a scrape costs: CPU milliseconds and samples, in homes of 10 and of 10,000 runs.

``python -m benchmarks.metrics``. Runs are copies of real ones with their tasks,
cache decisions and ledger, so that the totals are what that many runs make. A
scrape is what ``metrics serve`` does between a request and its answer.
"""

from __future__ import annotations

import sqlite3
import tempfile
import time
from pathlib import Path

from platform_ctl import targets
from platform_ctl.metrics import exposition as metrics_exposition
from platform_ctl.metrics.collect_metrics import collect
from platform_ctl.settings import Settings
from platform_ctl.targets.metrics import metrics
from tests.support import monitored

SCRAPES = 50
COPIED = {"runs": "id", "tasks": "run_id", "cache_decisions": "run_id", "ledger": "run_id"}


def main() -> None:
    print(f"{'runs':>8}{'samples':>10}{'bytes':>10}{'cpu ms a scrape':>18}")
    for runs in (10, 10_000):
        with tempfile.TemporaryDirectory() as folder:
            settings = home(Path(folder), runs)
            samples, size, cpu_s = cost(settings)
            print(f"{runs:>8}{samples:>10}{size:>10}{cpu_s * 1000:>18.2f}", flush=True)


def home(folder: Path, runs: int) -> Settings:
    settings = monitored.settings_of(folder / "home")
    for x in (1, 1):
        monitored.run(settings, monitored.gate_pipeline(folder, "train-deploy"), x)
    monitored.waiting_approval(settings)
    monitored.releases(settings)
    copy_runs(targets.state(settings), runs - 2)
    return settings


def copy_runs(db: sqlite3.Connection, times: int) -> None:
    """Each table's rows of the last run, under new ids."""
    (last,) = db.execute("SELECT id FROM runs ORDER BY created_at DESC LIMIT 1").fetchone()
    db.execute("BEGIN")
    for table, key in COPIED.items():
        others = [c[1] for c in db.execute(f"PRAGMA table_info({table})") if c[1] != key]
        columns = ", ".join(c for c in others if c != "idempotency_key")
        db.execute(
            f"INSERT INTO {table} ({key}, {columns}) WITH RECURSIVE n(i) AS"
            " (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
            f" SELECT printf('copy-%08d', i), {columns} FROM n, {table} WHERE {key} = ?",
            (times, last),
        )
    db.execute("COMMIT")


def cost(settings: Settings) -> tuple[int, int, float]:
    """(samples, bytes, CPU seconds) of one scrape; the best of several rounds."""
    sources = metrics(settings)
    best = float("inf")
    for _ in range(5):
        begun = time.process_time()
        for _ in range(SCRAPES):
            found = collect(sources, "0")
            text = metrics_exposition.text(found)
        best = min(best, (time.process_time() - begun) / SCRAPES)
    assert not found.problems, found.problems
    return len(found.samples), len(text), best


if __name__ == "__main__":
    main()
