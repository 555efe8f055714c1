"""mlship: the one-command door to a release."""

from __future__ import annotations

import click

from platform_ctl import __version__
from platform_ctl.cli import render
from platform_ctl.cli.app import run_command
from platform_ctl.cli.context import load_settings


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="mlship")
@click.option(
    "--home", metavar="DIR", help="Where state lives (default: PLATFORM_HOME or .platform)."
)
@click.option("--target", type=click.Choice(["local", "kubernetes"]), help="Where to deploy.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.pass_context
def cli(ctx: click.Context, home: str | None, target: str | None, debug: bool) -> None:
    """Deploy a registered model behind a canary."""
    ctx.obj = {"home": home, "target": target, "debug": debug}


@cli.command()
@click.argument("reference", metavar="NAME[@alias|/version]")
@click.option(
    "--canary",
    type=click.IntRange(1, 100),
    metavar="PERCENT",
    help="Stop at this share of the traffic and leave the rest to `platform-ctl release`.",
)
@render.output_option
@click.pass_context
def deploy(ctx: click.Context, reference: str, canary: int | None, output: str) -> int:
    """Release a version: canary, analysis at each weight, then Production or back.

    The same machinery and the same guards as an approval's own run: a version
    that is not in production yet needs a standing approval. NAME alone is the
    version with the alias staging, else the one in production.
    """
    from platform_ctl import targets
    from platform_ctl.cli.release import print_outcome, print_release, say
    from platform_ctl.models.model import PRODUCTION, STAGING, find_version
    from platform_ctl.releases import deploy as operation
    from platform_ctl.releases.steps import start_release
    from platform_ctl.releases.target import target_of

    settings = load_settings(ctx)
    ports = targets.releasing(settings)
    aliases = ports.registry.aliases(reference)
    chosen = f"{reference}@{STAGING}" if STAGING in aliases else reference
    version = find_version(ports.registry.models(), chosen)
    recipe = targets.recipe_of(settings, version)
    approval_id = ""
    if ports.registry.aliases(version.name).get(PRODUCTION) != version.version:
        approvals = targets.approvals(settings)
        known = {recipe.name: recipe}
        approval_id = operation.require_approval(ports.registry, approvals, known, version).id
    plan = recipe.canary if canary is None else operation.starting_at(recipe.canary, canary)
    actor = targets.local_user()
    target = target_of(ports.registry, recipe, version)
    release = start_release(ports, target, plan, approval_id=approval_id, actor=actor)
    if release.state.is_open and canary is None:
        done = operation.carry_out(ports, release.id, actor=actor, on_progress=say)
        return print_outcome(done, output)
    if output == "json":
        render.print_json(release)
    else:
        print_release(release)
        click.echo(f"url      {ports.serving.get(target.service).url}")
    return 0


def main(argv: list[str] | None = None) -> None:
    """Run mlship and exit with the code that platform-ctl would."""
    run_command(cli, argv, prog="mlship")
