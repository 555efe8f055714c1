"""The golden set of this recipe: which weeks judge a model.

``rolling``: the newest twelve complete weeks of the snapshot that a run reads, so what was golden
becomes training data as time goes on. ``frozen``: pinned by the first run, until ``refresh``.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from platform_ctl.recipe.recipe import DataAccess
from recipes.common.golden import GoldenFile, GoldenSets, of_rows
from recipes.train_deploy import names, selection, tables
from recipes.train_deploy.features import build
from recipes.train_deploy.names import RECIPE
from recipes.train_deploy.recipe import GOLDEN
from recipes.train_deploy.tables import CommitsSnapshot

if TYPE_CHECKING:
    import pyarrow as pa


def sets(data: DataAccess) -> GoldenSets:
    return GoldenSets(data, RECIPE)


def current(data: DataAccess, commits: CommitsSnapshot, now: datetime) -> str:
    """Digest of the set that a run of this snapshot is judged on; pins it where it is a new one.

    Raises TooLittleHistory, GoldenSetTampered, HomeBusy.
    """
    pinned = sets(data).pinned()
    if pinned and GOLDEN == "frozen":
        return pinned
    with tables.exclusive(data, "golden set"):
        pinned = sets(data).pinned()
        if pinned and GOLDEN == "frozen":
            return pinned
        return create(data, commits, now, "newer data" if pinned else "first run")


def foresee(data: DataAccess, commits: CommitsSnapshot) -> str:
    """What ``current`` would return. Writes nothing, and computes only what is not kept."""
    pinned = sets(data).pinned()
    if pinned and (GOLDEN == "frozen" or sets(data).snapshot() == str(commits.snapshot_id)):
        return pinned
    return _select(commits, build.compute(commits)[1]).digest


def create(
    data: DataAccess,
    commits: CommitsSnapshot,
    now: datetime,
    reason: str,
    *,
    renew: bool = False,
) -> str:
    """Select the golden weeks of a snapshot and pin them; the digest. ``renew`` as
    ``GoldenSets.pin`` has it. Raises TooLittleHistory."""
    with tables.exclusive(data, "features"):
        build.ensure(data, commits)
        repo_weeks = tables.load(data, names.REPO_WEEKS).scan().to_arrow()
    content = _select(commits, repo_weeks)
    return sets(data).pin(content, str(commits.snapshot_id), now, reason, renew=renew)


def _select(commits: CommitsSnapshot, repo_weeks: pa.Table) -> GoldenFile:
    newest = selection.as_of(commits.observed)
    starts_at, ends_at = selection.golden_weeks(repo_weeks, newest, GOLDEN)
    rows = selection.select(repo_weeks, newest, starts_at, ends_at)
    selection.check_enough(rows, newest)
    selection.check_alive(rows)
    return of_rows(rows, starts_at, ends_at)
