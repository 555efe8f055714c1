"""The feature path at scale, and Feast's point-in-time join beside a DuckDB ASOF join by hand.

Makes a history of commits, writes it to Iceberg, builds the feature tables
(time and peak memory), then joins the same entity rows to the same features
twice: through Feast, and with one ASOF JOIN over the same Iceberg table. Goals:
5 million commits within 4 GB, the join within 2x.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.ingest import _data_access
from recipes.common import iceberg
from recipes.train_deploy import names, tables
from recipes.train_deploy.features import FEATURE_NAMES, build, weekly
from recipes.train_deploy.features import store as feast_store
from recipes.train_deploy.tables import RepoObservation

GOAL_RATIO = 2.0
GOAL_RSS_MB = 4096
_WEEKS = 260
_START_S = 1_577_664_000
"""2019-12-30, a Monday."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="1.0 is 5 million commits")
    parser.add_argument("--repeat", type=int, default=5, help="joins; the best counts")
    arguments = parser.parse_args()
    commits = int(5_000_000 * arguments.scale)
    with tempfile.TemporaryDirectory() as folder:
        data = _data_access(Path(folder))
        _timed("write commits", lambda: _write(data, commits, max(4, commits // 10_000)))
        found = tables.commits_at(data)
        _timed("build feature tables", lambda: build.ensure(data, found))
        rows = tables.load(data, names.REPO_WEEKS).scan().to_arrow()
        entities = rows.select(["repo", "event_timestamp"])
        store = feast_store.open_history(data)
        _timed("feast apply", lambda: feast_store.apply(store, data))
        frame = entities.to_pandas()
        pairs = [
            (
                _timed("join through Feast", lambda: feast_store.historical(store, frame)),
                _timed("join by hand (ASOF)", lambda: _by_hand(data, entities)),
            )
            for _ in range(arguments.repeat)
        ]
    ratio, peak = min(f for f, _ in pairs) / min(h for _, h in pairs), _peak_mb()
    print(f"{commits:,} commits, {rows.num_rows:,} rows: ratio {ratio:.2f}, peak {peak:,.0f} MB")
    if ratio > GOAL_RATIO or peak > GOAL_RSS_MB:
        sys.exit(f"outside the goals (ratio {GOAL_RATIO}, {GOAL_RSS_MB:,} MB)")


def _by_hand(data, entities: pa.Table) -> pa.Table:
    con = weekly.connect()
    con.register("entities", entities)
    con.register("features", tables.load(data, names.FEATURES).scan().to_arrow())
    columns = ", ".join(f"f.{n}" for n in FEATURE_NAMES)
    joined = con.sql(f"""
        SELECT e.*, {columns} FROM entities e ASOF LEFT JOIN features f
        ON e.repo = f.repo AND e.event_timestamp >= f.event_timestamp
    """).to_arrow_table()
    con.close()
    return joined


def _write(data, commits: int, repos: int) -> None:
    """Random commits in one snapshot, made in slices so that making them needs little memory."""
    rng = np.random.default_rng(1)
    table = iceberg.load_or_create(data, names.COMMITS, tables.commits_schema(), "committed_at")
    schema = tables.commits_schema().as_arrow()
    until = _START_S + _WEEKS * 7 * 86_400
    repo_names = [f"bench/repo-{n:05d}" for n in range(repos)]
    slices = max(1, commits // 500_000)
    for part in range(slices):
        size = commits // slices
        repo = pa.array(rng.integers(0, repos, size, dtype="int32"))
        author = pa.array(rng.zipf(1.6, size).clip(max=400).astype("int32") - 1)
        at = rng.integers(_START_S, until, size) * 1_000_000
        hashes = np.char.add(np.full(size, f"{part:08x}"), np.arange(size).astype("U12"))
        times = pa.array(at).cast(pa.timestamp("us", "UTC"))
        rows = pa.table(
            {
                "repo": pa.array(repo_names).take(repo),
                "hash": pa.array(hashes),
                "author": pa.array([f"{a:032x}" for a in range(400)]).take(author),
                "committed_at": times,
                "ingested_at": times,
                "available_at": times,
                "files_changed": pa.repeat(pa.scalar(2, pa.int32()), size),
                "insertions": pa.array(rng.integers(0, 400, size, dtype="int32")),
                "deletions": pa.array(rng.integers(0, 200, size, dtype="int32")),
                "backfill": pa.repeat(pa.scalar(True), size),
            }
        )
        observed = {
            n: RepoObservation(head="x", at=until, until=until, last=until) for n in repo_names
        }
        tables.append(table, rows.cast(schema), observed if part == slices - 1 else {})


def _timed(what: str, call) -> float:
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{what:<24} wall {wall:7.2f} s  cpu {cpu:7.2f} s  peak {_peak_mb():,.0f} MB", flush=True)
    return wall


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
