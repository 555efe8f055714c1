"""THE place where features are defined: one entry in ``FEATURES`` adds one.

A feature is a DuckDB aggregate over the 52 weeks before a row's week boundary,
one line for each week, as they were known at the row's event time:

    ago                   1 for the last full week … 52
    commits               commits of that week (0 when there were none)
    weekend_commits       of which on Saturday or Sunday
    late_week_commits     of which on Thursday or later
    top_author_commits    of which by the busiest author
    active_days           days with a commit
    files, lines          files touched; insertions plus deletions
    authors               list of the authors' ids

and constants of the row: ``week_start`` (timestamp, the Monday at which the
week to forecast begins) and ``age_weeks`` (since the first known commit).
After a change nothing else needs an edit: the feature table, the Feast feature
view, training and serving follow; the table is rebuilt on the next run.
"""

from __future__ import annotations

import hashlib
from typing import Literal, NamedTuple

LOOKBACK_WEEKS = 52


class Feature(NamedTuple):
    name: str
    sql: str
    doc: str
    scale: Literal["log", "linear"] = "log"
    """``log``: a count with a long tail, the model sees log(1 + x)."""


def total(column: str, weeks: int) -> str:
    """Sum of a column over the last ``weeks`` weeks."""
    return f"coalesce(sum({column}) FILTER (ago <= {weeks}), 0)"


def distinct_authors(weeks: int) -> str:
    return f"coalesce(list_unique(flatten(list(authors) FILTER (ago <= {weeks}))), 0)"


def share(part: str, whole: str, weeks: int) -> str:
    return f"{total(part, weeks)} / greatest({total(whole, weeks)}, 1)"


def rate_ratio(recent: int, longer: int) -> str:
    """Log ratio of two mean weekly rates, half a commit added to both."""
    return (
        f"ln(({total('commits', recent)} / {recent} + 0.5)"
        f" / ({total('commits', longer)} / {longer} + 0.5))"
    )


_YEAR_ANGLE = "2 * pi() * dayofyear(week_start) / 365.25"

FEATURES: tuple[Feature, ...] = (
    *(
        Feature(f"commits_{n}w", total("commits", n), f"commits in the last {n} weeks")
        for n in (1, 2, 4, 8, 13, 26, 52)
    ),
    *(
        Feature(f"authors_{n}w", distinct_authors(n), f"distinct authors in the last {n} weeks")
        for n in (1, 2, 4, 13)
    ),
    *(
        Feature(f"lines_{n}w", total("lines", n), f"lines added and deleted in the last {n} weeks")
        for n in (1, 4, 13)
    ),
    Feature("files_4w", total("files", 4), "files touched in the last 4 weeks"),
    Feature(
        "top_author_1w", total("top_author_commits", 1), "commits of last week's busiest author"
    ),
    Feature("late_week_1w", total("late_week_commits", 1), "last week's commits from Thursday on"),
    Feature("active_days_1w", total("active_days", 1), "days with a commit last week", "linear"),
    Feature("active_days_4w", total("active_days", 4), "days with a commit, 4 weeks", "linear"),
    Feature(
        "active_weeks_13w",
        "count(*) FILTER (ago <= 13 AND commits > 0)",
        "weeks with a commit, of the last 13",
        "linear",
    ),
    Feature("median_8w", "median(commits) FILTER (ago <= 8)", "median weekly commits, 8 weeks"),
    Feature("peak_13w", "max(commits) FILTER (ago <= 13)", "busiest of the last 13 weeks"),
    Feature(
        "spread_13w",
        "stddev_pop(ln(1 + commits) ORDER BY ago) FILTER (ago <= 13)",
        "standard deviation of log weekly commits, 13 weeks",
        "linear",
    ),
    Feature(
        "weekend_share_13w",
        share("weekend_commits", "commits", 13),
        "share of commits on weekends, 13 weeks",
        "linear",
    ),
    Feature("trend_1w_8w", rate_ratio(1, 8), "last week's rate over the 8-week rate", "linear"),
    Feature("trend_4w_13w", rate_ratio(4, 13), "4-week rate over the 13-week rate", "linear"),
    Feature("trend_13w_52w", rate_ratio(13, 52), "13-week rate over the 52-week rate", "linear"),
    Feature(
        "commits_year_ago",
        "coalesce(sum(commits) FILTER (ago = 52), 0)",
        "commits in the week to forecast, a year earlier",
    ),
    Feature(
        "weeks_since_commit",
        f"coalesce(min(ago) FILTER (commits > 0), {LOOKBACK_WEEKS + 1}) - 1",
        "full weeks without a commit (at most 52)",
    ),
    Feature("age_weeks", "age_weeks", "weeks since the first commit"),
    Feature("season_sin", f"sin({_YEAR_ANGLE})", "time of year", "linear"),
    Feature("season_cos", f"cos({_YEAR_ANGLE})", "time of year", "linear"),
    Feature(
        "year_end",
        "CASE WHEN strftime(week_start, '%m-%d') >= '12-20'"
        " OR strftime(week_start, '%m-%d') <= '01-01' THEN 1 ELSE 0 END",
        "1 when the week to forecast lies around the end of the year",
        "linear",
    ),
)

FEATURE_NAMES: tuple[str, ...] = tuple(f.name for f in FEATURES)
LOG_FEATURES: tuple[str, ...] = tuple(f.name for f in FEATURES if f.scale == "log")


def definitions_digest() -> str:
    """SHA-256 of names and expressions: says whether the feature table is current."""
    text = "\n".join(f"{f.name}={f.sql}" for f in FEATURES)
    return hashlib.sha256(f"{LOOKBACK_WEEKS}\n{text}".encode()).hexdigest()
