"""Iceberg tables of a recipe: open, create, lock, and say in four lines what is missing."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import filelock

from platform_ctl.cluster.answering import ICEBERG, require_answer
from platform_ctl.errors import DiskFull, HomeBusy, HomeDamaged, MissingTable
from platform_ctl.folders import make_private
from platform_ctl.recipe import data_files
from platform_ctl.recipe.recipe import DataAccess

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.catalog import Catalog
    from pyiceberg.expressions import BooleanExpression
    from pyiceberg.schema import Schema
    from pyiceberg.table import Table

LOCK_TIMEOUT_S = 60.0
PROPERTIES = {
    "write.parquet.compression-codec": "zstd",
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "20",
}


def compare(
    kind: Callable[..., BooleanExpression], column: str, value: object
) -> BooleanExpression:
    """A comparison of pyiceberg, ``EqualTo`` for example, with a column by its name.

    They take a name where a term is wanted; their annotations (pydantic's) do not say so.
    """
    return kind(column, value)


def open_catalog(access: DataAccess, *, create: bool = False) -> Catalog | None:
    """The catalog of this target; None when it is local, absent and not to be created."""
    from pyiceberg.catalog import load_catalog

    properties = dict(access.catalog)
    database = properties.get("uri", "").removeprefix("sqlite:///")
    if database != properties.get("uri", ""):
        if not create and not Path(database).exists():
            return None
        if create:
            make_private(Path(database).parent)
            warehouse = Path(properties["warehouse"].removeprefix("file://"))
            make_private(warehouse)
    if properties.get("type") == "rest":
        require_answer(properties.get("uri", ""), ICEBERG)
    return load_catalog(properties.pop("name"), **properties)


def load(access: DataAccess, name: str, recipe: str) -> Table:
    """An existing table, at its newest snapshot. Raises MissingTable, and HomeDamaged for one
    whose metadata cannot be read."""
    from pyiceberg.exceptions import NoSuchTableError

    catalog = open_catalog(access)
    if catalog is not None:
        with contextlib.suppress(NoSuchTableError):
            return _open(catalog, name)
    raise MissingTable(
        f"there is no table {name} yet: ingest data first",
        where=name,
        fix=f"platform-ctl data ingest --recipe {recipe} --help",
    )


def load_whole(access: DataAccess, name: str, recipe: str) -> Table:
    """``load``, for who computes from it: the bytes of its data files are those that were written.

    Raises MissingTable and HomeDamaged.
    """
    table = load(access, name, recipe)
    with _manifests_of(name):
        data_files.require_whole(table)
    return table


def _open(catalog: Catalog, name: str) -> Table:
    """Raises NoSuchTableError, and HomeDamaged where the metadata file is cut short."""
    from pyiceberg.exceptions import ValidationError

    try:
        return catalog.load_table(name)
    except ValidationError as exc:
        raise HomeDamaged(
            f"the metadata of the table {name} cannot be read: it is damaged",
            where=name,
            fix="platform-ctl doctor",
        ) from exc


@contextlib.contextmanager
def _manifests_of(name: str) -> Iterator[None]:
    """A manifest that ends before it should is damage of the table: pyiceberg says EOF."""
    try:
        yield
    except EOFError as exc:
        raise HomeDamaged(
            f"the manifests of {name} cannot be read: they end before they should",
            where=name,
            fix="platform-ctl doctor",
        ) from exc


def load_or_create(
    access: DataAccess, name: str, schema: Schema, month_of: str | None = None
) -> Table:
    """The table, created when absent; ``month_of`` names the column whose month partitions it."""
    from pyiceberg.exceptions import NoSuchTableError
    from pyiceberg.partitioning import UNPARTITIONED_PARTITION_SPEC, PartitionField, PartitionSpec
    from pyiceberg.transforms import MonthTransform

    catalog = open_catalog(access, create=True)
    assert catalog is not None
    try:
        return _open(catalog, name)
    except NoSuchTableError:
        pass
    spec = UNPARTITIONED_PARTITION_SPEC
    if month_of:
        source = schema.find_field(month_of).field_id
        spec = PartitionSpec(PartitionField(source, 1000, MonthTransform(), f"{month_of}_month"))
    catalog.create_namespace_if_not_exists(name.rpartition(".")[0])
    return catalog.create_table(name, schema, partition_spec=spec, properties=PROPERTIES)


def append(table: Table, rows: pa.Table, properties: Mapping[str, str] | None = None) -> str:
    """Write rows as one snapshot, with digests of its files; its id.

    The caller holds the recipe's lock. What an earlier append left that was killed, or had no
    room, is deleted first. Raises DiskFull.
    """
    with disk_errors():
        data_files.sweep(table)
        table.append(rows, snapshot_properties=dict(properties or {}))
        data_files.record(table)
    snapshot = table.current_snapshot()
    assert snapshot is not None  # just appended
    return str(snapshot.snapshot_id)


@contextlib.contextmanager
def exclusive(access: DataAccess, recipe: str, what: str) -> Iterator[None]:
    """Hold the recipe's lock called ``what``. Raises HomeBusy when another process keeps it too
    long."""
    make_private(access.lock_dir)
    path = access.lock_dir / f"{recipe}-{what}.lock"
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
