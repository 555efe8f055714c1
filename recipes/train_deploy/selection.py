"""Which repository weeks become rows, and to which split they belong.

In time: train | validation (8 weeks) | golden (12 weeks) | recent. Golden weeks
roll with the data (a frozen set leaves ``recent`` weeks behind it), and every label of training
and validation ends before the first golden week begins. Rows need some history; weeks of dormant
repositories are kept out of training and validation and reported apart.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from platform_ctl.errors import TooLittleHistory
from recipes.train_deploy.names import COMMITS, RECIPE
from recipes.train_deploy.tables import RepoObservation
from recipes.train_deploy.weeks import DORMANT_WEEKS, WEEK, WEEK_S, from_epoch, monday_s

if TYPE_CHECKING:
    import pyarrow as pa

VALIDATION_WEEKS = 8
GOLDEN_WEEKS = 12
RECENT_WEEKS = 4
MIN_TRAIN_WEEKS = 26
MIN_HISTORY_WEEKS = 8
"""A repository younger than this at its event time gives no row."""
MIN_SCALE_ROWS = 8
"""Training rows a repository needs for its MASE scale."""
SCALE_FLOOR = 0.25
"""Commits a week; keeps a repository that hardly moves from deciding the mean."""
MIN_GOLDEN_ROWS = 12
_WEEK_SQL = "INTERVAL 7 DAY"

_SELECT = f"""
WITH candidate AS (
    SELECT *, CASE WHEN week_start >= $ends_at THEN 'recent'
                   WHEN week_start >= $starts_at THEN 'golden'
                   WHEN week_start >= $validation_at THEN 'validation'
                   ELSE 'train' END AS split
    FROM repo_weeks
    WHERE label IS NOT NULL AND history_weeks >= {MIN_HISTORY_WEEKS}
      AND week_start + {_WEEK_SQL} <= $as_of AND event_timestamp < week_start + {_WEEK_SQL}
), scale AS (
    SELECT repo, greatest(avg(abs(label - naive_last_week)), {SCALE_FLOOR}) AS scale
    FROM candidate WHERE split = 'train' AND NOT dormant
    GROUP BY repo HAVING count(*) >= {MIN_SCALE_ROWS}
)
SELECT repo || '@' || strftime(event_timestamp, '%Y-%m-%d') AS row,
       repo, event_timestamp, week_start, split, label, naive_last_week, naive_mean_4w,
       naive_log_ses,        scale, dormant, history_weeks
FROM candidate JOIN scale USING (repo)
WHERE NOT (dormant AND split IN ('train', 'validation'))
ORDER BY week_start, repo
"""


def as_of(observed: dict[str, RepoObservation]) -> datetime:
    """The newest Monday that more than half of the live repositories have reached.

    One clone that nobody fetched for months must not hold back the others, and
    one that is ahead says nothing of them. Without a live repository: of all.
    """
    live = [o for o in observed.values() if o.until - o.last < DORMANT_WEEKS * WEEK_S]
    reached = sorted((monday_s(o.until) for o in live or observed.values()), reverse=True)
    return from_epoch(reached[len(reached) // 2])


def golden_weeks(repo_weeks: pa.Table, newest: datetime, policy: str) -> tuple[datetime, datetime]:
    """[start, end) of the golden weeks of a set made when ``newest`` is ``as_of``.

    A rolling set ends with the newest complete week; a frozen one leaves some for the canary.
    """
    ends_at = newest - (0 if policy == "rolling" else RECENT_WEEKS) * WEEK
    return _start_of_last(GOLDEN_WEEKS, repo_weeks, ends_at), ends_at


def _start_of_last(count: int, repo_weeks: pa.Table, ends_at: datetime) -> datetime:
    """Start of the ``count``-th newest week that has labelled rows and ends by ``ends_at``.

    Whoever ingests once a month has one row a month: weeks are counted, not subtracted.
    """
    import pyarrow.compute as pc

    labelled = repo_weeks.filter(pc.is_valid(repo_weeks["label"]))
    weeks = sorted(w for w in set(labelled["week_start"].to_pylist()) if w + WEEK <= ends_at)
    return weeks[-count] if len(weeks) >= count else ends_at - count * WEEK


def select(
    repo_weeks: pa.Table, newest: datetime, starts_at: datetime, ends_at: datetime
) -> pa.Table:
    """Rows with split and scale, ordered by week and repository."""
    import duckdb

    con = duckdb.connect()
    con.execute("SET TimeZone = 'UTC'")
    con.register("repo_weeks", repo_weeks)
    bounds = {
        "as_of": newest,
        "starts_at": starts_at,
        "ends_at": ends_at,
        "validation_at": _start_of_last(VALIDATION_WEEKS, repo_weeks, starts_at),
    }
    rows = con.sql(_SELECT, params=bounds).to_arrow_table()
    con.close()
    return rows


def check_enough(rows: pa.Table, newest: datetime) -> None:
    """Raises TooLittleHistory when no model could be trained and judged on these rows."""
    import pyarrow.compute as pc

    weeks = {
        split: pc.count_distinct(rows.filter(pc.equal(rows["split"], split))["week_start"]).as_py()
        for split in ("train", "validation", "golden")
    }
    needed = {"train": MIN_TRAIN_WEEKS, "validation": VALIDATION_WEEKS, "golden": GOLDEN_WEEKS}
    missing = [f"{weeks[s]} of {n} {s} weeks" for s, n in needed.items() if weeks[s] < n]
    golden = pc.and_(pc.equal(rows["split"], "golden"), pc.invert(rows["dormant"]))
    living = pc.sum(golden.cast("int64")).as_py() or 0
    if not missing and living >= MIN_GOLDEN_ROWS:
        return
    total = sum(needed.values()) + RECENT_WEEKS + MIN_HISTORY_WEEKS
    raise TooLittleHistory(
        f"too little history up to {newest:%Y-%m-%d}: "
        + ("; ".join(missing) or f"only {living} golden rows of live repositories")
        + f" (about {total} weeks of one live repository are needed)",
        where=COMMITS,
        fix=f"platform-ctl data ingest --recipe {RECIPE} --git OLDER-CLONE",
    )


def check_alive(rows: pa.Table) -> None:
    """Raises TooLittleHistory when most live repositories fall silent in the golden weeks.

    Projects do not stop all at once; clones that were not brought up to date do. Fallen silent:
    without a commit in most golden weeks, though most of its training weeks had some.
    """
    live: dict[tuple[str, str], list[bool]] = {}
    columns = (rows[name].to_pylist() for name in ("repo", "split", "dormant", "label"))
    for repo, split, dormant, label in zip(*columns, strict=True):
        if split == "golden" or not dormant:
            part = "golden" if split == "golden" else "before"
            live.setdefault((repo, part), []).append(label == 0)
    repos = sorted({repo for repo, part in live if part == "golden" and (repo, "before") in live})
    silent = [r for r in repos if _mostly(live[r, "golden"]) and not _mostly(live[r, "before"])]
    if len(silent) <= len(repos) / 2 or len(silent) < 2:
        return
    named = ", ".join(silent[:5]) + (" …" if len(silent) > 5 else "")
    raise TooLittleHistory(
        f"{len(silent)} of {len(repos)} repositories have no commit in most of the golden weeks "
        f"and were busy before: their clones are probably not up to date ({named})",
        where=COMMITS,
        fix=f"git -C CLONE pull, for each of them; platform-ctl data ingest --recipe {RECIPE} "
        "--git CLONE…",
    )


def _mostly(silent: list[bool]) -> bool:
    return 2 * sum(silent) > len(silent)
