"""``platform-ctl ui``: the pages of this home, on loopback."""

from __future__ import annotations

import contextlib

import click

from platform_ctl.cli.context import load_settings
from platform_ctl.cli.printing import print_line


@click.command(help="Serve the pages of this home: runs, models, services, approvals, cost.")
@click.option("--port", default=0, show_default=True, help="0: a free port.")
@click.pass_context
def command(ctx: click.Context, port: int) -> None:
    """One address on 127.0.0.1, for whoever has it. Ctrl-C ends it."""
    serve(ctx, port, "/")


def serve(ctx: click.Context, port: int, path: str) -> None:
    """Print the address of ``path`` and serve the pages until Ctrl-C. Raises PortInUse."""
    from platform_ctl import targets
    from platform_ctl.ui.server import LocalPages

    settings = load_settings(ctx)
    reading = targets.pages(settings)
    pages = LocalPages(reading, targets.actor(settings), port)
    print_line(pages.address(path))
    print_line("anyone with this address can approve in your name: do not share it", err=True)
    with contextlib.suppress(KeyboardInterrupt):
        pages.run()
