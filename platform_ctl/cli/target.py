"""platform-ctl target: the cluster of the kubernetes target and what is installed in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from platform_ctl.cli import render
from platform_ctl.cli.context import load_settings
from platform_ctl.cli.group import Group
from platform_ctl.cli.printing import print_line

if TYPE_CHECKING:
    from platform_ctl.installation.remove import Removal


@click.group(cls=Group, help="Check a cluster, install components into it, remove them.")
def command() -> None:
    pass


@command.command()
@click.option(
    "--probe", is_flag=True, help="Also check image and stores from a pod, which is deleted."
)
@render.output_option
@click.pass_context
def check(ctx: click.Context, probe: bool, output: str) -> None:
    """Print what the cluster has and lacks, with a command that fixes each finding.

    Changes nothing without --probe, which shows that the image runs, has the
    libraries, and reaches the stores. Exit code 1 when something fails;
    warnings leave it at 0.
    """
    from platform_ctl import targets
    from platform_ctl.doctor.doctor import Health

    checks = targets.cluster_checks(load_settings(ctx), probe=probe)
    if output == "json":
        render.print_json(checks)
    else:
        rows = [(c.health, c.name, c.detail, c.fix) for c in checks]
        render.print_table(["", "check", "found …", "fix …"], rows)
    ctx.exit(1 if any(c.health == Health.FAIL for c in checks) else 0)


@command.command()
@click.argument("components", metavar="[COMPONENT]...", nargs=-1)
@click.option("--dry-run", is_flag=True, help="Print what would be created or changed, and end.")
@render.output_option
@click.pass_context
def install(ctx: click.Context, components: tuple[str, ...], dry_run: bool, output: str) -> None:
    """Install COMPONENT…, or all of the core, and wait until each is available.

    What somebody else installed is left as it is. The same command again
    continues one that was interrupted, and changes nothing when all is done.

    \b
    platform-ctl target install
    platform-ctl target install gateway-api kserve --dry-run
    """
    from platform_ctl import targets

    settings = load_settings(ctx)
    chosen = targets.components(settings, components)
    installer = targets.installer(settings, lambda line: print_line(line, err=True))
    changes = installer.plan(chosen) if dry_run else installer.install(chosen)
    if output == "json":
        render.print_json(changes)
        return
    rows = [(c.component, c.outcome, len(c.created), len(c.changed), c.unchanged) for c in changes]
    outcome = "would be" if dry_run else "outcome"
    render.print_table(["component", outcome, "made", "changed", "unchanged"], rows)


@command.command()
@click.argument("component")
@click.option(
    "--confirm", metavar="COMPONENT", help="The component once more, to confirm without a question."
)
@click.pass_context
def remove(ctx: click.Context, component: str, confirm: str | None) -> None:
    """Remove COMPONENT, after a list of what is lost with it and a confirmation.

    Objects that somebody else made stay.
    """
    from platform_ctl import targets
    from platform_ctl.errors import UsageError

    settings = load_settings(ctx)
    [chosen] = targets.components(settings, (component,))
    planned = targets.removal(settings, chosen)
    _tell(planned)
    if not planned.objects:
        return
    typed = confirm or click.prompt(f"Type {component} to remove it", default="", err=True)
    if typed != component:
        raise UsageError(
            f"{typed!r} is not {component!r}: nothing was removed",
            where="platform-ctl target remove",
            fix=f"platform-ctl target remove {component} --confirm {component}",
        )
    targets.remove_component(settings, planned, lambda line: print_line(line, err=True))


def _tell(planned: Removal) -> None:
    """What goes, on stderr, before anybody is asked."""
    name = planned.component.name
    if not planned.objects:
        print_line(f"{name}: nothing of it was installed from here", err=True)
    else:
        print_line(f"{name}: {len(planned.objects)} objects would be deleted", err=True)
        print_line(f"lost with it: {planned.component.data}", err=True)
    for definition, count in planned.resources.items():
        print_line(f"  {count} {definition}", err=True)
    for claim in planned.claims:
        print_line(f"  the volume of claim {claim}", err=True)
    if planned.foreign:
        print_line(f"stays, made by somebody else: {', '.join(planned.foreign)}", err=True)
