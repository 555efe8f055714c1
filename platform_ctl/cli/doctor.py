"""``platform-ctl doctor``: checks the installation and the home; each finding has a fix."""

from __future__ import annotations

from functools import partial

import click

from platform_ctl.cli import render
from platform_ctl.cli.context import load_settings
from platform_ctl.cli.printing import print_line


@click.command(help="Check what is installed, the home, ports, disk and leftovers.")
@click.option(
    "--repair",
    is_flag=True,
    help="First finish promotions, releases and notifications of killed processes, and rebuild a"
    " damaged feature store.",
)
@click.option("--deep", is_flag=True, help="Hash every cached object, model and file of a run.")
@render.output_option
@click.pass_context
def command(ctx: click.Context, repair: bool, deep: bool, output: str) -> None:
    """Exit code 1 when a check fails; warnings leave it at 0. Without --repair, only looks."""
    from platform_ctl import targets
    from platform_ctl.doctor import doctor
    from platform_ctl.doctor.iceberg import check_tables
    from platform_ctl.doctor.restore_aliases import check_aliases, check_registry

    settings = load_settings(ctx)
    if repair:
        for line in targets.repair(settings):
            print_line(f"repaired: {line}", err=True)
    damaged = targets.damaged_databases(settings)
    sound = settings.layout.database not in damaged
    schema = doctor.Schema(*targets.schema_versions(settings)) if sound else None
    local = settings.target == "local" and schema is not None and schema.readable
    checks = doctor.diagnose(
        settings,
        damaged,
        schema,
        targets.run_reader(settings) if local else None,
        targets.serving(settings) if local else None,
        targets.schedule_heartbeat(settings) if local else "",
        partial(targets.open_releases, settings) if local else lambda services: (),
    )
    if local and damaged.keys() <= {settings.layout.iceberg / "catalog.db"}:
        checks += check_registry(targets.registry_changed(settings))
        checks += check_aliases(targets.registry(settings))
    if local and settings.layout.iceberg / "catalog.db" not in damaged:
        checks += check_tables(targets.data_access(settings).catalog)
    if local:
        checks += targets.stored_bytes(settings, damaged.keys(), deep=deep)
    if output == "json":
        render.print_json(checks)
    else:
        render.print_table(
            ["", "check", "found …", "fix …"], [(c.health, c.name, c.detail, c.fix) for c in checks]
        )
    ctx.exit(1 if any(c.health == doctor.Health.FAIL for c in checks) else 0)
