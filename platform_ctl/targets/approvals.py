"""Approval requests: records and notifications."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from platform_ctl.settings import Settings

if TYPE_CHECKING:
    from platform_ctl.approvals.notifier import Notifier
    from platform_ctl.approvals.port import Approvals


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
