"""InferenceServices and their releases."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from platform_ctl.settings import Settings
from platform_ctl.targets.approvals import approvals, promote_pipeline
from platform_ctl.targets.home import require_local, state, state_reading
from platform_ctl.targets.installation import cluster
from platform_ctl.targets.ledger import ledger
from platform_ctl.targets.models import registry
from platform_ctl.targets.recipe import data_access, recipes
from platform_ctl.targets.runs import orchestrator

if TYPE_CHECKING:
    from platform_ctl.ir.pipeline import Pipeline
    from platform_ctl.releases.deploy import DeployPorts
    from platform_ctl.releases.port import Releases
    from platform_ctl.releases.steps import ReleasePorts
    from platform_ctl.runs.step import StepContext
    from platform_ctl.serving.local.service import LocalServing
    from platform_ctl.serving.port import Serving


def serving(settings: Settings) -> Serving:
    """InferenceServices: KServe's server in processes of this machine, or predictors of a cluster
    behind its Gateway."""
    return (
        _cluster_serving(settings) if settings.target == "kubernetes" else _local_serving(settings)
    )


def _cluster_serving(settings: Settings) -> Serving:
    from platform_ctl.cluster.owner import own_pod
    from platform_ctl.serving.kubernetes.manifests import PredictorSettings
    from platform_ctl.serving.kubernetes.service import INFERENCE_SERVICE, KubernetesServing

    wanted, connection = settings.kubernetes, cluster(settings)
    served = connection.kind(INFERENCE_SERVICE.group_version, INFERENCE_SERVICE.kind)
    how = PredictorSettings(
        wanted.namespace,
        wanted.image or own_pod(connection).image,
        wanted,
        kserve=served is not None,
        data_access="platform_ctl.targets.recipe:current_data_access",
        memory_mib=settings.serving.memory_mib,
    )
    return KubernetesServing(
        connection,
        how,
        url=wanted.gateway_url,
        ready_timeout_s=settings.serving.ready_timeout_s,
    )


def _local_serving(settings: Settings) -> LocalServing:
    require_local(settings, "serving")
    from platform_ctl.serving.local.service import LocalServing
    from platform_ctl.serving.service import ServiceLimits

    return LocalServing(
        settings.layout.services,
        host=settings.serving.host,
        port=settings.serving.port,
        project_root=settings.project_root,
        data=data_access(settings),
        limits=ServiceLimits(
            body_bytes=int(settings.serving.body_mib * 2**20),
            canary_timeout_s=settings.serving.canary_timeout_s,
            memory_bytes=settings.serving.memory_mib * 2**20,
            ready_timeout_s=settings.serving.ready_timeout_s,
        ),
    )


def releasing(settings: Settings) -> ReleasePorts:
    """The ports of every release verb."""
    return _releasing(settings, _releases(settings))


def released(settings: Settings) -> ReleasePorts:
    """The same ports for who only looks: the records cannot be changed by them."""
    return _releasing(settings, release_records(settings))


def release_records(settings: Settings) -> Releases:
    """The record of releases for who only looks."""
    return _releases(settings, only_look=True)


def _releases(settings: Settings, *, only_look: bool = False) -> Releases:
    """The record of releases: in the home, or custom resources of the cluster."""
    if settings.target == "kubernetes":
        from platform_ctl.releases.kubernetes.releases import ClusterReleases

        return ClusterReleases(cluster(settings))
    from platform_ctl.releases.local.releases import SqliteReleases

    return SqliteReleases(state_reading(settings) if only_look else state(settings))


def _releasing(settings: Settings, releases: Releases) -> ReleasePorts:
    from platform_ctl.releases.steps import ReleasePorts

    return ReleasePorts(
        releases,
        serving(settings),
        registry(settings),
        approvals(settings),
        data_access(settings),
    )


def deploying(settings: Settings) -> DeployPorts:
    """What starts a promotion, or takes an open release on."""
    from platform_ctl.releases.deploy import DeployPorts

    return DeployPorts(
        registry(settings),
        approvals(settings),
        recipes(settings),
        orchestrator(settings),
        lambda: promote_pipeline(settings),
    )


def check_promotion(settings: Settings, ir: Pipeline, parameters: Mapping[str, Any]) -> None:
    """Refuse a run that would only find out in its first step that it may not release anything.

    Looks at pipelines that verify an approval, and at nothing else. Raises ApprovalMissing,
    UnknownName and NothingYet, as that step would.
    """
    from platform_ctl.ir.roles import Role, roles
    from platform_ctl.releases.deploy import require_promotable

    if Role.VERIFY in roles(ir):
        require_promotable(
            registry(settings),
            approvals(settings),
            recipes(settings),
            str(parameters.get("approval_id") or ""),
            str(parameters.get("model_version") or ""),
        )


def canary_cost(
    settings: Settings, step: StepContext, service: str
) -> contextlib.AbstractContextManager[None]:
    """Charge the step's task with what the InferenceService uses meanwhile."""
    if not step.run_id:
        return contextlib.nullcontext()
    if settings.target == "kubernetes":  # predictors are not children of this step
        return contextlib.nullcontext()
    local = _local_serving(settings)
    return ledger(settings).metered(step.run_id, step.task, "canary", lambda: local.cpu_s(service))
