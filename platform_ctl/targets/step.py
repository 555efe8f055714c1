"""The step that this process executes."""

from __future__ import annotations

import functools
import os
import sys
from typing import TYPE_CHECKING

from platform_ctl.errors import (
    ClusterUnavailable,
    ConfigError,
    MissingExtra,
    PlatformError,
    StoreUnavailable,
)
from platform_ctl.settings import Settings

if TYPE_CHECKING:
    from types import TracebackType

    from platform_ctl.runs.spent import StepIdentity

POD = "KFP_POD_NAME"
"""What KFP's launcher sets in the pod of a step."""


def step_in_pod(settings: Settings) -> StepIdentity:
    """Run, task and attempt from the pod of this process; empty where it may not be read, since a
    step does its work all the same."""
    wanted = settings.kubernetes
    return _step_in_pod(wanted.kubeconfig, wanted.context, wanted.namespace)


@functools.cache
def _step_in_pod(kubeconfig: str, context: str, namespace: str) -> StepIdentity:
    """Asked for once a process."""
    from platform_ctl.cluster.api import connect
    from platform_ctl.cluster.owner import own_pod
    from platform_ctl.runs.kubernetes.nodes import step_of
    from platform_ctl.runs.spent import StepIdentity

    try:
        pod = own_pod(connect(kubeconfig=kubeconfig, context=context, namespace=namespace))
    except (ClusterUnavailable, ConfigError, MissingExtra):
        return StepIdentity()
    task, attempt = step_of(pod.node)
    return StepIdentity(pod.run_id, task, attempt)


def account_for_step(settings: Settings) -> None:
    """Have this process say what it has spent and what ended it, if it is a step in a pod."""
    if settings.target == "kubernetes" and os.environ.get(POD):
        from platform_ctl.runs.spent import write_at_exit

        write_at_exit(step_in_pod(settings))
        sys.excepthook = functools.partial(name_outage, settings)


def name_outage(
    settings: Settings,
    kind: type[BaseException],
    exc: BaseException,
    trace: TracebackType | None,
) -> None:
    """Print what ended the process, as an error of ours where a shared store is away now.

    Libraries say so by words of their own (Arrow by those of a bare OSError), so the stores are
    asked. Takes the place of ``sys.excepthook``.
    """
    from platform_ctl.installation.stores import outage

    away = "" if isinstance(exc, PlatformError) else outage(settings, os.environ)
    if away:
        error = StoreUnavailable(away, where=POD, fix="")
        error.__cause__, kind, exc, trace = exc, StoreUnavailable, error, None
    sys.__excepthook__(kind, exc, trace)
