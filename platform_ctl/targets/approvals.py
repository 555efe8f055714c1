"""Approval requests: records and notifications."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from platform_ctl.settings import Settings
from platform_ctl.targets.home import local_user
from platform_ctl.targets.installation import cluster
from platform_ctl.targets.models import registry
from platform_ctl.targets.recipe import pipelines, recipes
from platform_ctl.targets.runs import PROMOTE, orchestrator

if TYPE_CHECKING:
    from platform_ctl.approvals.decide import DecisionPorts
    from platform_ctl.approvals.kubernetes.approvals import ClusterApprovals
    from platform_ctl.approvals.kubernetes.controller import Controller
    from platform_ctl.approvals.notifier import Notifier
    from platform_ctl.approvals.port import Approvals
    from platform_ctl.approvals.request import ApprovalRequest


def approvals(settings: Settings) -> Approvals:
    """Approval requests: in the home, or custom resources of the cluster."""
    if settings.target == "kubernetes":
        return _cluster_approvals(settings)
    from platform_ctl.approvals.local.approvals import SqliteApprovals

    return SqliteApprovals(settings.layout.database, expires_h=settings.approval.expires_h)


def approvals_as_they_stand(settings: Settings) -> list[ApprovalRequest]:
    """All requests, newest first; void where an answer would find them so."""
    from platform_ctl.approvals.decide import as_they_stand

    return as_they_stand(registry(settings), recipes(settings), approvals(settings).list())


def _cluster_approvals(settings: Settings) -> ClusterApprovals:
    from platform_ctl.approvals.kubernetes.approvals import ClusterApprovals

    return ClusterApprovals(cluster(settings), expires_h=settings.approval.expires_h)


def actor(settings: Settings) -> str:
    """Who acts: the account of this process, or the one that the API server knows."""
    if settings.target == "kubernetes":
        return cluster(settings).whoami()
    return local_user()


def approval_controller(settings: Settings) -> Controller:
    """What starts the promotion of approvals that were given on the cluster. Raises UsageError
    on a target whose approvals are not custom resources."""
    from platform_ctl.approvals.kubernetes.controller import Controller
    from platform_ctl.approvals.promotion import start_promotion
    from platform_ctl.errors import UsageError

    if settings.target != "kubernetes":
        raise UsageError(
            f"the target {settings.target} needs no controller: an answer starts the run",
            where="setting target",
            fix="platform-ctl --target kubernetes approval controller",
        )
    store, pipeline = _cluster_approvals(settings), promote_pipeline(settings)
    runs = orchestrator(settings)
    return Controller(
        cluster(settings), store, lambda request: start_promotion(runs, store, pipeline, request)
    )


def notifier(settings: Settings) -> Notifier:
    """ntfy and a webhook, where they are set, behind the home's outbox."""
    from platform_ctl.approvals import notify
    from platform_ctl.home.secrets import read_secret

    wanted, layout = settings.notify, settings.layout
    channels = {}
    if wanted.ntfy_url:
        channels["ntfy"] = notify.ntfy(wanted.ntfy_url, read_secret(wanted.ntfy_token, os.environ))
    if wanted.webhook_url:
        channels["webhook"] = notify.webhook(read_secret(wanted.webhook_url, os.environ))
    return notify.OutboxNotifier(layout.database, layout.locks / "notify.lock", channels)


def deciding(settings: Settings) -> DecisionPorts:
    """What an answer needs: the same for the command, the page and a controller."""
    from platform_ctl.approvals.decide import DecisionPorts

    return DecisionPorts(
        registry(settings),
        approvals(settings),
        recipes(settings),
        orchestrator(settings),
        lambda: promote_pipeline(settings),
        notifier(settings),
        settings.approval,
    )


def promote_pipeline(settings: Settings) -> Path:
    """The compiled pipeline that a yes starts."""
    return pipelines(settings).find(PROMOTE)
