"""The new revision at the plan's first weight."""

from __future__ import annotations

from platform_ctl import targets
from platform_ctl.approvals.decide import verify
from platform_ctl.models.model import find_version
from platform_ctl.releases.deploy import stopping_at
from platform_ctl.releases.steps import settle, start_release
from platform_ctl.releases.target import target_of
from platform_ctl.runs.step import StepContext


def run(
    approval_id: str,
    model: str,
    version: str,
    stop_at_percent: int = 0,
    run_id: str = "",
    task: str = "",
) -> tuple[str, str]:
    """-> release id, one line. Raises ApprovalMissing.

    The approval is verified here again: a resumed run does not repeat the step
    that did, and another version may be in production by now.
    """
    settings = targets.current_settings()
    registry = targets.registry(settings)
    registered = find_version(registry.models(), f"{model}/{version}")
    recipe = targets.recipe_of(settings, registered)
    # A roll-back that was killed half way uses an approval up when it is finished: first that.
    settle(targets.releasing(settings), recipe.inference_service)
    if approval_id:
        verify(registry, targets.approvals(settings), targets.recipes(settings), approval_id)
    target = target_of(registry, recipe, registered)
    plan = stopping_at(recipe.canary, stop_at_percent) if stop_at_percent else recipe.canary
    with targets.canary_cost(settings, StepContext(run_id, task), target.service):
        release = start_release(
            targets.releasing(settings),
            target,
            plan,
            approval_id=approval_id,
            actor=f"approval {approval_id}",
        )
    weights = " → ".join(f"{w} %" for w in release.plan.weights_percent)
    line = "first release" if release.production is None else f"canary, {weights}"
    return release.id, f"{registered} as {release.target.service}: {line}"
