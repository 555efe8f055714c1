"""``platform-ctl schedule``: recurring runs from files, planned before they are applied."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from platform_ctl.cli import render
from platform_ctl.cli.context import load_settings

if TYPE_CHECKING:
    from platform_ctl.schedules.document import Spec


@click.group(help="Check, plan, apply and run the schedules of pipelines/schedules.")
def command() -> None:
    pass


@command.command()
@render.output_option
@click.pass_context
def check(ctx: click.Context, output: str) -> None:
    """Read the schedule files and refuse what the target would misread. Offline."""
    from platform_ctl import targets

    found = targets.schedule_documents(load_settings(ctx))
    if output == "json":
        render.print_json([s.spec for s in found.schedules])
        return
    rows = [[s.spec.key, s.spec.pipeline, when(s.spec), s.where] for s in found.schedules]
    columns = ["schedule", "pipeline", "when …", "file …"]
    render.print_table(columns, rows, empty="no schedules: write pipelines/schedules/TEAM/")


def when(spec: Spec) -> str:
    """The trigger in a few words."""
    if spec.condition is not None:
        condition = spec.condition
        return {
            "freshness": f"data of {condition.recipe} older than {condition.older_than_s} s",
            "drift": f"{condition.metric} of {condition.service} above {condition.above:g}",
            "pipeline_changed": "the pipeline changed",
            "after": f"after {condition.after}",
        }[condition.kind]
    return spec.timing.cron or f"each {spec.timing.interval_s} s" if spec.timing else "-"
