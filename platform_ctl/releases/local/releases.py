"""Releases in the home's database."""

from __future__ import annotations

import dataclasses
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from platform_ctl.errors import HomeBusy, UnknownName
from platform_ctl.home.state import transaction
from platform_ctl.releases.release import Release, ReleaseEvent


class SqliteReleases:
    """One row a release; ``record`` is the whole of it, the columns are for looking it up."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def create(self, release: Release, kind: str, **detail: Any) -> Release:
        release = dataclasses.replace(release, created_at=_now())
        target = release.target
        try:
            with transaction(self._db):
                self._db.execute(
                    "INSERT INTO releases SELECT ?, coalesce(max(seq), 0) + 1, ?, ?, ?, ?, ?, ?, ?"
                    " FROM releases",
                    (
                        release.id,
                        target.service,
                        target.model,
                        release.version,
                        release.state,
                        release.intent,
                        release.changes,
                        _encode(release),
                    ),
                )
                self._append(release, kind, detail)
        except sqlite3.IntegrityError as exc:
            raise HomeBusy(
                f"another release of {target.service} has just been started",
                where="releases",
                fix=f"platform-ctl release show {target.service}",
            ) from exc
        return release

    def update(self, release: Release, kind: str, **detail: Any) -> Release:
        changed = dataclasses.replace(release, changes=release.changes + 1)
        with transaction(self._db):
            cursor = self._db.execute(
                "UPDATE releases SET state = ?, intent = ?, changes = ?, record = ?"
                " WHERE id = ? AND changes = ?",
                (
                    changed.state,
                    changed.intent,
                    changed.changes,
                    _encode(changed),
                    release.id,
                    release.changes,
                ),
            )
            if cursor.rowcount != 1:
                raise HomeBusy(
                    f"another process has just changed the release of {release.target.service}",
                    where=f"release {release.id}",
                    fix=f"platform-ctl release show {release.target.service}",
                )
            self._append(changed, kind, detail)
        return changed

    def get(self, release_id: str) -> Release:
        row = self._db.execute("SELECT record FROM releases WHERE id = ?", (release_id,)).fetchone()
        if row is None:
            raise UnknownName(
                f"there is no release {release_id!r}",
                where="releases",
                fix="platform-ctl release show NAME",
            )
        return _decode(row["record"])

    def latest(self, service: str) -> Release | None:
        row = self._db.execute(
            "SELECT record FROM releases WHERE service = ? ORDER BY seq DESC LIMIT 1", (service,)
        ).fetchone()
        return _decode(row["record"]) if row else None

    def events(self, release_id: str) -> Sequence[ReleaseEvent]:
        self.get(release_id)  # raises for an unknown one
        rows = self._db.execute(
            "SELECT at, kind, detail FROM release_events WHERE release_id = ? ORDER BY id",
            (release_id,),
        )
        return [ReleaseEvent(r["at"], r["kind"], msgspec.json.decode(r["detail"])) for r in rows]

    def _append(self, release: Release, kind: str, detail: dict[str, Any]) -> None:
        self._db.execute(
            "INSERT INTO release_events (release_id, at, kind, detail) VALUES (?, ?, ?, ?)",
            (release.id, _now(), kind, msgspec.json.encode(detail, enc_hook=str).decode()),
        )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _encode(release: Release) -> str:
    return msgspec.json.encode(release).decode()


def _decode(record: str) -> Release:
    return msgspec.json.decode(record, type=Release)
