"""``platform-ctl run report``: one run as a page to read, to send on, or to print."""

from __future__ import annotations

from pathlib import Path

import click

from platform_ctl.cli import render
from platform_ctl.cli.context import load_settings
from platform_ctl.cli.printing import print_document, print_line

_STDOUT = Path("-")


@click.command("report")
@click.argument("run", default="latest")
@click.option(
    "--to",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Where the page goes; - is stdout. "
    "Default: report.html in the run's folder, or reports/RUN.html in the home.",
)
@render.output_option
@click.pass_context
def report(ctx: click.Context, run: str, to: Path | None, output: str) -> None:
    """Write one HTML file about RUN (outcome, evidence, cost) and print its path.

    With -o json, prints the figures behind the page and writes no page unless --to asks for it.
    """
    from platform_ctl import targets
    from platform_ctl.report.gather import run_report

    settings = load_settings(ctx)
    if output == "json" and to == _STDOUT:
        raise click.UsageError("-o json and --to - both want stdout; give the page a file")
    contents = run_report(targets.reporting(settings), run)
    if output == "json":
        if to is not None:
            targets.write_report(contents, to)
        render.print_json(contents)
    elif to == _STDOUT:
        print_document(targets.report_page(contents))
    else:
        print_line(
            targets.write_report(contents, to or targets.report_file(settings, contents.run))
        )
