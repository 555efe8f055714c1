"""Weekly features from commits, computed by DuckDB, as they were known at each event time.

A row's features count commits with ``committed_at`` before its week boundary
and ``available_at`` not after its event time. Commits are first folded to one
line a (repository, week, moment of becoming known); all that came in time
share the moment "in time", so the tables stay small whatever the history.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from recipes.train_deploy.features.definitions import FEATURES, LOOKBACK_WEEKS
from recipes.train_deploy.tables import CommitsSnapshot
from recipes.train_deploy.weeks import DORMANT_WEEKS, WEEK_S

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

MEMORY_LIMIT = "1500MB"
BATCH_ROWS = 60_000
"""Rows of features computed at once: bounds memory."""
SES_MEMORY = 0.8
"""Simple exponential smoothing of log(1 + commits): each week back weighs this much less."""
FOREVER = 2**63 - 1
"""``superseded_at`` of what is known last."""

_WEEK_US = WEEK_S * 1_000_000
_DAY_US = 86_400 * 1_000_000
_MONDAY_US = 4 * _DAY_US
"""1970-01-05, the first Monday after the epoch, is the start of week 0."""
_COLUMNS = (
    "repo",
    "author",
    "committed_at",
    "available_at",
    "files_changed",
    "insertions",
    "deletions",
)

_BY_AUTHOR = f"""
CREATE TEMP TABLE by_author AS
WITH commits AS (
    SELECT repo, hash(author) AS author, epoch_us(committed_at) - {_MONDAY_US} AS at_us,
           epoch_us(available_at) AS known_at, files_changed, insertions, deletions
    FROM source
)
SELECT repo, at_us // {_WEEK_US} AS week, author,
       CASE WHEN known_at <= (at_us // {_WEEK_US} + 1) * {_WEEK_US} + {_MONDAY_US} THEN 0
            ELSE known_at END AS known_at,
       count(*) AS commits, sum(files_changed) AS files,
       sum(insertions::BIGINT + deletions) AS lines,
       count(*) FILTER (at_us % {_WEEK_US} >= 5 * {_DAY_US}) AS weekend_commits,
       count(*) FILTER (at_us % {_WEEK_US} >= 3 * {_DAY_US}) AS late_week_commits,
       bit_or(1 << (at_us % {_WEEK_US} // {_DAY_US})::INTEGER) AS days
FROM commits GROUP BY ALL
"""

_WEEKLY = f"""
CREATE TABLE weekly AS
WITH version AS (
    SELECT repo, week, known_at,
           lead(known_at, 1, {FOREVER})
               OVER (PARTITION BY repo, week ORDER BY known_at) AS superseded_at
    FROM (SELECT DISTINCT repo, week, known_at FROM by_author)
), seen AS (
    SELECT v.repo, v.week, v.known_at, v.superseded_at, a.author,
           sum(a.commits) AS commits, sum(a.files) AS files, sum(a.lines) AS lines,
           sum(a.weekend_commits) AS weekend_commits,
           sum(a.late_week_commits) AS late_week_commits, bit_or(a.days) AS days
    FROM version v JOIN by_author a
      ON a.repo = v.repo AND a.week = v.week AND a.known_at <= v.known_at
    GROUP BY ALL
)
SELECT repo, week, known_at, superseded_at,
       sum(commits)::BIGINT AS commits, sum(files)::BIGINT AS files, sum(lines)::BIGINT AS lines,
       sum(weekend_commits)::BIGINT AS weekend_commits,
       sum(late_week_commits)::BIGINT AS late_week_commits,
       max(commits)::BIGINT AS top_author_commits,
       bit_count(bit_or(days))::BIGINT AS active_days, list(author) AS authors
FROM seen GROUP BY repo, week, known_at, superseded_at
"""

_FIRST_SEEN = f"""
CREATE TABLE first_seen AS
SELECT repo, known_at, min(min(week)) OVER (PARTITION BY repo ORDER BY known_at) AS week
FROM (SELECT repo, week, greatest(known_at, (week + 1) * {_WEEK_US} + {_MONDAY_US}) AS known_at
      FROM weekly)
GROUP BY repo, known_at
"""

_COUNTS = (
    "commits", "files", "lines", "weekend_commits", "late_week_commits", "top_author_commits",
    "active_days",
)  # fmt: skip

_AS_KNOWN = f"""
WITH filled AS (
    SELECT g.repo, g.week AS at_week, g.event_us, a.ago,
           {", ".join(f"coalesce(w.{c}, 0) AS {c}" for c in _COUNTS)}, w.authors
    FROM batch g
    CROSS JOIN (SELECT unnest(range(1, {LOOKBACK_WEEKS} + 1)) AS ago) a
    LEFT JOIN weekly w ON w.repo = g.repo AND w.week = g.week - a.ago
         AND w.known_at <= g.event_us AND g.event_us < w.superseded_at
), aged AS (
    SELECT filled.*, make_timestamp(at_week * {_WEEK_US} + {_MONDAY_US}) AS week_start,
           at_week - s.week AS age_weeks
    FROM filled ASOF JOIN first_seen s ON s.repo = filled.repo AND s.known_at <= filled.event_us
)
SELECT repo, make_timestamp(event_us)::TIMESTAMPTZ AS event_timestamp,
       week_start::TIMESTAMPTZ AS week_start,
       (sum(commits) FILTER (ago <= 1))::DOUBLE AS naive_last_week,
       (sum(commits) FILTER (ago <= 4))::DOUBLE / 4 AS naive_mean_4w,
       -- In order: sums of floats in any order differ in their last bit, and the rows with them.
       exp(sum(ln(1 + commits) * pow({SES_MEMORY}, ago) ORDER BY ago)
               FILTER (ago <= greatest(age_weeks, 1))
           / sum(pow({SES_MEMORY}, ago) ORDER BY ago)
               FILTER (ago <= greatest(age_weeks, 1))) - 1
           AS naive_log_ses,
       (sum(commits) FILTER (ago <= {DORMANT_WEEKS})) = 0 AS dormant,
       age_weeks::INTEGER AS history_weeks,
       {{features}}
FROM aged GROUP BY repo, at_week, event_us, week_start, age_weeks
ORDER BY repo, event_us
"""


_FEATURES = ",\n       ".join(f"({f.sql})::FLOAT AS {f.name}" for f in FEATURES)
_QUERY = _AS_KNOWN.replace("{features}", _FEATURES)
SQL = "\n".join([_BY_AUTHOR, _WEEKLY, _FIRST_SEEN, _QUERY])
"""Everything that decides what a feature row holds."""


def connect(temp_directory: str | None = None) -> duckdb.DuckDBPyConnection:
    """An in-memory DuckDB in UTC with bounded memory."""
    import duckdb

    config: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": MEMORY_LIMIT,
        "preserve_insertion_order": "false",
    }
    if temp_directory:
        config["temp_directory"] = temp_directory
    con = duckdb.connect(config=config)
    con.execute("SET TimeZone = 'UTC'")
    return con


def fold(con: duckdb.DuckDBPyConnection, commits: CommitsSnapshot) -> None:
    """Read the commits of a snapshot once, into the tables ``weekly`` and ``first_seen``."""
    scan = commits.table.scan(snapshot_id=commits.snapshot_id, selected_fields=_COLUMNS)
    fold_reader(con, scan.to_arrow_batch_reader())


def fold_reader(con: duckdb.DuckDBPyConnection, source: pa.RecordBatchReader) -> None:
    """``fold`` for commits that come as Arrow."""
    con.register("source", source)
    con.execute(_BY_AUTHOR)
    con.unregister("source")
    con.execute(_WEEKLY)
    con.execute("DROP TABLE by_author")
    con.execute(_FIRST_SEEN)


def compute(con: duckdb.DuckDBPyConnection, grid: pa.Table) -> Iterator[pa.Table]:
    """Features of each grid row, in batches.

    ``grid``: repo, week (number of the Monday, see ``week_number``), event_us.
    Rows at which nothing of the repository was known are left out. An empty grid
    gives one empty batch, so that there always is a schema.
    """
    for start in range(0, max(grid.num_rows, 1), BATCH_ROWS):
        con.register("batch", grid.slice(start, BATCH_ROWS))
        yield con.sql(_QUERY).to_arrow_table()
        con.unregister("batch")


def week_of(column: str) -> str:
    """SQL: number of the week in which a timestamp lies."""
    return f"((epoch_us({column}) - {_MONDAY_US}) // {_WEEK_US})"


def week_start_s(week: int) -> int:
    """The Monday of a week number, seconds since 1970."""
    return (week * _WEEK_US + _MONDAY_US) // 1_000_000


def week_number(monday_s: int) -> int:
    """Number of a Monday, counted from 1970-01-05."""
    return (monday_s * 1_000_000 - _MONDAY_US) // _WEEK_US
