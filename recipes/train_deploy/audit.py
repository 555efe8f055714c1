"""The point-in-time auditor: recompute training rows from commits by brute force.

Which commits a row may count is decided here by plain loops over the commits
themselves: committed before the row's week and event time, available not after
its event time. Nothing of the tables, joins and caches on the way to a row is
used; only a feature's own expression is shared with its definition, applied to
the weeks that the loops gave.
"""

from __future__ import annotations

import math
import random
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from platform_ctl.recipe.datasets import AuditReport, Mismatch
from platform_ctl.recipe.recipe import DataAccess
from recipes.train_deploy import tables
from recipes.train_deploy.features.definitions import FEATURES, LOOKBACK_WEEKS
from recipes.train_deploy.features.weekly import SES_MEMORY
from recipes.train_deploy.weeks import DORMANT_WEEKS, monday

if TYPE_CHECKING:
    import pyarrow as pa

_SAMPLE_SEED = 20_240_101
_RELATIVE_TOLERANCE = 1e-5
"""Features are float32."""
_DAY_S = 86_400
_WEEK_US = 7 * _DAY_S * 1_000_000
_LINE_COLUMNS = (
    "ago", "commits", "weekend_commits", "late_week_commits", "top_author_commits",
    "active_days", "files", "lines", "authors",
)  # fmt: skip


class _Commit(NamedTuple):
    hash: str
    author: str
    committed_us: int
    available_us: int
    files: int
    lines: int


def audit_rows(data: DataAccess, rows_path: Path, count: int) -> AuditReport:
    """Check ``count`` rows of a file that ``extract`` wrote (all, if there are fewer).

    Half of them are drawn at random, the other half where a leak would show:
    at event times that fall between a commit and its becoming available.
    """
    import pyarrow.parquet as pq

    rows = pq.read_table(rows_path)
    snapshot = (rows.schema.metadata or {}).get(b"snapshot_id")
    commits = tables.commits_at(data, snapshot.decode() if snapshot else None, whole=True)
    by_repo = _read(commits)
    chosen = _sample(rows, by_repo, count)
    mismatches: list[Mismatch] = []
    values = 0
    expected = _expressions([_lines(by_repo[r["repo"]], r) for r in chosen])
    for row, features in zip(chosen, expected, strict=True):
        wanted = {**features, **_bookkeeping(by_repo[row["repo"]], row)}
        values += len(wanted)
        mismatches += _compare(row, wanted, by_repo[row["repo"]])
    return AuditReport(
        ok=not mismatches,
        rows_checked=len(chosen),
        values_checked=values,
        rows_path=str(rows_path),
        snapshot_id=str(commits.snapshot_id),
        mismatches=tuple(mismatches),
    )


def audit_fresh(
    data: DataAccess, snapshot_id: str, as_of: str, golden: str, count: int
) -> AuditReport:
    """Extract rows the way a run does, and audit those."""
    from recipes.train_deploy.extract import extract

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        extract(data, snapshot_id, as_of, golden, path)
        return audit_rows(data, path, count)


def _read(commits: tables.CommitsSnapshot) -> dict[str, list[_Commit]]:
    import pyarrow as pa

    columns = ("repo", "hash", "author", "committed_at", "available_at", "files_changed",
               "insertions", "deletions")  # fmt: skip
    table = commits.table.scan(snapshot_id=commits.snapshot_id, selected_fields=columns).to_arrow()
    commits_of: dict[str, list[_Commit]] = defaultdict(list)
    lists = [
        (c.cast(pa.int64()) if pa.types.is_timestamp(c.type) else c).to_pylist()
        for c in (table[name] for name in columns)
    ]
    for repo, commit, author, at, known, files, added, removed in zip(*lists, strict=True):
        commits_of[repo].append(_Commit(commit, author, at, known, files, added + removed))
    return commits_of


def _sample(rows: pa.Table, by_repo: dict[str, list[_Commit]], count: int) -> list[dict[str, Any]]:
    everything = rows.to_pylist()
    for row in everything:
        row.setdefault("week_start", monday(row["event_timestamp"]))
    if len(everything) <= count:
        return everything
    rng = random.Random(_SAMPLE_SEED)
    late = {
        repo: [c for c in commits if c.available_us > c.committed_us]
        for repo, commits in by_repo.items()
    }
    exposed = [r for r in everything if _exposed(late[r["repo"]], _us(r["event_timestamp"]))]
    chosen = rng.sample(exposed, min(len(exposed), count // 2))
    keys = {(r["repo"], r["event_timestamp"]) for r in chosen}
    others = [r for r in everything if (r["repo"], r["event_timestamp"]) not in keys]
    return chosen + rng.sample(others, count - len(chosen))


def _exposed(late: Iterable[_Commit], event_us: int) -> bool:
    oldest = event_us - LOOKBACK_WEEKS * _WEEK_US
    return any(oldest <= c.committed_us < event_us < c.available_us for c in late)


def _known(commits: list[_Commit], row: dict[str, Any]) -> list[_Commit]:
    """What may count: the rule of the whole platform, in one expression."""
    event_us, week_us = _us(row["event_timestamp"]), _us(row["week_start"])
    return [
        c
        for c in commits
        if c.committed_us < event_us and c.committed_us < week_us and c.available_us <= event_us
    ]


def _lines(commits: list[_Commit], row: dict[str, Any]) -> dict[str, Any]:
    """The 52 weeks before a row's week, counted commit by commit."""
    week_us = _us(row["week_start"])
    known = _known(commits, row)
    weeks: dict[int, list[_Commit]] = defaultdict(list)
    for commit in known:
        weeks[(week_us - commit.committed_us - 1) // _WEEK_US + 1].append(commit)
    lines = [
        _line(ago, week_us - ago * _WEEK_US, weeks[ago]) for ago in range(1, LOOKBACK_WEEKS + 1)
    ]
    first = min((c.committed_us for c in known), default=week_us)
    age = round((week_us - _us(monday(datetime.fromtimestamp(first / 1e6, UTC)))) / _WEEK_US)
    return {"lines": lines, "week_start": row["week_start"], "age_weeks": age}


def _line(ago: int, start_us: int, commits: list[_Commit]) -> dict[str, Any]:
    days = [(c.committed_us - start_us) // (_DAY_S * 1_000_000) for c in commits]
    by_author: dict[str, int] = defaultdict(int)
    for commit in commits:
        by_author[commit.author] += 1
    values = (
        ago,
        len(commits),
        sum(d >= 5 for d in days),
        sum(d >= 3 for d in days),
        max(by_author.values(), default=0),
        len(set(days)),
        sum(c.files for c in commits),
        sum(c.lines for c in commits),
        sorted(by_author) or None,
    )
    return dict(zip(_LINE_COLUMNS, values, strict=True))


def _expressions(rows: list[dict[str, Any]]) -> list[dict[str, float]]:
    """Each feature's own expression over the lines of each row."""
    import duckdb
    import pyarrow as pa

    flat = [
        {"row": i, "week_start": r["week_start"].replace(tzinfo=None), "age_weeks": r["age_weeks"]}
        | line
        for i, r in enumerate(rows)
        for line in r["lines"]
    ]
    con = duckdb.connect()
    con.execute("SET TimeZone = 'UTC'")
    con.register("lines", pa.Table.from_pylist(flat, _lines_schema()))
    features = ", ".join(f"({f.sql})::FLOAT AS {f.name}" for f in FEATURES)
    result = con.sql(
        f"SELECT {features} FROM lines GROUP BY row, week_start, age_weeks ORDER BY row"
    )
    values = result.to_arrow_table().to_pylist()
    con.close()
    return values


def _lines_schema() -> pa.Schema:
    import pyarrow as pa

    kinds = {"week_start": pa.timestamp("us"), "authors": pa.list_(pa.string())}
    names = ("row", "week_start", "age_weeks", *_LINE_COLUMNS)
    return pa.schema([(n, kinds.get(n, pa.int64())) for n in names])


def _bookkeeping(commits: list[_Commit], row: dict[str, Any]) -> dict[str, float]:
    """Label and naive forecasts of a row; the label of a golden row is frozen and not checked."""
    week_us = _us(row["week_start"])
    known = _known(commits, row)

    def recent(weeks: int) -> int:
        return sum(c.committed_us >= week_us - weeks * _WEEK_US for c in known)

    wanted: dict[str, float] = {
        "naive_last_week": recent(1),
        "naive_mean_4w": recent(4) / 4,
        "naive_log_ses": _log_ses(known, week_us),
        "dormant": recent(DORMANT_WEEKS) == 0,
    }
    if row["split"] != "golden":
        wanted["label"] = sum(week_us <= c.committed_us < week_us + _WEEK_US for c in commits)
    return wanted


def _log_ses(known: list[_Commit], week_us: int) -> float:
    """Smoothed log counts of the weeks that the repository has had, at most LOOKBACK_WEEKS."""
    counts = Counter((week_us - c.committed_us - 1) // _WEEK_US for c in known)
    weeks = range(min(max(counts, default=0) + 1, LOOKBACK_WEEKS))
    smoothed = sum(math.log1p(counts[w]) * SES_MEMORY**w for w in weeks)
    return math.expm1(smoothed / sum(SES_MEMORY**w for w in weeks))


def _compare(
    row: dict[str, Any], wanted: dict[str, float], commits: list[_Commit]
) -> list[Mismatch]:
    mismatches = []
    for column, value in wanted.items():
        in_row = row[column]
        same = in_row is not None and math.isclose(
            in_row, value, rel_tol=_RELATIVE_TOLERANCE, abs_tol=_RELATIVE_TOLERANCE
        )
        if not same:
            in_row = math.nan if in_row is None else float(in_row)
            event = row["event_timestamp"].astimezone(UTC)
            why = _explain(commits, row)
            mismatches.append(Mismatch(row["repo"], event, column, in_row, float(value), why))
    return mismatches


def _explain(commits: list[_Commit], row: dict[str, Any]) -> str:
    """What could have leaked into this row, if anything in the table could."""
    event_us, week_us = _us(row["event_timestamp"]), _us(row["week_start"])
    oldest = week_us - LOOKBACK_WEEKS * _WEEK_US
    late = [c for c in commits if oldest <= c.committed_us < week_us and c.available_us > event_us]
    if late:
        first = min(late, key=lambda c: c.available_us)
        when = datetime.fromtimestamp(first.available_us / 1e6, UTC)
        return (
            f"{len(late)} commits before the event time became available only after it "
            f"(first {first.hash[:12]}, available {when:%Y-%m-%d %H:%M}Z)"
        )
    after = [c for c in commits if week_us <= c.committed_us < week_us + _WEEK_US]
    if after:
        return f"not explained by late commits; {len(after)} commits follow in the week to forecast"
    return "the row differs from what the commits give"


def _us(moment: datetime) -> int:
    return round(moment.timestamp() * 1_000_000)
