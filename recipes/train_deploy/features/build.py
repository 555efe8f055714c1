"""Keep the derived tables in step with a snapshot of the commits table.

``FEATURES``    what Feast serves: repo, event_timestamp, created, features
``REPO_WEEKS``  the rows themselves: week, label, naive forecasts, dormant

A row's event time is the Monday at which its week begins, when the commits up
to then were there: always so in a backfill. Later on it is the ingest that
completed the week before, because the platform could not have forecast sooner;
weeks completed only after they were over have features but are no rows.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from platform_ctl.recipe import data_files
from platform_ctl.recipe.recipe import DataAccess
from recipes.common import iceberg
from recipes.train_deploy import names, tables
from recipes.train_deploy.features import weekly
from recipes.train_deploy.features.definitions import FEATURE_NAMES, definitions_digest
from recipes.train_deploy.names import NAMESPACE
from recipes.train_deploy.tables import CommitsSnapshot, RepoObservation
from recipes.train_deploy.weeks import WEEK_S, monday_s

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa
    from pyiceberg.schema import Schema
    from pyiceberg.table import Table

SOURCE_PROPERTY = f"{NAMESPACE}.source-snapshot-id"
DEFINITIONS_PROPERTY = f"{NAMESPACE}.definitions-sha256"
_US = 1_000_000
_ROW_COLUMNS = (
    "repo", "event_timestamp", "week_start", "label", "naive_last_week", "naive_mean_4w",
    "naive_log_ses", "dormant", "history_weeks",
)  # fmt: skip


def ensure(data: DataAccess, commits: CommitsSnapshot) -> bool:
    """Rebuild both tables unless they come from this snapshot and these definitions.

    Returns whether anything was rebuilt. The caller holds the ``features`` lock.
    Raises DiskFull.
    """
    stamp = {
        SOURCE_PROPERTY: str(commits.snapshot_id),
        DEFINITIONS_PROPERTY: _code_digest(),
    }
    derived = (names.FEATURES, names.REPO_WEEKS)
    if all(_stamp_of(data, name) == stamp for name in derived):
        return False
    features, rows = compute(commits)
    snapshot = commits.table.snapshot_by_id(commits.snapshot_id)
    assert snapshot is not None  # it was read a moment ago
    features = _with_created(features, snapshot.timestamp_ms)
    for name, schema, content in (
        (names.FEATURES, _features_schema(), features),
        (names.REPO_WEEKS, _rows_schema(), rows),
    ):
        _replace(data, name, schema, content, stamp)
    return True


def compute(commits: CommitsSnapshot) -> tuple[pa.Table, pa.Table]:
    """Features (repo, event_timestamp, …) and rows (``_ROW_COLUMNS``) of one snapshot."""
    import pyarrow as pa

    con = weekly.connect()
    weekly.fold(con, commits)
    wide = pa.concat_tables(list(weekly.compute(con, _grid(con, commits))))
    con.register("wide", wide)
    con.register("observed", _observed_until(commits))
    labelled = con.sql(f"""
        SELECT {", ".join(f"wide.{c}" if c != "label" else "label" for c in _ROW_COLUMNS)}
        FROM (
            SELECT wide.*, CASE WHEN epoch_us(week_start) + {WEEK_S * _US} <= o.until_us
                           THEN coalesce(w.commits, 0)::DOUBLE END AS label
            FROM wide JOIN observed o ON o.repo = wide.repo
            LEFT JOIN weekly w ON w.repo = wide.repo AND w.superseded_at = {weekly.FOREVER}
                 AND w.week = {weekly.week_of("wide.week_start")}
        ) AS wide ORDER BY repo, event_timestamp
    """).to_arrow_table()
    con.close()
    return wide.select(["repo", "event_timestamp", *FEATURE_NAMES]), labelled


def _grid(con: duckdb.DuckDBPyConnection, commits: CommitsSnapshot) -> pa.Table:
    """For which (repository, week) features are computed, and at what event time."""
    import pyarrow as pa

    first = dict(con.sql("SELECT repo, min(week) FROM weekly GROUP BY repo").fetchall())
    repos: list[str] = []
    weeks: list[int] = []
    events: list[int] = []
    for repo, line in commits.timelines.items():
        if repo not in first:
            continue
        for week, event_s in event_times(line, first[repo] + 1):
            repos.append(repo)
            weeks.append(week)
            events.append(event_s * _US)
    return pa.table(
        {
            "repo": pa.array(repos, pa.string()),
            "week": pa.array(weeks, pa.int64()),
            "event_us": pa.array(events, pa.int64()),
        }
    )


def event_times(line: list[RepoObservation], first_week: int) -> list[tuple[int, int]]:
    """(week, event time in epoch s) of a repository's rows, oldest first.

    Weeks of the backfill at their Monday; of each later ingest the newest week
    it completed, when it ran.
    """
    reached = weekly.week_number(monday_s(line[0].until))
    times = [(w, weekly.week_start_s(w)) for w in range(first_week, reached + 1)]
    for observation in line[1:]:
        newest = weekly.week_number(monday_s(observation.until))
        if newest > reached and newest >= first_week:
            times.append((newest, max(observation.at, weekly.week_start_s(newest))))
        reached = max(reached, newest)
    return times


def _observed_until(commits: CommitsSnapshot) -> pa.Table:
    import pyarrow as pa

    observed = commits.observed
    return pa.table(
        {
            "repo": pa.array(observed, pa.string()),
            "until_us": pa.array([o.until * _US for o in observed.values()], pa.int64()),
        }
    )


def _with_created(features: pa.Table, created_ms: int) -> pa.Table:
    import pyarrow as pa

    created = pa.scalar(created_ms * 1000, pa.timestamp("us", "UTC"))
    return features.add_column(2, "created", pa.repeat(created, features.num_rows))


def _code_digest() -> str:
    code = "\n".join([definitions_digest(), weekly.SQL])
    return hashlib.sha256(code.encode()).hexdigest()


def _stamp_of(data: DataAccess, name: str) -> dict[str, str]:
    from platform_ctl.errors import MissingTable

    try:
        snapshot = tables.load(data, name).current_snapshot()
    except MissingTable:
        return {}
    properties = snapshot.summary.additional_properties if snapshot and snapshot.summary else {}
    keys = (SOURCE_PROPERTY, DEFINITIONS_PROPERTY)
    return {k: properties[k] for k in keys if k in properties}


def _replace(
    data: DataAccess, name: str, schema: Schema, content: pa.Table, stamp: dict[str, str]
) -> None:
    """Make ``content`` the table's whole content, as its newest snapshot."""
    table: Table = iceberg.load_or_create(data, name, schema, None)
    if table.schema().column_names != schema.column_names:
        catalog = iceberg.open_catalog(data)
        assert catalog is not None  # the table is in it
        catalog.drop_table(name)
        table = iceberg.load_or_create(data, name, schema, None)
    content = content.cast(schema.as_arrow())
    with iceberg.disk_errors():
        if table.current_snapshot() is None:
            table.append(content, snapshot_properties=stamp)
        else:
            table.overwrite(content, snapshot_properties=stamp)
        data_files.record(table)


def _features_schema() -> Schema:
    from pyiceberg.schema import Schema
    from pyiceberg.types import FloatType, NestedField, StringType, TimestamptzType

    columns = [
        ("repo", StringType()),
        ("event_timestamp", TimestamptzType()),
        ("created", TimestamptzType()),
        *((name, FloatType()) for name in FEATURE_NAMES),
    ]
    return Schema(*(NestedField(i, n, t, required=False) for i, (n, t) in enumerate(columns, 1)))


def _rows_schema() -> Schema:
    from pyiceberg.schema import Schema
    from pyiceberg.types import (
        BooleanType,
        DoubleType,
        IntegerType,
        NestedField,
        StringType,
        TimestamptzType,
    )

    kinds = {
        "repo": StringType(),
        "event_timestamp": TimestamptzType(),
        "week_start": TimestamptzType(),
        "dormant": BooleanType(),
        "history_weeks": IntegerType(),
    }
    return Schema(
        *(
            NestedField(i, name, kinds.get(name, DoubleType()), required=False)
            for i, name in enumerate(_ROW_COLUMNS, 1)
        )
    )
