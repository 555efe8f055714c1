"""What came true: the commits of a week that is over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

from platform_ctl.recipe.recipe import DataAccess
from platform_ctl.recipe.truth import Truth
from recipes.common import iceberg
from recipes.train_deploy import tables
from recipes.train_deploy.weeks import WEEK, monday


def labels(
    data: DataAccess, asked: Sequence[tuple[str, datetime]], now: datetime | None = None
) -> list[Truth | None]:
    """Commits in the week (from Monday) in which each (repository, moment) was asked.

    None while the week is not over, or was not ingested to its end. Nothing is
    read when no week is over. Raises MissingTable.
    """
    over = {monday(at) for _, at in asked if monday(at) + WEEK <= (now or datetime.now(UTC))}
    if not over:
        return [None] * len(asked)
    commits = tables.commits_at(data)
    counted = _count(commits, min(over), max(over) + WEEK)
    observed = {repo: o.until for repo, o in commits.observed.items()}

    def truth(repo: str, week: datetime) -> Truth | None:
        if week not in over or observed.get(repo, 0) < (week + WEEK).timestamp():
            return None
        return Truth(f"{week:%Y-%m-%d}", float(counted[repo, week]))

    return [truth(repo, monday(at)) for repo, at in asked]


def _count(
    commits: tables.CommitsSnapshot, start: datetime, end: datetime
) -> Counter[tuple[str, datetime]]:
    """Commits by (repository, Monday of their week) in [start, end)."""
    from pyiceberg.expressions import And, GreaterThanOrEqual, LessThan

    between = And(
        iceberg.compare(GreaterThanOrEqual, "committed_at", start.isoformat()),
        iceberg.compare(LessThan, "committed_at", end.isoformat()),
    )
    fields = ("repo", "committed_at")
    scan = commits.table.scan(between, fields, snapshot_id=commits.snapshot_id).to_arrow()
    moments = zip(scan["repo"].to_pylist(), scan["committed_at"].to_pylist(), strict=True)
    return Counter((repo, monday(at)) for repo, at in moments)
