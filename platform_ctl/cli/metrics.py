"""``platform-ctl metrics``: figures for Prometheus, read from the home's records."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import click

from platform_ctl.cli import render
from platform_ctl.cli.context import load_settings
from platform_ctl.cli.group import Group
from platform_ctl.cli.printing import print_document, print_line

if TYPE_CHECKING:
    from platform_ctl.metrics.collect_metrics import Scrape

PORT = 19471
"""Not among the ports that Prometheus' own exporters have agreed on, nor an ephemeral one."""


@click.group(cls=Group, help="Serve metrics to Prometheus.")
def command() -> None:
    pass


@command.command()
@click.option(
    "--port", default=PORT, show_default=True, type=click.IntRange(0, 65535), help="0: a free port."
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on, without authentication.",
)
@click.option("--once", is_flag=True, help="Print the metrics and end (textfile collectors).")
@render.output_option
@click.pass_context
def serve(ctx: click.Context, port: int, host: str, once: bool, output: str) -> None:
    """Serve metrics at http://HOST:PORT/metrics until Ctrl-C.

    Everything is read from the home when it is asked for; nothing there is
    changed. A part that cannot be read is told by platform_metrics_source_up.
    """
    from platform_ctl import targets

    settings = load_settings(ctx)
    if once:
        _print(ctx, targets.scrape(settings), output)
        return
    server = targets.metrics_server(settings, host, port)
    if output == "json":
        render.print_json({"url": server.url})
    else:
        print_line(server.url)
    with contextlib.suppress(KeyboardInterrupt):
        server.wait()


def _print(ctx: click.Context, scrape: Scrape, output: str) -> None:
    from platform_ctl import targets

    for source, problem in scrape.problems.items():
        print_line(f"{source}: {problem}", err=True)
    if output == "text":
        print_document(targets.metrics_text(scrape))
        return
    render.print_json(
        [
            {
                "name": s.metric.name,
                "labels": dict(zip(s.metric.labels, s.labels, strict=True)),
                "value": s.value,
            }
            for s in scrape.samples
        ]
    )
