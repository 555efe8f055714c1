"""InferenceServices and their releases."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from platform_ctl.settings import Settings
from platform_ctl.targets.approvals import approvals
from platform_ctl.targets.home import require_local, state
from platform_ctl.targets.ledger import ledger
from platform_ctl.targets.models import registry
from platform_ctl.targets.recipe import data_access

if TYPE_CHECKING:
    from platform_ctl.releases.steps import Releasing
    from platform_ctl.runs.step import StepContext
    from platform_ctl.serving.local.service import LocalServing
    from platform_ctl.serving.port import Serving


def serving(settings: Settings) -> Serving:
    """InferenceServices: KServe's server in processes of this machine."""
    return _local_serving(settings)


def _local_serving(settings: Settings) -> LocalServing:
    require_local(settings, "serving")
    from platform_ctl.serving.local.service import LocalServing
    from platform_ctl.serving.service import Limits

    return LocalServing(
        settings.layout.services,
        host=settings.serving.host,
        port=settings.serving.port,
        project_root=settings.project_root,
        data=data_access(settings),
        limits=Limits(
            body_bytes=int(settings.serving.body_mib * 2**20),
            canary_timeout_s=settings.serving.canary_timeout_s,
            memory_bytes=settings.serving.memory_mib * 2**20,
            ready_timeout_s=settings.serving.ready_timeout_s,
        ),
    )


def releasing(settings: Settings) -> Releasing:
    """The ports of every release verb."""
    from platform_ctl.releases.local.releases import SqliteReleases
    from platform_ctl.releases.steps import Releasing

    return Releasing(
        SqliteReleases(state(settings)),
        serving(settings),
        registry(settings),
        approvals(settings),
        data_access(settings),
    )


def canary_cost(
    settings: Settings, step: StepContext, service: str
) -> contextlib.AbstractContextManager[None]:
    """Charge the step's task with what the InferenceService uses meanwhile."""
    if not step.run_id:
        return contextlib.nullcontext()
    local = _local_serving(settings)
    return ledger(settings).metered(step.run_id, step.task, "canary", lambda: local.cpu_s(service))
