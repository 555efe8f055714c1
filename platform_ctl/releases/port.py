"""The record of releases: where each stands, and everything that happened to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from platform_ctl.releases.release import Release, ReleaseEvent


class Releases(Protocol):
    """Times are UTC. On a cluster every method may raise ClusterUnavailable."""

    def create(self, release: Release, kind: str, **detail: Any) -> Release:
        """Record a new release with its first event. Raises HomeBusy when its service has an
        open one already."""
        ...

    def update(self, release: Release, kind: str, **detail: Any) -> Release:
        """Replace the record and append an event, together. Raises HomeBusy when the record
        has changed since it was read, and UnknownName when there is none."""
        ...

    def get(self, release_id: str) -> Release:
        """The release of that id, in full. Raises UnknownName."""
        ...

    def latest(self, service: str) -> Release | None:
        """The newest release of an InferenceService, open or not; None before the first."""
        ...

    def events(self, release_id: str) -> Sequence[ReleaseEvent]:
        """What happened to a release, oldest first. Raises UnknownName."""
        ...
