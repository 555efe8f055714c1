"""What ``doctor --repair`` does: it carries on what a dead process left half done."""

from __future__ import annotations

from collections.abc import Iterator

from platform_ctl.settings import Settings
from platform_ctl.targets.approvals import approvals, notifier, promote_pipeline
from platform_ctl.targets.home import require_local
from platform_ctl.targets.recipe import data_access, recipes
from platform_ctl.targets.releases import releasing
from platform_ctl.targets.runs import orchestrator, record_deaths


def repair(settings: Settings) -> Iterator[str]:
    """Carry on every promotion without a process and every half-done move of traffic and alias,
    send the notifications that wait, and rebuild damaged feature stores. Yields a sentence for
    each; nothing for a sound home.
    """
    from platform_ctl.approvals.resume import resume_promotions
    from platform_ctl.releases.steps import settle

    require_local(settings, "doctor --repair")
    if not settings.layout.database.exists():
        return
    yield from _rebuild_feature_stores(settings)
    for run_id in record_deaths(settings):
        yield f"run {run_id[:8]} died; platform-ctl run resume {run_id[:8]}"
    ports = releasing(settings)
    for service in ports.serving.list():
        before = ports.releases.latest(service.name)
        after = settle(ports, service.name)
        if before is not None and after is not None and before.intent:
            yield f"release {after.id[:8]} of {service.name} is {after.state}"
    continued = resume_promotions(
        orchestrator(settings), approvals(settings), lambda: promote_pipeline(settings)
    )
    for run in continued:
        again = " has died again; platform-ctl run resume" if run.died else " goes on as run"
        yield f"{run.name}{again} {run.id[:8]}"
    channel = notifier(settings)
    waiting = channel.undelivered()
    if waiting:
        undelivered = channel.deliver()
        yield f"{waiting - undelivered} of {waiting} notifications delivered"


def _rebuild_feature_stores(settings: Settings) -> Iterator[str]:
    """Everything that Feast keeps here is made from the Iceberg tables: damaged files are moved
    aside and made anew."""
    from platform_ctl.doctor.feature_store import damaged_files, set_aside
    from platform_ctl.recipe.recipe import resolve

    damaged = damaged_files(settings.layout.feast)
    for recipe in recipes(settings).values() if damaged else ():
        mine = [path for path in damaged if path.parent.name == recipe.name]
        if not mine or not recipe.live_features:
            continue
        set_aside(mine)
        resolve(recipe.live_features).refresh(data_access(settings))
        yield (
            f"the feature store of {recipe.name} was rebuilt; "
            f"platform-ctl service restart {recipe.inference_service}"
        )
