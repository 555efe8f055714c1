"""Quick, read-only view of an Iceberg table behind a SQLite catalog on this machine.

Importing pyiceberg and loading a table takes a second and a half; the catalog's
row and the table's metadata file take two milliseconds. A catalog that is no
SQLite file, or metadata that is not on this machine, is not looked at.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import msgspec

from platform_ctl.errors import HomeDamaged
from platform_ctl.home import sqlite_file
from platform_ctl.recipe.tables import Snapshot, TableColumn, TableState

_PREFIX = "sqlite:///"


def read(catalog: Mapping[str, str], name: str) -> TableState | None:
    """``namespace.table`` as it is now; None when it cannot be told this way.

    A table that is not in the catalog has ``exists`` False. Raises HomeDamaged.
    """
    database = _database(catalog)
    if database is None:
        return None
    if not database.exists():
        return TableState(name, exists=False)
    location = _metadata_location(database, catalog.get("name", ""), name)
    if not location:
        return None if location is None else TableState(name, exists=False)
    path = metadata_file(catalog, name)
    if path is None or not path.is_file():
        return None
    try:
        return _state(name, msgspec.json.decode(path.read_bytes()))
    except (msgspec.DecodeError, KeyError, TypeError) as exc:
        raise HomeDamaged(
            f"the metadata of {name} cannot be read: {exc}",
            where=str(path),
            fix="platform-ctl doctor",
        ) from exc


def metadata_file(catalog: Mapping[str, str], name: str) -> Path | None:
    """The current metadata of a table on this machine; None when it cannot be told this way."""
    database = _database(catalog)
    if database is None or not database.exists():
        return None
    location = _metadata_location(database, catalog.get("name", ""), name)
    parsed = urlparse(location or "")
    return Path(unquote(parsed.path)) if location and parsed.scheme in ("", "file") else None


def folder(catalog: Mapping[str, str]) -> Path:
    """Where the catalog's database lies. Raises ValueError for one that is no SQLite file."""
    database = _database(catalog)
    if database is None:
        raise ValueError("the catalog is not on this machine")
    return database.parent


def names(catalog: Mapping[str, str]) -> list[str]:
    """Every ``namespace.table``; none when it cannot be told this way. Raises sqlite3.Error."""
    database = _database(catalog)
    if database is None or not database.exists():
        return []
    with sqlite_file.reading(database) as db:
        rows = db.execute(
            "SELECT table_namespace, table_name FROM iceberg_tables WHERE catalog_name = ?"
            " ORDER BY 1, 2",
            (catalog.get("name", ""),),
        )
        return [f"{namespace}.{table}" for namespace, table in rows]


def _database(catalog: Mapping[str, str]) -> Path | None:
    """The SQLite file behind the catalog, whether it exists or not."""
    uri = catalog.get("uri", "")
    return Path(uri.removeprefix(_PREFIX)) if uri.startswith(_PREFIX) else None


def _metadata_location(database: Path, catalog: str, name: str) -> str | None:
    """ "" when there is no such table; None when the catalog cannot be read."""
    namespace, _, table = name.rpartition(".")
    try:
        with sqlite_file.reading(database) as db:
            row = db.execute(
                "SELECT metadata_location FROM iceberg_tables"
                " WHERE catalog_name = ? AND table_namespace = ? AND table_name = ?",
                (catalog, namespace, table),
            ).fetchone()
    except sqlite3.DatabaseError:
        return None
    return row[0] if row else ""


def _state(name: str, metadata: Mapping[str, Any]) -> TableState:
    wanted = metadata.get("current-schema-id")
    schemas: list[dict[str, Any]] = metadata["schemas"]
    schema: dict[str, Any] = next((s for s in schemas if s["schema-id"] == wanted), {"fields": []})
    return TableState(
        name,
        exists=True,
        location=metadata["location"],
        current=str(metadata.get("current-snapshot-id") or ""),
        snapshots=tuple(
            Snapshot(
                str(s["snapshot-id"]),
                s["timestamp-ms"] / 1000,
                int(s.get("summary", {}).get("total-records", 0)),
                s.get("summary", {}),
            )
            for s in metadata.get("snapshots", ())
        ),
        columns=tuple(
            TableColumn(f["name"], f["type"] if isinstance(f["type"], str) else f["type"]["type"])
            for f in schema["fields"]
        ),
    )
