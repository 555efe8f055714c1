"""The components of a cluster as ``infra/tier6/versions.yaml`` lists them, in order."""

from __future__ import annotations

from pathlib import Path

import msgspec

from platform_ctl.errors import ConfigError, UnknownName

TABLE = Path("infra") / "tier6" / "versions.yaml"
"""Relative to the root of the project."""


class VersionSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a cluster says which version of a component it has; one field is set."""

    image: str = ""
    """Deployment whose first container's image tag is the version."""
    annotation: str = ""
    """Annotation of the component's first CustomResourceDefinition."""
    healthz: str = ""
    """``SERVICE:PORT`` whose KFP health answer carries ``tag_name``."""


class Component(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One component: what it is for, what a cluster that has it serves and runs."""

    name: str
    does: str
    version: str
    source: str
    namespace: str
    definitions: list[str]
    workloads: list[str]
    version_of: VersionSource = VersionSource()
    optional: bool = False
    """Whether the main job works without it."""


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    components: list[Component]


def read_components(project_root: Path) -> list[Component]:
    """All components in order of installation. Raises ConfigError for a table that is not one."""
    path = project_root / TABLE
    try:
        return msgspec.yaml.decode(path.read_bytes(), type=Table).components
    except (OSError, msgspec.DecodeError, msgspec.ValidationError) as exc:
        raise ConfigError(
            f"the table of components cannot be read: {exc}",
            where=str(path),
            fix=f"git checkout -- {TABLE}",
        ) from exc


def chosen(components: list[Component], names: tuple[str, ...]) -> list[Component]:
    """Those of ``names`` in order of installation; all without names. Raises UnknownName."""
    known = {c.name for c in components}
    for name in names:
        if name not in known:
            raise UnknownName(
                f"no component {name!r}; there are {', '.join(c.name for c in components)}",
                where=str(TABLE),
                fix="platform-ctl target check",
            )
    return [c for c in components if not names or c.name in names]
