"""The cluster of the settings, and what belongs in it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from platform_ctl.settings import Settings

if TYPE_CHECKING:
    from platform_ctl.cluster.api import Cluster, Object
    from platform_ctl.doctor.doctor import Check
    from platform_ctl.installation.components import InstallComponent
    from platform_ctl.installation.install import Installer
    from platform_ctl.installation.remove import Removal


APPLY_TIMEOUT_S = 60.0
"""How long one object may take: a busy API server reads a large definition for ten seconds."""


def cluster(settings: Settings) -> Cluster:
    """A connection to the API server of the settings. No call is made."""
    from platform_ctl.cluster.api import connect

    wanted = settings.kubernetes
    return connect(kubeconfig=wanted.kubeconfig, context=wanted.context, namespace=wanted.namespace)


def components(settings: Settings, names: tuple[str, ...]) -> list[InstallComponent]:
    """The components of ``names``, all core ones without. Raises UnknownName."""
    from platform_ctl.installation.components import chosen, read_components

    return chosen(read_components(Path(settings.project_root)), names)


def cluster_checks(settings: Settings, *, probe: bool = False) -> list[Check]:
    """The cluster against the table of components; with ``probe`` also as a pod sees it."""
    from platform_ctl.installation.check import check_cluster
    from platform_ctl.installation.components import read_components

    table = read_components(Path(settings.project_root))
    connection = cluster(settings)
    checks = check_cluster(connection, table, settings.kubernetes, settings.training)
    if probe:
        from platform_ctl.installation.probe import probe_cluster

        checks += probe_cluster(connection, settings.kubernetes)
    return checks


def installer(settings: Settings, progress: Callable[[str], None]) -> Installer:
    """What puts components into the cluster of the settings.

    Raises ConfigError for a replacement of an image that no component has.
    """
    from platform_ctl.installation.components import read_lock
    from platform_ctl.installation.install import Installer
    from platform_ctl.installation.rendering import check_images

    lock = read_lock(Path(settings.project_root))
    check_images(settings.kubernetes.images, {i for r in lock.values() for i in r.images})
    connection = dataclasses.replace(cluster(settings), timeout_s=APPLY_TIMEOUT_S)
    return Installer(connection, lambda c: _rendered(settings, c), progress)


def removal(settings: Settings, component: InstallComponent) -> Removal:
    """What removing a component would delete. Changes nothing."""
    from platform_ctl.installation.remove import plan_removal

    return plan_removal(cluster(settings), component, _rendered(settings, component))


def remove_component(settings: Settings, planned: Removal, progress: Callable[[str], None]) -> None:
    """Delete what ``removal`` found."""
    from platform_ctl.installation.remove import remove

    remove(cluster(settings), planned, progress)


def _rendered(settings: Settings, component: InstallComponent) -> list[Object]:
    from platform_ctl.installation.components import read_digests
    from platform_ctl.installation.rendering import render, with_settings

    wanted, root = settings.kubernetes, Path(settings.project_root)
    return with_settings(
        render(root, component),
        image=wanted.image,
        gateway_class=wanted.gateway_class,
        gateway=wanted.gateway,
        gateway_namespace=wanted.gateway_namespace,
        images=wanted.images,
        digests=read_digests(root),
    )
