"""Approval requests: records, notifications, the approvers' page."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from platform_ctl.errors import PortInUse
from platform_ctl.settings import Settings
from platform_ctl.targets.models import registry
from platform_ctl.targets.recipe import recipes

if TYPE_CHECKING:
    from platform_ctl.approvals.notifier import Notifier
    from platform_ctl.approvals.port import Approvals
    from platform_ctl.approvals.request import Answer
    from platform_ctl.report.approver_page import ApproverPage


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


def approver_page(
    settings: Settings, answer: Callable[[str, Answer, str], str], port: int
) -> ApproverPage:
    """The page of ``approval serve``; ``answer`` does what the command does. Raises PortInUse."""
    from platform_ctl.approvals.compare import compare
    from platform_ctl.approvals.decide import subject_changes
    from platform_ctl.models.read_evaluation import evaluation_of
    from platform_ctl.models.tables import columns
    from platform_ctl.report.approver_page import Actions, ApproverPage, View

    def view(request_id: str) -> View:
        request, models = approvals(settings).get(request_id), registry(settings)
        changes = subject_changes(models, recipes(settings), request)
        evaluation, run_id = evaluation_of(models, request.reference, columns)
        return View(request, compare(models, request), changes, evaluation, run_id)

    try:
        return ApproverPage(Actions(approvals(settings).list, view, answer), port)
    except OSError as exc:
        raise PortInUse(
            f"port {port} cannot be used: {exc.strerror}",
            where="approver page",
            fix="platform-ctl approval serve --port 0",
        ) from exc
