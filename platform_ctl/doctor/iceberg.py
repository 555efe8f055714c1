"""Whether the Iceberg tables of a home are whole: metadata, manifests and data files.

Reads everything that the current snapshot names, and changes nothing. A changed byte that
still decodes is seen by the digest that was written with the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from platform_ctl.doctor.doctor import Check, Health
from platform_ctl.errors import HomeDamaged
from platform_ctl.recipe import data_files, iceberg_sqlite


def check_tables(catalog: Mapping[str, str]) -> Iterator[Check]:
    """One check for each table of a catalog on this machine, with the file that is damaged."""
    for name in iceberg_sqlite.names(catalog):
        try:
            damage, fix = _damage(catalog, name), _fix(catalog)
        except HomeDamaged as exc:
            damage, fix = f"{name}: {exc.what} ({exc.where})", exc.fix
        health = Health.FAIL if damage else Health.OK
        yield Check("iceberg", health, damage or f"{name} is whole", fix if damage else "")


def _fix(catalog: Mapping[str, str]) -> str:
    """What the data came from is still there: it is ingested again into a new table."""
    folder = iceberg_sqlite.folder(catalog)
    return f"mv {folder} {folder}.damaged && platform-ctl data ingest --help"


def _damage(catalog: Mapping[str, str], name: str) -> str:
    try:
        location = iceberg_sqlite.metadata_file(catalog, name)
        if location is None:
            return ""
        iceberg_sqlite.read(catalog, name)
    except HomeDamaged as exc:
        return f"{exc.what} ({exc.where})"
    return _damage_below(name, location)


def _damage_below(name: str, metadata: Path) -> str:
    import pyarrow
    import pyarrow.parquet as pq
    from pyiceberg.exceptions import NoSuchTableError
    from pyiceberg.table import StaticTable

    try:
        table = StaticTable.from_metadata(metadata.as_uri())
        if table.current_snapshot() is None:
            return ""
        files = [task.file for task in table.scan().plan_files()]
    except (OSError, EOFError, ValueError, IndexError, NoSuchTableError) as exc:
        return f"{name}: the manifests of the current snapshot cannot be read: {exc or 'cut short'}"
    digests = data_files.recorded(metadata.parent)
    for file in files:
        path = data_files.path_of(file.file_path)
        if path is None:
            continue
        if not path.is_file():
            return f"{name}: {path} is gone"
        if path.stat().st_size != file.file_size_in_bytes:
            return (
                f"{name}: {path} has {path.stat().st_size} bytes, and had {file.file_size_in_bytes}"
            )
        try:
            pq.read_table(path)
        except (OSError, pyarrow.ArrowException) as exc:
            return f"{name}: {path} cannot be read: {exc}"
        if digests.get(path.name, digest := data_files.digest(path)) != digest:
            return f"{name}: {path} is not what was written: its SHA-256 is {digest}"
    return ""
