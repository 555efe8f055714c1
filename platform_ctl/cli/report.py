"""``platform-ctl report``: logs written from the records."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from platform_ctl.cli import render
from platform_ctl.cli.context import load_settings
from platform_ctl.cli.group import Group
from platform_ctl.cli.printing import print_document


@click.group(cls=Group, help="Write the weekly log from the records.")
def command() -> None:
    pass


@command.command()
@click.option(
    "--of",
    "day",
    type=click.DateTime(["%Y-%m-%d"]),
    help="Any day of the week to report (UTC); default: this week.",
)
@render.output_option
@click.pass_context
def weekly(ctx: click.Context, day: datetime | None, output: str) -> None:
    """Print the runs, verdicts, approvals, releases and cost of a week, as Markdown."""
    from platform_ctl import targets
    from platform_ctl.report import weekly as report

    settings = load_settings(ctx)
    moment = day.replace(tzinfo=UTC) if day else datetime.now(UTC)
    runs = targets.run_reader(settings).list(-1)
    ledger = targets.costs(settings)
    week = report.weekly(
        report.monday(moment),
        runs=runs,
        requests=targets.approvals(settings).list(),
        moves=targets.registry(settings).history(),
        ledger={r.id: ledger.entries(r.id) for r in runs},
    )
    if output == "json":
        render.print_json(week)
    else:
        print_document(report.markdown(week))
