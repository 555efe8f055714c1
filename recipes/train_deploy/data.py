"""The recipe's data: ingest, resolve, show, audit, golden set, remove. Start reading here."""

from __future__ import annotations

from datetime import UTC, datetime

from platform_ctl.domain.datasets import Resolved
from platform_ctl.domain.recipe import DataAccess
from recipes.train_deploy import golden, selection, tables
from recipes.train_deploy.ingest import ingest_git
from recipes.train_deploy.sample import ingest_sample

__all__ = ["ingest_git", "ingest_sample", "resolve"]


def resolve(data: DataAccess, now: datetime | None = None) -> Resolved:
    """Pin what a run is about: the newest snapshot, its ``as_of``, the golden set.

    Makes the golden set when the home has none. Raises MissingTable,
    TooLittleHistory, GoldenSetTampered, HomeBusy.
    """
    commits = tables.commits_at(data)
    newest = selection.as_of(commits.observed)
    digest = golden.pinned(data)
    if digest is None:
        with tables.exclusive(data, "golden"):
            digest = golden.pinned(data) or golden.create(
                data, commits, now or datetime.now(UTC), "first run"
            )
    return Resolved(str(commits.snapshot_id), newest.isoformat(), digest)
