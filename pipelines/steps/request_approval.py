"""Ask a human; nothing goes on by itself."""

from __future__ import annotations

from platform_ctl import targets
from platform_ctl.approvals.ask import request
from platform_ctl.approvals.request import ApprovalState
from platform_ctl.models.model import ModelVersion, find_version
from platform_ctl.models.register import been_in_production
from platform_ctl.settings import Settings


def run(recipe_name: str, version: str, champion: str) -> tuple[str, str, str]:
    """-> request id, one line, the command that decides.

    ``champion`` is an input so that a run says what it compared with; the
    request binds the champion's digest as it is now.
    """
    settings = targets.current_settings()
    registry = targets.registry(settings)
    recipe = targets.recipe(settings, recipe_name, command="platform-ctl recipe check")
    registered = find_version(registry.models(), f"{recipe.model_name}/{version}")
    if been_in_production(registry, registered):
        return _known(settings, registered)
    approval = request(
        registry,
        targets.approvals(settings),
        recipe=recipe,
        version=registered,
        requested_by=targets.actor(settings),
        settings=settings.approval,
        notifier=targets.notifier(settings),
    )
    line = f"{registered} against {champion or 'the baselines'}: {approval.state}"
    command = f'platform-ctl approval approve {approval.id} --reason "…" --wait'
    if approval.state is ApprovalState.APPROVED:
        command = f"platform-ctl approval show {approval.id}"
    elif approval.state is not ApprovalState.PENDING:
        command = f"platform-ctl approval request {registered}"
    return approval.id, line, command


def _known(settings: Settings, version: ModelVersion) -> tuple[str, str, str]:
    """Nobody is asked about a model that is in production, or was until another took its place:
    two that are as good as each other would take turns for ever."""
    last = next(
        (r for r in targets.approvals(settings).list() if r.reference == str(version)), None
    )
    approval_id = last.id if last else ""
    if version.stage == "Production":
        line = f"{version} is what is in production: there is nothing to approve"
        return approval_id, line, f"platform-ctl model show {version}"
    line = f"{version} has been in production before; nobody is asked again unless you want to"
    return approval_id, line, f"platform-ctl approval request {version}"
