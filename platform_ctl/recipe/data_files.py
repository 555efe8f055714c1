"""Data files of Iceberg tables on this machine: digests of what was written, and what no
snapshot names.

Neither Iceberg nor pyiceberg's Parquet keeps a digest of a data file: a changed byte that still
decodes would be another figure. ``record`` writes one of every new file beside the table's
metadata, ``digests-SNAPSHOT.json``: the file's name -> SHA-256. Names of data files hold a UUID.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlparse

import msgspec

from platform_ctl.errors import HomeDamaged

if TYPE_CHECKING:
    from pyiceberg.table import Table

_PREFIX = "digests-"


def path_of(uri: str) -> Path | None:
    """The path of a URI on this machine; None of one that is elsewhere."""
    parts = urlparse(uri)
    return Path(unquote(parts.path)) if parts.scheme in ("", "file") else None


def record(table: Table) -> None:
    """Write the digests of the current snapshot's data files that have none yet.

    The caller holds the table's lock. A table that is elsewhere is left alone. Raises OSError.
    """
    metadata, snapshot = _metadata_folder(table), table.current_snapshot()
    if metadata is None or snapshot is None:
        return
    known = recorded(metadata)
    # Not table.inspect.files(): it raises ArrowInvalid for a snapshot without a data file.
    paths = [path_of(task.file.file_path) for task in table.scan().plan_files()]
    new = {p.name: digest(p) for p in paths if p is not None and p.name not in known}
    if new:
        written = metadata / f"{_PREFIX}{snapshot.snapshot_id}.json"
        part = written.with_suffix(".part")
        part.write_text(json.dumps(new), encoding="utf-8")
        part.replace(written)


def recorded(metadata: Path) -> dict[str, str]:
    """Digests by the name of the data file. ``metadata``: the folder of the table's metadata.

    Raises HomeDamaged for a list of digests that cannot be read: without it files are read as
    those of an older version, which have none.
    """
    digests: dict[str, str] = {}
    for path in sorted(metadata.glob(f"{_PREFIX}*.json")):
        try:
            digests |= msgspec.json.decode(path.read_bytes(), type=dict[str, str])
        except msgspec.DecodeError as exc:
            raise HomeDamaged(
                f"the digests of data files cannot be read: {exc}",
                where=str(path),
                fix=shlex.join(["mv", str(path), f"{path}.damaged"]),
            ) from exc
    return digests


def require_whole(table: Table) -> None:
    """Raise HomeDamaged, with the file, when a data file of the current snapshot is not what was
    written: it may decode, and would be another figure.

    Reads every file that has a digest (about 1 GB/s). A table that is elsewhere is not looked at.
    """
    metadata = _metadata_folder(table)
    digests = recorded(metadata) if metadata is not None else {}
    if not digests or table.current_snapshot() is None:
        return
    for path in (path_of(task.file.file_path) for task in table.scan().plan_files()):
        if path is None or path.name not in digests:
            continue
        if not path.is_file():
            raise _not_whole(f"{path.name} is gone", path)
        if digest(path) != digests[path.name]:
            raise _not_whole(f"{path.name} is not what was written", path)


def _not_whole(what: str, path: Path) -> HomeDamaged:
    return HomeDamaged(
        f"a data file of an Iceberg table is damaged: {what}",
        where=str(path),
        fix="platform-ctl doctor",
    )


def digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sweep(table: Table) -> int:
    """Delete the data files that no snapshot names: those of an ingest that was killed or had no
    room. How many.

    The caller holds the table's lock, so that nobody is writing. A table that is elsewhere, or
    whose manifests cannot be read, is left alone.
    """
    metadata = _metadata_folder(table)
    if metadata is None:
        return 0
    try:
        named = {Path(uri).name for uri in _every_file(table)}
    except (OSError, EOFError, ValueError, IndexError):
        return 0
    dead = [p for p in (metadata.parent / "data").rglob("*.parquet") if p.name not in named]
    for path in dead:
        path.unlink(missing_ok=True)
    return len(dead)


def _every_file(table: Table) -> Iterator[str]:
    for snapshot in table.snapshots():
        for manifest in snapshot.manifests(table.io):
            for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=False):
                yield unquote(entry.data_file.file_path)


def _metadata_folder(table: Table) -> Path | None:
    location = path_of(table.metadata_location)
    return location.parent if location is not None else None
