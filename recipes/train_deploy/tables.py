"""The Iceberg tables of this recipe, and what their snapshots say about the repositories.

The commits table holds one row a commit, key (repo, hash). Each ingest is one
snapshot, and its summary carries for every repository it looked at an
``RepoObservation``: the head that was read and how far the clone can vouch for.
So a snapshot id pins both the commits and what is known not to exist.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from platform_ctl.errors import MissingTable
from platform_ctl.recipe.recipe import DataAccess
from recipes.common import iceberg
from recipes.train_deploy.names import COMMITS, RECIPE

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.schema import Schema
    from pyiceberg.table import Table

_OBSERVED = "observed."


class RepoObservation(msgspec.Struct, frozen=True):
    """What one ingest learned of one repository; times in seconds since 1970."""

    head: str
    at: int
    """When the ingest ran."""
    until: int
    """Nothing is known of what was committed later."""
    last: int
    """Newest commit in the table."""
    skipped_future: int = 0
    """Commits left out because they were dated in the future: read in full next time."""
    removed: bool = False

    def same_as(self, other: RepoObservation | None) -> bool:
        """Whether it says nothing that ``other`` did not say; when it was made does not count."""
        return other is not None and msgspec.structs.replace(other, at=self.at) == self


@dataclass(frozen=True)
class CommitsSnapshot:
    """The commits table at one snapshot."""

    table: Table
    snapshot_id: int
    timelines: dict[str, list[RepoObservation]]
    """Observations of each repository, oldest first; the first one is its backfill."""

    @property
    def observed(self) -> dict[str, RepoObservation]:
        """The newest observation of each repository."""
        return {repo: line[-1] for repo, line in self.timelines.items()}


def load(data: DataAccess, name: str, *, whole: bool = False) -> Table:
    """An existing table, at its newest snapshot; ``whole``: its data files are checked against
    their digests. Raises MissingTable and HomeDamaged."""
    try:
        return (iceberg.load_whole if whole else iceberg.load)(data, name, RECIPE)
    except MissingTable as exc:
        raise _no_table(name) from exc


def _no_table(name: str) -> MissingTable:
    return MissingTable(
        f"there is no table {name} yet: ingest your clones (--git PATH…) or the sample",
        where=name,
        fix=f"platform-ctl data ingest --recipe {RECIPE} --sample",
    )


def commits_schema() -> Schema:
    """Times are UTC microseconds, nothing is null."""
    from pyiceberg.schema import Schema
    from pyiceberg.types import BooleanType, IntegerType, NestedField, StringType, TimestamptzType

    columns = [
        ("repo", StringType(), "normalised origin URL, else the folder's name"),
        ("hash", StringType(), "commit hash"),
        ("author", StringType(), "keyed hash of the author's e-mail"),
        ("committed_at", TimestamptzType(), "committer date"),
        ("ingested_at", TimestamptzType(), "when the row was written"),
        ("available_at", TimestamptzType(), "when the platform could first know the commit"),
        ("files_changed", IntegerType(), "0 for merges"),
        ("insertions", IntegerType(), "lines"),
        ("deletions", IntegerType(), "lines"),
        ("backfill", BooleanType(), "came with the repository's first ingest"),
    ]
    return Schema(
        *(
            NestedField(i, name, kind, required=True, doc=doc)
            for i, (name, kind, doc) in enumerate(columns, 1)
        ),
        identifier_field_ids=[1, 2],
    )


def append(table: Table, rows: pa.Table, observed: dict[str, RepoObservation]) -> str:
    """Write rows and observations as one snapshot; its id. Raises DiskFull."""
    return iceberg.append(table, rows, summary(observed))


def summary(observed: dict[str, RepoObservation]) -> dict[str, str]:
    """Observations as snapshot properties."""
    return {_OBSERVED + repo: msgspec.json.encode(o).decode() for repo, o in observed.items()}


def observations(properties: Mapping[str, str]) -> dict[str, RepoObservation]:
    """Observation of each repository that a snapshot's properties speak of."""
    return {
        key.removeprefix(_OBSERVED): msgspec.json.decode(value, type=RepoObservation)
        for key, value in properties.items()
        if key.startswith(_OBSERVED)
    }


def commits_at(
    data: DataAccess, snapshot_id: str | int | None = None, *, whole: bool = False
) -> CommitsSnapshot:
    """The commits table at a snapshot (default: newest); ``whole`` as ``load`` has it. Raises
    MissingTable and HomeDamaged."""
    table = load(data, COMMITS, whole=whole)
    wanted = int(snapshot_id) if snapshot_id is not None else None
    current = table.current_snapshot() if wanted is None else table.snapshot_by_id(wanted)
    if current is None:
        raise MissingTable(
            f"{COMMITS} has no snapshot {wanted}" if wanted else f"{COMMITS} is empty",
            where=COMMITS,
            fix=f"platform-ctl data show --recipe {RECIPE}",
        )
    return CommitsSnapshot(table, current.snapshot_id, timelines(table, current.snapshot_id))


def timelines(table: Table, snapshot_id: int | None) -> dict[str, list[RepoObservation]]:
    """Observations of each repository up to a snapshot, oldest first; removed ones are absent."""
    by_repo: dict[str, list[RepoObservation]] = {}
    ended: set[str] = set()
    by_id = {s.snapshot_id: s for s in table.snapshots()}
    snapshot = by_id.get(snapshot_id) if snapshot_id else None
    while snapshot is not None:
        properties = snapshot.summary.additional_properties if snapshot.summary else {}
        for repo, observation in observations(properties).items():
            if repo in ended:
                continue
            if observation.removed:
                ended.add(repo)
            else:
                by_repo.setdefault(repo, []).append(observation)
        snapshot = by_id.get(snapshot.parent_snapshot_id or -1)
    return {repo: line[::-1] for repo, line in sorted(by_repo.items())}


def exclusive(data: DataAccess, what: str) -> contextlib.AbstractContextManager[None]:
    """Hold the lock called ``what``. Raises HomeBusy when another process keeps it too long."""
    return iceberg.exclusive(data, RECIPE, what)
