"""Releases in a namespace of a cluster.

A release is called ``SERVICE-N``: of two that start at once one gets the name, the other finds
that there is an open release. Every change names the version of the object that it read, so
etcd decides who was first.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from platform_ctl.cluster.api import Cluster, Conflict, Object
from platform_ctl.errors import HomeBusy, UnknownName
from platform_ctl.releases.kubernetes.resource import (
    ID_LABEL,
    RELEASE,
    SERVICE_LABEL,
    event_of,
    events_of,
    manifest,
    release_of,
    status_of,
)
from platform_ctl.releases.release import Release, ReleaseEvent


class ClusterReleases:
    """Implements ``releases.port.Releases``. Raises the errors of ``cluster.api`` too."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def create(self, release: Release, kind: str, **detail: Any) -> Release:
        service = release.target.service
        newest = self._newest(service)
        if newest is not None and release.state.is_open and release_of(newest).state.is_open:
            raise _another(service)
        number = _number(newest) + 1 if newest is not None else 1
        release = dataclasses.replace(release, created_at=_now())
        started = ReleaseEvent(release.created_at, kind, detail)
        created = self._cluster.create(manifest(release, f"{service}-{number}", started))
        if created is None:
            raise _another(service)
        self._show(created, release)
        return release

    def update(self, release: Release, kind: str, **detail: Any) -> Release:
        stored = self._object(release.id)
        service = release.target.service
        if release_of(stored).changes != release.changes:
            raise _changed(service, release)
        changed = dataclasses.replace(release, changes=release.changes + 1)
        event = event_of(ReleaseEvent(_now(), kind, detail))
        events = [*stored.get("status", {}).get("events", []), event]
        change = {
            "metadata": {"resourceVersion": stored["metadata"]["resourceVersion"]},
            "status": {**status_of(changed), "events": events},
        }
        try:
            self._cluster.patch(RELEASE, stored["metadata"]["name"], change, subresource="status")
        except Conflict as exc:
            raise _changed(service, release) from exc
        return changed

    def get(self, release_id: str) -> Release:
        return release_of(self._object(release_id))

    def latest(self, service: str) -> Release | None:
        newest = self._newest(service)
        return release_of(newest) if newest is not None else None

    def events(self, release_id: str) -> Sequence[ReleaseEvent]:
        return events_of(self._object(release_id))

    def _show(self, created: Object, release: Release) -> None:
        """Write the status of a new release, for ``kubectl get``."""
        version = {"resourceVersion": created["metadata"]["resourceVersion"]}
        change = {"metadata": version, "status": status_of(release)}
        with contextlib.suppress(Conflict):  # somebody has taken it on already
            self._cluster.patch(RELEASE, created["metadata"]["name"], change, subresource="status")

    def _object(self, release_id: str) -> Object:
        matching = self._cluster.list(RELEASE, labels=f"{ID_LABEL}={release_id}")
        if not matching:
            raise UnknownName(
                f"there is no release {release_id!r}",
                where=f"releases in {self._cluster.namespace}",
                fix="platform-ctl service list",
            )
        return matching[0]

    def _newest(self, service: str) -> Object | None:
        releases = self._cluster.list(RELEASE, labels=f"{SERVICE_LABEL}={service}")
        return max(releases, key=_number, default=None)


def _number(stored: Object) -> int:
    return int(stored["metadata"]["name"].rpartition("-")[2])


def _another(service: str) -> HomeBusy:
    return HomeBusy(
        f"another release of {service} has just been started",
        where="releases",
        fix=f"platform-ctl release show {service}",
    )


def _changed(service: str, release: Release) -> HomeBusy:
    return HomeBusy(
        f"another process has just changed the release of {service}",
        where=f"release {release.id}",
        fix=f"platform-ctl release show {service}",
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
