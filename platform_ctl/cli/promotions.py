"""Commands that look at approvals, releases or services notice a promotion that died."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from platform_ctl.settings import Settings

PROMOTE = "promote"
"""The pipeline that an approval starts."""


def resume_dead(settings: Settings) -> None:
    """Continue it, detached, and say so on stderr."""
    from platform_ctl import targets
    from platform_ctl.approvals.resume import resume_promotions

    if settings.target != "local" or not settings.layout.database.exists():
        return
    continued = resume_promotions(
        targets.orchestrator(settings),
        targets.approvals(settings),
        lambda: targets.pipelines(settings).find(PROMOTE),
    )
    for run in continued:
        short = run.id[:8]
        if run.died:
            click.echo(
                f"note: {run.name} has died again; platform-ctl run resume {short}", err=True
            )
        else:
            click.echo(f"note: {run.name} had died and goes on as run {short}", err=True)
