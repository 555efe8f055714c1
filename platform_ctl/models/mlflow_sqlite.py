"""Quick, read-only view of an MLflow registry on SQLite.

Importing MLflow and opening its store takes two seconds; these three queries
take two milliseconds. Anything unexpected (another schema, no file) is told
apart from an empty registry, so that the caller can ask MLflow itself.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

from platform_ctl.home import sqlite_file
from platform_ctl.models.model import ModelVersion, RegisteredModel

PREFIX = "sqlite:///"
_BUSY_TIMEOUT_S = 10.0
_VERSIONS = """
    SELECT v.name, v.version, v.creation_time, v.run_id, COALESCE(v.storage_location, v.source)
    FROM model_versions v
    WHERE v.workspace = 'default' AND v.current_stage <> 'Deleted_Internal' AND v.status = 'READY'
    ORDER BY v.name, v.version DESC
"""
_METRICS = """
    SELECT m.run_uuid, m.key, m.value FROM latest_metrics m
    WHERE m.is_nan = 0 AND m.run_uuid IN (SELECT run_id FROM model_versions)
"""


def database_of(tracking_uri: str) -> Path | None:
    """The file behind a ``sqlite:///`` tracking URI."""
    return Path(tracking_uri.removeprefix(PREFIX)) if tracking_uri.startswith(PREFIX) else None


def read(database: Path) -> list[RegisteredModel] | None:
    """Every model; None when this is not a store that we can read."""
    if not database.exists():
        return []
    try:
        with sqlite_file.reading(database, _BUSY_TIMEOUT_S) as db:
            names = [r[0] for r in db.execute("SELECT name FROM registered_models ORDER BY name")]
            rows = db.execute(_VERSIONS).fetchall()
            tags = db.execute("SELECT name, version, key, value FROM model_version_tags").fetchall()
            aliases = db.execute(
                "SELECT name, version, alias FROM registered_model_aliases"
            ).fetchall()
            figures = db.execute(_METRICS).fetchall()
    except sqlite3.DatabaseError:
        return None
    return _assemble(names, rows, tags, aliases, figures)


def artifact_dir(database: Path, run_id: str) -> str:
    """The artifact URI of an MLflow run; "" when there is none."""
    query = "SELECT artifact_uri FROM runs WHERE run_uuid = ?"
    try:
        with sqlite_file.reading(database, _BUSY_TIMEOUT_S) as db:
            row = db.execute(query, (run_id,)).fetchone()
    except sqlite3.DatabaseError:
        return ""
    return row[0] if row else ""


def _assemble(
    names: list[str],
    rows: list[tuple],
    tags: list[tuple],
    aliases: list[tuple],
    figures: list[tuple],
) -> list[RegisteredModel]:
    tags_of: dict[tuple, dict[str, str]] = defaultdict(dict)
    for name, number, key, value in tags:
        tags_of[name, number][key] = value or ""
    aliases_of: dict[tuple, list[str]] = defaultdict(list)
    for name, number, alias in aliases:
        aliases_of[name, number].append(alias)
    metrics_of: dict[str, dict[str, float]] = defaultdict(dict)
    for run_id, key, value in figures:
        metrics_of[run_id][key] = value
    versions: dict[str, list[ModelVersion]] = defaultdict(list)
    for name, number, created_ms, run_id, source in rows:
        versions[name].append(
            ModelVersion(
                name=name,
                version=str(number),
                created_at=utc(created_ms),
                aliases=tuple(sorted(aliases_of[name, number])),
                tags=tags_of[name, number],
                mlflow_run_id=run_id or "",
                source=source or "",
                metrics=metrics_of[run_id or ""],
            )
        )
    return [RegisteredModel(name, tuple(versions[name])) for name in names]


def utc(milliseconds: int) -> str:
    """Milliseconds since the epoch -> UTC, ISO 8601."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds")
