"""The recipe's data: ingest, resolve, show, audit, golden set, remove. Start reading here."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from platform_ctl.errors import MissingTable, unknown
from platform_ctl.recipe import data_files
from platform_ctl.recipe.datasets import (
    AuditReport,
    DataSummary,
    EntitySummary,
    GoldenSet,
    Resolved,
    SnapshotSummary,
)
from platform_ctl.recipe.recipe import DataAccess
from recipes.common import iceberg
from recipes.train_deploy import golden, names, selection, tables
from recipes.train_deploy.ingest import ingest_git
from recipes.train_deploy.names import RECIPE
from recipes.train_deploy.sample import ingest_sample
from recipes.train_deploy.tables import RepoObservation
from recipes.train_deploy.weeks import DORMANT_WEEKS, WEEK, WEEK_S, from_epoch

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "audit",
    "foresee",
    "golden_refresh",
    "golden_show",
    "ingest_git",
    "ingest_sample",
    "latest_rows",
    "remove",
    "resolve",
    "show",
]

_STALE_AFTER = 2 * WEEK


def resolve(data: DataAccess, now: datetime | None = None) -> Resolved:
    """Pin what a run is about: the newest snapshot, its ``as_of``, the golden set.

    Raises MissingTable, TooLittleHistory, GoldenSetTampered, HomeBusy, and HomeDamaged for data
    files that are not what was written.
    """
    commits = tables.commits_at(data, whole=True)
    _require_repositories(commits)
    newest = selection.as_of(commits.observed)
    digest = golden.current(data, commits, now or datetime.now(UTC))
    return Resolved(str(commits.snapshot_id), newest.isoformat(), digest)


def foresee(data: DataAccess) -> Resolved:
    """What ``resolve`` would return now. Writes nothing."""
    commits = tables.commits_at(data)
    _require_repositories(commits)
    newest = selection.as_of(commits.observed)
    return Resolved(str(commits.snapshot_id), newest.isoformat(), golden.foresee(data, commits))


def latest_rows(data: DataAccess) -> pa.Table:
    """Each repository's newest feature row: what next week's forecast is made from."""
    from recipes.train_deploy.extract import latest_rows as newest

    return newest(data)


def show(data: DataAccess) -> DataSummary:
    """Repositories with their range and state, tables with their snapshots. Raises MissingTable."""
    commits = tables.commits_at(data)
    newest = selection.as_of(commits.observed) if commits.observed else None
    repos = [
        EntitySummary(
            name=repo,
            rows=count,
            first_at=first,
            last_at=last,
            observed_until=from_epoch(commits.observed[repo].until),
            state=_state(commits.observed[repo], newest),
        )
        for repo, count, first, last in _ranges(commits)
        if repo in commits.observed and newest is not None
    ]
    snapshots = []
    for name in (names.COMMITS, names.FEATURES, names.REPO_WEEKS):
        try:
            table = tables.load(data, name)
        except MissingTable:
            continue
        for s in table.snapshots():
            properties = s.summary.additional_properties if s.summary else {}
            snapshots.append(
                SnapshotSummary(
                    table=name,
                    snapshot_id=str(s.snapshot_id),
                    committed_at=datetime.fromtimestamp(s.timestamp_ms / 1000, UTC),
                    operation=s.summary.operation.value if s.summary else "",
                    added_rows=int(properties.get("added-records", 0)),
                    total_rows=int(properties.get("total-records", 0)),
                )
            )
    return DataSummary(newest.isoformat() if newest else None, tuple(repos), tuple(snapshots))


def audit(data: DataAccess, rows_path: str | Path | None, n: int) -> AuditReport:
    """Recompute ``n`` rows by brute force; of a fresh extraction when no file is given.

    Raises MissingTable, TooLittleHistory.
    """
    from recipes.train_deploy import audit as auditor

    if rows_path is not None:
        return auditor.audit_rows(data, Path(rows_path), n)
    pinned = resolve(data)
    return auditor.audit_fresh(data, pinned.snapshot_id, pinned.as_of, pinned.golden_digest, n)


def golden_show(data: DataAccess) -> GoldenSet | None:
    """The golden set in force; None before the first run. Raises GoldenSetTampered."""
    return golden.sets(data).show()


def golden_refresh(data: DataAccess, reason: str, now: datetime | None = None) -> GoldenSet | None:
    """Freeze the newest weeks as the golden set; earlier pins stay in its history.

    Models are comparable only on the same set: the champion is evaluated anew.
    Raises MissingTable, TooLittleHistory.
    """
    commits = tables.commits_at(data)
    _require_repositories(commits)
    with tables.exclusive(data, "golden set"):
        golden.create(data, commits, now or datetime.now(UTC), reason, renew=True)
    return golden.sets(data).show()


def remove(data: DataAccess, repo: str, now: datetime | None = None) -> int:
    """Delete a repository's commits from the newest snapshot on; how many there were.

    Older snapshots keep them until they expire; the feature tables follow with
    the next run, the online store at once. Raises MissingTable, UnknownName.
    """
    from pyiceberg.expressions import EqualTo

    from recipes.train_deploy.features import store as feast_store

    with tables.exclusive(data, "data"):
        commits = tables.commits_at(data)
        if repo not in commits.observed:
            raise unknown(
                f"there is no repository {repo!r}",
                repo,
                commits.observed,
                where=names.COMMITS,
                fix=f"platform-ctl data show --recipe {RECIPE}",
            )
        count = next((c for r, c, _, _ in _ranges(commits) if r == repo), 0)
        gone = RepoObservation(
            head="", at=int((now or datetime.now(UTC)).timestamp()), until=0, last=0, removed=True
        )
        with iceberg.disk_errors():
            commits.table.delete(
                iceberg.compare(EqualTo, "repo", repo),
                snapshot_properties=tables.summary({repo: gone}),
            )
            data_files.record(commits.table)
        feast_store.forget_online(data)
    return count


def _require_repositories(commits: tables.CommitsSnapshot) -> None:
    if not commits.observed:
        raise MissingTable(
            f"{names.COMMITS} holds no repository: ingest your clones (--git PATH…) or the sample",
            where=names.COMMITS,
            fix=f"platform-ctl data ingest --recipe {RECIPE} --sample",
        )


def _state(observation: RepoObservation, newest: datetime) -> str:
    if from_epoch(observation.until) < newest - _STALE_AFTER:
        return "stale"
    dormant = observation.until - observation.last >= DORMANT_WEEKS * WEEK_S
    return "dormant" if dormant else "live"


def _ranges(commits: tables.CommitsSnapshot) -> list[tuple[str, int, datetime, datetime]]:
    """(repo, commits, first, last) of each repository, by name."""
    columns = ("repo", "committed_at")
    table = commits.table.scan(snapshot_id=commits.snapshot_id, selected_fields=columns).to_arrow()
    grouped = table.group_by("repo").aggregate(
        [("committed_at", "count"), ("committed_at", "min"), ("committed_at", "max")]
    )
    return sorted(
        (r["repo"], r["committed_at_count"], r["committed_at_min"], r["committed_at_max"])
        for r in grouped.to_pylist()
    )
