"""The components of a cluster as ``infra/tier6/versions.yaml`` lists them, in order."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import msgspec
import yaml

from platform_ctl.errors import ConfigError, UnknownName

FOLDER = Path("infra") / "tier6"
"""Relative to the root of the project; one folder a component."""
TABLE = FOLDER / "versions.yaml"
LOCK = FOLDER / "versions.lock.yaml"
DIGESTS = FOLDER / "digests.yaml"
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class VersionSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a cluster says which version of a component it has; at most one field is set."""

    image: str = ""
    """Deployment whose first container's image tag is the version."""
    annotation: str = ""
    """Annotation of the component's first CustomResourceDefinition."""
    healthz: str = ""
    """``SERVICE:PORT`` whose KFP health answer carries ``tag_name``."""


class GeneratedSecret(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A Secret that the installation makes where there is none of that name.

    A key's value is ``generate`` (32 random characters), ``given`` (somebody has
    to make the Secret before), ``=TEXT``, or ``NAMESPACE/NAME/KEY`` to copy.
    """

    namespace: str
    name: str
    keys: dict[str, str]


class WebhookCertificate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A Secret with the certificate of the Service that answers a component's webhooks."""

    namespace: str
    secret: str
    service: str


class InstallComponent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One component: what it is for, what a cluster that has it serves and runs."""

    name: str
    does: str
    version: str
    source: str
    namespace: str
    core: bool = True
    """Whether the main job needs it."""
    without: str = ""
    replaceable: bool = False
    """Whether servers of somebody else can take its place, by the ConfigMap of the settings."""
    needs: list[str] = []
    definitions: list[str] = []
    workloads: list[str] = []
    """Deployments, as NAME in the component's namespace or NAMESPACE/NAME."""
    anywhere: bool = False
    """Whether its controllers serve every namespace, so that they may live in another one."""
    own_kinds: list[str] = []
    """Kinds whose objects are made even where somebody else installed the definitions."""
    version_of: VersionSource = VersionSource()
    secrets: list[GeneratedSecret] = []
    certificates: list[WebhookCertificate] = []
    data: str = "nothing"


class Rendered(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a component renders to, as the lock file keeps it."""

    digest: str
    """SHA-256 of the documents as canonical JSON, ordered by kind, namespace and name."""
    images: list[str]
    cpu_m: int
    """Sum of the CPU requests of all replicas, in thousandths of a core."""
    memory_mib: int


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    components: list[InstallComponent]


def read_components(project_root: Path) -> list[InstallComponent]:
    """All components in order of installation. Raises ConfigError for a table that is not one."""
    path = project_root / TABLE
    try:
        return msgspec.convert(yaml.safe_load(path.read_bytes()), _Table).components
    except (OSError, yaml.YAMLError, msgspec.ValidationError) as exc:
        raise ConfigError(
            f"the table of components cannot be read: {exc}",
            where=str(path),
            fix=f"git checkout -- {TABLE}",
        ) from exc


def read_lock(project_root: Path) -> dict[str, Rendered]:
    """Component -> what it rendered to when `make tier6-render` last ran. Raises ConfigError."""
    path = project_root / LOCK
    try:
        return msgspec.convert(yaml.safe_load(path.read_bytes()), dict[str, Rendered])
    except (OSError, yaml.YAMLError, msgspec.ValidationError) as exc:
        raise ConfigError(
            f"what the components render to cannot be read: {exc}",
            where=str(path),
            fix="make tier6-render",
        ) from exc


def read_digests(project_root: Path) -> dict[str, str]:
    """Image -> the digest that somebody pulled; an image that is not in it has only a tag.

    Raises ConfigError for a value that is no digest, and for an image of no component.
    """
    path = project_root / DIGESTS
    known = {image for rendered in read_lock(project_root).values() for image in rendered.images}
    try:
        digests = msgspec.convert(yaml.safe_load(path.read_bytes()) or {}, dict[str, str])
    except (OSError, yaml.YAMLError, msgspec.ValidationError) as exc:
        raise ConfigError(
            f"the digests of images cannot be read: {exc}",
            where=str(path),
            fix=f"git checkout -- {DIGESTS}",
        ) from exc
    wrong = [i for i, digest in digests.items() if i not in known or not DIGEST.fullmatch(digest)]
    if wrong:
        raise ConfigError(
            f"{wrong[0]} is no image of a component, or has no sha256 digest",
            where=str(path),
            fix="make tier6-digests",
        )
    return digests


def chosen(components: Sequence[InstallComponent], names: Sequence[str]) -> list[InstallComponent]:
    """Those of ``names`` in order of installation; all core ones without names.

    Raises UnknownName.
    """
    known = [c.name for c in components]
    for name in names:
        if name not in known:
            raise UnknownName(
                f"there is no component {name!r}; there are: {', '.join(known)}",
                where=str(TABLE),
                fix="platform-ctl target check",
            )
    return [c for c in components if (c.name in names if names else c.core)]
