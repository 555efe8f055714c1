"""Releases in memory."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Sequence
from typing import Any

from platform_ctl.errors import HomeBusy, UnknownName
from platform_ctl.releases.release import Release, ReleaseEvent


class FakeReleases:
    """Implements ``releases.port.Releases``. ``lose``: updates that find that somebody was
    quicker, counted from 1."""

    def __init__(self, *, lose: Sequence[int] = ()) -> None:
        self._releases: list[Release] = []
        self._events: dict[str, list[ReleaseEvent]] = {}
        self._lose = frozenset(lose)
        self._updates = 0
        self._lock = threading.Lock()

    def create(self, release: Release, kind: str, **detail: Any) -> Release:
        with self._lock:
            before = self.latest(release.target.service)
            if before is not None and before.state.is_open and release.state.is_open:
                raise HomeBusy(f"another release of {release.target.service}")
            made = dataclasses.replace(release, created_at="2026-01-05T09:00:00.000+00:00")
            self._releases.append(made)
            self._events[made.id] = [ReleaseEvent(made.created_at, kind, detail)]
            return made

    def update(self, release: Release, kind: str, **detail: Any) -> Release:
        with self._lock:
            self._updates += 1
            if self.get(release.id).changes != release.changes or self._updates in self._lose:
                raise HomeBusy("another process has just changed the release")
            changed = dataclasses.replace(release, changes=release.changes + 1)
            at = [r.id for r in self._releases].index(release.id)
            self._releases[at] = changed
            event = ReleaseEvent("2026-01-05T09:00:01.000+00:00", kind, detail)
            self._events[release.id].append(event)
            return changed

    def get(self, release_id: str) -> Release:
        for release in self._releases:
            if release.id == release_id:
                return release
        raise UnknownName(f"there is no release {release_id!r}")

    def latest(self, service: str) -> Release | None:
        found = [r for r in self._releases if r.target.service == service]
        return found[-1] if found else None

    def events(self, release_id: str) -> Sequence[ReleaseEvent]:
        self.get(release_id)
        return list(self._events[release_id])
