"""Approval requests: records and notifications."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from platform_ctl.settings import Settings
from platform_ctl.targets.models import registry
from platform_ctl.targets.recipe import pipelines, recipes
from platform_ctl.targets.runs import orchestrator

if TYPE_CHECKING:
    from platform_ctl.approvals.decide import Deciding
    from platform_ctl.approvals.notifier import Notifier
    from platform_ctl.approvals.port import Approvals

PROMOTE = "promote"
"""The pipeline that every way to Production submits."""


def approvals(settings: Settings) -> Approvals:
    """Approval requests, in the home."""
    from platform_ctl.approvals.local.approvals import SqliteApprovals

    return SqliteApprovals(settings.layout.database, expires_h=settings.approval.expires_h)


def notifier(settings: Settings) -> Notifier:
    """ntfy and a webhook, where they are set, behind the home's outbox."""
    from platform_ctl.approvals import notify
    from platform_ctl.home.secrets import read_secret

    asked, layout = settings.notify, settings.layout
    channels = {}
    if asked.ntfy_url:
        channels["ntfy"] = notify.ntfy(asked.ntfy_url, read_secret(asked.ntfy_token, os.environ))
    if asked.webhook_url:
        channels["webhook"] = notify.webhook(read_secret(asked.webhook_url, os.environ))
    return notify.OutboxNotifier(layout.database, layout.locks / "notify.lock", channels)


def deciding(settings: Settings) -> Deciding:
    """What an answer needs: the same for the command, the page and a controller."""
    from platform_ctl.approvals.decide import Deciding

    return Deciding(
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
