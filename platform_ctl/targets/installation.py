"""The cluster of the settings and the table of what belongs in it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from platform_ctl.settings import Settings

if TYPE_CHECKING:
    from platform_ctl.cluster.api import Cluster
    from platform_ctl.doctor.doctor import Check


def cluster(settings: Settings) -> Cluster:
    """A connection to the API server of the settings. No call is made."""
    from platform_ctl.cluster.api import connect

    wanted = settings.kubernetes
    return connect(kubeconfig=wanted.kubeconfig, context=wanted.context, namespace=wanted.namespace)


def cluster_checks(settings: Settings) -> list[Check]:
    """The cluster against the table of components."""
    from platform_ctl.installation.check import check_cluster
    from platform_ctl.installation.components import read_components

    components = read_components(Path(settings.project_root))
    return check_cluster(cluster(settings), components)
