"""The Iceberg tables of this recipe, and what their snapshots say about the repositories.

The commits table holds one row a commit, key (repo, hash). Each ingest is one
snapshot, and its summary carries for every repository it looked at an
``Observation``: the head that was read and how far the clone can vouch for.
So a snapshot id pins both the commits and what is known not to exist.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import filelock
import msgspec

from platform_ctl.errors import DiskFull, HomeBusy, MissingTable
from platform_ctl.recipe.recipe import DataAccess
from recipes.train_deploy.names import COMMITS, NAMESPACE, RECIPE

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.catalog import Catalog
    from pyiceberg.schema import Schema
    from pyiceberg.table import Table

LOCK_TIMEOUT_S = 60.0
_OBSERVED = "observed."
_PROPERTIES = {
    "write.parquet.compression-codec": "zstd",
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "20",
}


class Observation(msgspec.Struct, frozen=True):
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

    def same_as(self, other: Observation | None) -> bool:
        """Whether it says nothing that ``other`` did not say; when it was made does not count."""
        return other is not None and msgspec.structs.replace(other, at=self.at) == self


@dataclass(frozen=True)
class CommitsSnapshot:
    """The commits table at one snapshot."""

    table: Table
    snapshot_id: int
    timelines: dict[str, list[Observation]]
    """Observations of each repository, oldest first; the first one is its backfill."""

    @property
    def observed(self) -> dict[str, Observation]:
        """The newest observation of each repository."""
        return {repo: line[-1] for repo, line in self.timelines.items()}


def open_catalog(data: DataAccess, *, create: bool = False) -> Catalog:
    """The recipe's catalog. Raises MissingTable when it is local, absent and not to be created."""
    from pyiceberg.catalog import load_catalog

    properties = dict(data.catalog)
    database = properties.get("uri", "").removeprefix("sqlite:///")
    if database != properties.get("uri", ""):
        if not create and not Path(database).exists():
            raise _no_table(COMMITS)
        if create:
            Path(database).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            warehouse = Path(properties["warehouse"].removeprefix("file://"))
            warehouse.mkdir(parents=True, exist_ok=True)
    return load_catalog(properties.pop("name"), **properties)


def _no_table(name: str) -> MissingTable:
    return MissingTable(
        f"there is no table {name} yet: ingest your clones (--git PATH…) or the sample",
        where=name,
        fix=f"platform-ctl data ingest --recipe {RECIPE} --sample",
    )


def load(data: DataAccess, name: str) -> Table:
    """An existing table, at its newest snapshot. Raises MissingTable."""
    from pyiceberg.exceptions import NoSuchTableError

    try:
        return open_catalog(data).load_table(name)
    except NoSuchTableError as exc:
        raise _no_table(name) from exc


def load_or_create(data: DataAccess, name: str, schema: Schema, month_of: str | None) -> Table:
    """The table, created when absent; ``month_of`` names the column whose month partitions it."""
    from pyiceberg.exceptions import NoSuchTableError
    from pyiceberg.partitioning import UNPARTITIONED_PARTITION_SPEC, PartitionField, PartitionSpec
    from pyiceberg.transforms import MonthTransform

    catalog = open_catalog(data, create=True)
    try:
        return catalog.load_table(name)
    except NoSuchTableError:
        pass
    spec = UNPARTITIONED_PARTITION_SPEC
    if month_of:
        source = schema.find_field(month_of).field_id
        spec = PartitionSpec(PartitionField(source, 1000, MonthTransform(), f"{month_of}_month"))
    catalog.create_namespace_if_not_exists(NAMESPACE)
    return catalog.create_table(name, schema, partition_spec=spec, properties=_PROPERTIES)


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


def append(table: Table, rows: pa.Table, observed: dict[str, Observation]) -> str:
    """Write rows and observations as one snapshot; its id. Raises DiskFull."""
    with disk_errors():
        table.append(rows, snapshot_properties=summary(observed))
    return str(table.current_snapshot().snapshot_id)


def summary(observed: dict[str, Observation]) -> dict[str, str]:
    """Observations as snapshot properties."""
    return {_OBSERVED + repo: msgspec.json.encode(o).decode() for repo, o in observed.items()}


def observations(properties: Mapping[str, str]) -> dict[str, Observation]:
    """Observation of each repository that a snapshot's properties speak of."""
    return {
        key.removeprefix(_OBSERVED): msgspec.json.decode(value, type=Observation)
        for key, value in properties.items()
        if key.startswith(_OBSERVED)
    }


def commits_at(data: DataAccess, snapshot_id: str | int | None = None) -> CommitsSnapshot:
    """The commits table at a snapshot (default: newest). Raises MissingTable."""
    table = load(data, COMMITS)
    wanted = int(snapshot_id) if snapshot_id is not None else None
    current = table.current_snapshot() if wanted is None else table.snapshot_by_id(wanted)
    if current is None:
        raise MissingTable(
            f"{COMMITS} has no snapshot {wanted}" if wanted else f"{COMMITS} is empty",
            where=COMMITS,
            fix=f"platform-ctl data show --recipe {RECIPE}",
        )
    return CommitsSnapshot(table, current.snapshot_id, timelines(table, current.snapshot_id))


def timelines(table: Table, snapshot_id: int | None) -> dict[str, list[Observation]]:
    """Observations of each repository up to a snapshot, oldest first; removed ones are absent."""
    found: dict[str, list[Observation]] = {}
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
                found.setdefault(repo, []).append(observation)
        snapshot = by_id.get(snapshot.parent_snapshot_id or -1)
    return {repo: line[::-1] for repo, line in sorted(found.items())}


@contextlib.contextmanager
def exclusive(data: DataAccess, what: str) -> Iterator[None]:
    """Hold the lock called ``what``. Raises HomeBusy when another process keeps it too long."""
    data.lock_dir.mkdir(parents=True, exist_ok=True)
    path = data.lock_dir / f"{RECIPE}-{what}.lock"
    lock = filelock.FileLock(path, timeout=LOCK_TIMEOUT_S)
    try:
        lock.acquire()
    except filelock.Timeout as exc:
        raise HomeBusy(
            f"another process has been working on the {what} for more than {LOCK_TIMEOUT_S:.0f} s",
            where=str(path),
            fix="wait for it to end, then run the same command again",
        ) from exc
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def disk_errors() -> Iterator[None]:
    """Turn a full disk, as Arrow, Iceberg or SQLite report it, into DiskFull."""
    from sqlalchemy.exc import OperationalError

    try:
        yield
    except OSError as exc:
        if exc.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise _disk_full(exc) from exc
    except OperationalError as exc:
        if "disk is full" not in str(exc):
            raise
        raise _disk_full(exc) from exc


def _disk_full(exc: Exception) -> DiskFull:
    return DiskFull(
        f"the disk is full; nothing of this was recorded: {exc}",
        where=str(getattr(exc, "filename", "") or "the home's disk"),
        fix="df -h",
    )
