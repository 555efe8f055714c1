"""The record of releases: where each stands, and everything that happened to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from platform_ctl.releases.release import Release, ReleaseEvent


class Releases(Protocol):
    def create(self, release: Release, kind: str, **detail: Any) -> Release:
        """Record a new release with its first event. Raises HomeBusy when its service has an
        open one already."""
        ...

    def update(self, release: Release, kind: str, **detail: Any) -> Release:
        """Replace the record and append an event, together. Raises HomeBusy when the record
        has changed since it was read."""
        ...

    def get(self, release_id: str) -> Release:
        """Raises UnknownName."""
        ...

    def latest(self, service: str) -> Release | None:
        """The newest release of an InferenceService."""
        ...

    def events(self, release_id: str) -> Sequence[ReleaseEvent]:
        """Oldest first."""
        ...
