"""A ``Release`` of ``platform.abukix.dev/v1alpha1`` as a record, and back.

The schema is ``infra/tier6/platform/crds/releases.yaml``: the spec is the release as it began,
with its first event, the status everything that changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from platform_ctl.cluster.api import Object, ResourceKind
from platform_ctl.releases.release import Release, ReleaseEvent

GROUP_VERSION = "platform.abukix.dev/v1alpha1"
RELEASE = ResourceKind(GROUP_VERSION, "Release", "releases")
SERVICE_LABEL = "platform.abukix.dev/service"
ID_LABEL = "platform.abukix.dev/release"
_CHANGING = ("state", "intent", "step", "looks", "reason", "changes")
_BEGINS_WITH = ("state", "intent", "reason")


def manifest(release: Release, name: str, started: ReleaseEvent) -> dict[str, Any]:
    """The object of a new release."""
    record = _camel(msgspec.to_builtins(release))
    fixed = {k: v for k, v in record.items() if k not in _CHANGING and v is not None}
    begins = {name: str(getattr(release, name)) for name in _BEGINS_WITH}
    return {
        "apiVersion": GROUP_VERSION,
        "kind": RELEASE.kind,
        "metadata": {
            "name": name,
            "labels": {SERVICE_LABEL: release.target.service, ID_LABEL: release.id},
        },
        "spec": {**fixed, **begins, "started": event_of(started)},
    }


def status_of(release: Release) -> dict[str, Any]:
    """What the status says of a release, without its events."""
    changing = {name: getattr(release, name) for name in _CHANGING}
    share = release.split().weight_percent if release.state.is_open else 0
    done = 100 if release.state == "promoted" else share
    return {**msgspec.to_builtins(changing), "weightPercent": done}


def release_of(stored: Object) -> Release:
    """The record that an object holds; its status wins over what it began with."""
    spec, status = stored["spec"], stored.get("status", {})
    record = {k: v for k, v in spec.items() if k != "started"}
    record |= {name: status[name] for name in _CHANGING if name in status}
    return msgspec.convert({"production": None, **_snake(record)}, Release)


def event_of(event: ReleaseEvent) -> dict[str, Any]:
    return {
        "at": event.at,
        "kind": event.kind,
        "detail": msgspec.to_builtins(event.detail, enc_hook=str),
    }


def events_of(stored: Object) -> list[ReleaseEvent]:
    """Oldest first."""
    written = [stored["spec"]["started"], *stored.get("status", {}).get("events", [])]
    return [ReleaseEvent(e["at"], e["kind"], e.get("detail", {})) for e in written]


def _camel(value: Any) -> Any:
    return _renamed(value, lambda name: _to_camel(name))


def _snake(value: Any) -> Any:
    return _renamed(value, lambda name: _to_snake(name))


def _renamed(value: Any, rename: Callable[[str], str]) -> Any:
    """The value with every key of its mappings renamed; a release's keys are all field names."""
    if isinstance(value, Mapping):
        return {rename(k): _renamed(v, rename) for k, v in value.items()}
    if isinstance(value, list):
        return [_renamed(v, rename) for v in value]
    return value


def _to_camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def _to_snake(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name)
