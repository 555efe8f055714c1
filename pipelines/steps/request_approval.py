"""Ask a human; nothing goes on by itself."""

from __future__ import annotations

from platform_ctl import targets
from platform_ctl.domain.approvals import ApprovalState
from platform_ctl.domain.models import find_version
from platform_ctl.domain.recipe import Recipe
from platform_ctl.operations.request_approval import request


def run(recipe: Recipe, version: str, champion: str) -> tuple[str, str, str]:
    """-> request id, one line, the command that decides.

    ``champion`` is an input so that a run says what it compared with; the
    request binds the champion's digest as it is now.
    """
    settings = targets.current_settings()
    registry = targets.registry(settings)
    registered = find_version(registry.models(), f"{recipe.model_name}/{version}")
    asked = request(
        registry,
        targets.approvals(settings),
        recipe=recipe,
        version=registered,
        requested_by=targets.local_user(),
        settings=settings.approval,
        notifier=targets.notifier(settings),
    )
    line = f"{registered} against {champion or 'the naive baselines'}: {asked.state}"
    command = f'platform-ctl approval approve {asked.id} --reason "…" --wait'
    if asked.state is not ApprovalState.PENDING:
        command = f"platform-ctl approval show {asked.id}"
    return asked.id, line, command
