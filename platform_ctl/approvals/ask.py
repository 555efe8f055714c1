"""Ask a human whether a registered version may go to production."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from platform_ctl.approvals import announce
from platform_ctl.approvals.compare import compare, same_data
from platform_ctl.approvals.decide import policy_of
from platform_ctl.approvals.notifier import Notifier
from platform_ctl.approvals.port import Approvals
from platform_ctl.approvals.request import SELF, ApprovalRequest, ApprovalState, Subject, request_id
from platform_ctl.approvals.subject import current_subject
from platform_ctl.models.model import ModelVersion
from platform_ctl.models.port import Registry
from platform_ctl.recipe.recipe import Recipe
from platform_ctl.settings import ApprovalSettings


def request(
    registry: Registry,
    approvals: Approvals,
    *,
    recipe: Recipe,
    version: ModelVersion,
    requested_by: str,
    settings: ApprovalSettings,
    again: bool = False,
    notifier: Notifier | None = None,
) -> ApprovalRequest:
    """A request about this version as it is now.

    The same subject gives the same request, whatever became of it; ``again``
    opens a new one when the last was rejected, has expired, or was used up by a
    release that was rolled back. A pending request about something that changed
    since is voided. ``notifier`` tells people of a new one. Raises
    EvidenceMismatch when the version's files are gone.
    """
    subject = current_subject(registry, recipe, version)
    earlier = _earlier(approvals, version, subject)
    same = next((r for r in earlier if _answers(r, subject)), None)
    reusable = (ApprovalState.PENDING, ApprovalState.APPROVED)
    if same and (same.state in reusable or not again):
        return same
    new = _new(recipe, version, subject, requested_by, settings)
    asked_before = sum(r.subject == subject for r in earlier)
    opened = approvals.open(replace(new, id=request_id(new, asked_before)))
    if notifier:
        comparisons = compare(registry, opened), same_data(registry, opened)
        notifier.send(announce.waiting(opened, *comparisons))
    return opened


def _earlier(
    approvals: Approvals, version: ModelVersion, subject: Subject
) -> list[ApprovalRequest]:
    """What was asked about this version; what is open and about something else is voided."""
    earlier = [r for r in approvals.list() if r.reference == str(version)]
    for stale in earlier:
        changes = stale.subject.changes(subject)
        if stale.state is ApprovalState.PENDING and changes:
            approvals.void(stale.id, "; ".join(changes))
    return earlier


def _new(
    recipe: Recipe,
    version: ModelVersion,
    subject: Subject,
    requested_by: str,
    settings: ApprovalSettings,
) -> ApprovalRequest:
    """A pending request without an id, under the policy that is in force now."""
    now = datetime.now(UTC)
    policy = policy_of(settings)
    return ApprovalRequest(
        id="",
        model=version.name,
        version=version.version,
        recipe=recipe.name,
        subject=subject,
        state=ApprovalState.PENDING,
        requested_by=requested_by,
        requested_at=now.isoformat(timespec="milliseconds"),
        expires_at=(now + timedelta(hours=settings.expires_h)).isoformat(timespec="milliseconds"),
        approvals_needed=policy.approvals_needed,
        approvers=tuple(settings.approvers),
        self_approval=policy.self_approval,
    )


def _answers(request: ApprovalRequest, subject: Subject) -> bool:
    """Whether an earlier request was about this; in production, only its approval counts."""
    changed = request.state is ApprovalState.VOID and not request.spent
    if changed or request.subject.changes(subject):
        return False
    return subject.champion != SELF or request.state is ApprovalState.APPROVED
