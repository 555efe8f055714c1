"""platform-ctl target: the cluster of the kubernetes target and what is installed in it."""

from __future__ import annotations

import click

from platform_ctl.cli import render
from platform_ctl.cli.context import load_settings


@click.group(help="Check the cluster of the kubernetes target.")
def command() -> None:
    pass


@command.command()
@render.output_option
@click.pass_context
def check(ctx: click.Context, output: str) -> None:
    """Print what the cluster has, what it lacks, and the command that mends it.

    Changes nothing. Exit code 1 when something fails; warnings leave it at 0.
    """
    from platform_ctl import targets
    from platform_ctl.doctor.doctor import Health

    checks = targets.cluster_checks(load_settings(ctx))
    if output == "json":
        render.print_json(checks)
    else:
        rows = [(c.health, c.name, c.detail, c.fix) for c in checks]
        render.print_table(["", "check", "found …", "fix …"], rows)
    ctx.exit(1 if any(c.health == Health.FAIL for c in checks) else 0)
