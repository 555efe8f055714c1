"""Training rows: entity rows of a snapshot, joined point-in-time with their features by Feast."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platform_ctl.recipe.recipe import DataAccess
from recipes.common import iceberg
from recipes.train_deploy import golden, names, selection, tables
from recipes.train_deploy.features import build
from recipes.train_deploy.features.definitions import FEATURE_NAMES
from recipes.train_deploy.weeks import parse

if TYPE_CHECKING:
    import pyarrow as pa

SPLITS = ("train", "validation", "golden", "recent")
"""In time. Only a frozen golden set leaves recent weeks behind it."""


def extract(
    data: DataAccess, snapshot_id: str, as_of: str, golden_digest: str, out_path: str | Path
) -> dict[str, Any]:
    """Write the rows of a snapshot to ``out_path`` (one Parquet file) and say what is in it.

    Columns: row (its name), repo, event_timestamp, week_start (us, UTC), split, label,
    naive_last_week, naive_mean_4w, naive_log_ses, scale (float64, commits a week), dormant,
    history_weeks, and every feature as float32; the file's metadata names the
    snapshot. Also brings the online store
    up to the same snapshot. Raises MissingTable, TooLittleHistory, DiskFull,
    GoldenSetTampered, GoldenSetStale, MissingGoldenSet, HomeBusy.
    """
    import pyarrow.parquet as pq

    commits = tables.commits_at(data, snapshot_id)
    pinned = golden.sets(data).read(golden_digest)
    newest = parse(as_of)
    starts_at, ends_at = pinned.starts_at, pinned.ends_at
    assert starts_at and ends_at  # this recipe's golden sets are of weeks
    with tables.exclusive(data, "features"):
        rebuilt = build.ensure(data, commits)
        repo_weeks = tables.load(data, names.REPO_WEEKS, whole=True).scan().to_arrow()
        chosen = selection.select(repo_weeks, newest, starts_at, ends_at)
        selection.check_enough(chosen, newest)
        chosen, changed_labels = golden.sets(data).apply_to(chosen, pinned)
        joined = _join(data, chosen, repo_weeks)
    origin = {"snapshot_id": str(commits.snapshot_id), "as_of": as_of, "golden": golden_digest}
    with iceberg.disk_errors():
        pq.write_table(joined.replace_schema_metadata(origin), out_path, compression="zstd")
    return _summary(joined, commits, as_of, golden_digest, rebuilt, changed_labels)


def _join(data: DataAccess, chosen: pa.Table, repo_weeks: pa.Table) -> pa.Table:
    """The chosen rows with their features; the online store is brought up to date beside."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from recipes.train_deploy.features import store as feast_store

    history, store = feast_store.open_history(data), feast_store.open_store(data)
    feast_store.apply(history, data)
    feast_store.apply(store, data)
    joined = feast_store.historical(history, chosen.to_pandas())
    span = pc.min_max(repo_weeks["event_timestamp"]).as_py()
    second = timedelta(seconds=1)
    feast_store.materialize(store, span["min"] - second, span["max"] + second)
    schema = pa.schema(
        [chosen.schema.field(n) for n in chosen.column_names]
        + [pa.field(n, pa.float32()) for n in FEATURE_NAMES]
    )
    ordered = joined.select(schema.names).sort_by(
        [("week_start", "ascending"), ("repo", "ascending")]
    )
    return ordered.cast(schema)


def latest_rows(data: DataAccess, snapshot_id: str | None = None) -> pa.Table:
    """Each repository's newest row: what a forecast of its coming week is made from.

    Columns: repo, event_timestamp, week_start (the week to forecast begins
    there), naive_last_week, naive_mean_4w, dormant, history_weeks, features.
    """
    import duckdb

    commits = tables.commits_at(data, snapshot_id)
    with tables.exclusive(data, "features"):
        build.ensure(data, commits)
        rows = tables.load(data, names.REPO_WEEKS, whole=True).scan().to_arrow()
        features = tables.load(data, names.FEATURES, whole=True).scan().to_arrow()
    con = duckdb.connect()
    con.execute("SET TimeZone = 'UTC'")
    con.register("weeks", rows)
    con.register("features", features)
    newest = con.sql(f"""
        SELECT w.repo, w.event_timestamp, w.week_start, naive_last_week, naive_mean_4w, dormant,
               history_weeks, {", ".join(f"f.{n}" for n in FEATURE_NAMES)}
        FROM weeks w JOIN features f USING (repo, event_timestamp)
        QUALIFY row_number() OVER (PARTITION BY w.repo ORDER BY w.event_timestamp DESC) = 1
        ORDER BY w.repo
    """).to_arrow_table()
    con.close()
    return newest


def _summary(
    rows: pa.Table,
    commits: tables.CommitsSnapshot,
    as_of: str,
    golden_digest: str,
    rebuilt: bool,
    changed_labels: int,
) -> dict[str, Any]:
    import pyarrow.compute as pc

    counts = {v["values"]: v["counts"] for v in pc.value_counts(rows["split"]).to_pylist()}
    repos = pc.count_distinct(rows["repo"]).as_py()
    metadata = {
        "rows": rows.num_rows,
        "repos": repos,
        "splits": {s: counts[s] for s in SPLITS if s in counts},
        "features": len(FEATURE_NAMES),
        "snapshot_id": str(commits.snapshot_id),
        "as_of": as_of,
        "golden_digest": golden_digest,
    }
    return {
        **metadata,
        "metadata": metadata,
        "summary": f"{rows.num_rows} rows of {repos} repositories",
        "dormant_rows": pc.sum(rows["dormant"].cast("int64")).as_py() or 0,
        "columns": _counts(rows),
        "golden_labels_changed_since": changed_labels,
        "features_rebuilt": rebuilt,
        "extracted_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _counts(rows: pa.Table) -> dict[str, dict[str, int]]:
    """Column -> nulls and distinct values; of features only nulls, where there are any."""
    import pyarrow.compute as pc

    own = [name for name in rows.column_names if name not in FEATURE_NAMES]
    counts = {
        name: {"nulls": rows[name].null_count, "distinct": pc.count_distinct(rows[name]).as_py()}
        for name in own
    }
    empty = {name: rows[name].null_count for name in FEATURE_NAMES}
    return counts | {name: {"nulls": nulls} for name, nulls in empty.items() if nulls}
