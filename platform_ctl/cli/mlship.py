"""mlship: one command that deploys a registered model."""

from __future__ import annotations

import click

from platform_ctl import __version__
from platform_ctl.cli import render
from platform_ctl.cli.app import completing, run_command
from platform_ctl.cli.context import load_settings
from platform_ctl.cli.group import Group


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="mlship")
@click.option(
    "--home", metavar="DIR", help="Folder of the state (default: PLATFORM_HOME or .platform)."
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
    help="Hold at this share of the traffic until `platform-ctl release continue` or `abort`.",
)
@render.output_option
@click.pass_context
def deploy(ctx: click.Context, reference: str, canary: int | None, output: str) -> int:
    """Release a version: canary, analysis at each weight, then Production or back.

    Submits the same promote run as an approval and follows it: a version that is not in
    production yet needs a standing approval. NAME alone is the version with the alias
    staging, else the one in production.
    """
    from platform_ctl import targets
    from platform_ctl.cli.release import print_outcome
    from platform_ctl.models.model import STAGING, find_version
    from platform_ctl.releases import deploy as releases

    settings = load_settings(ctx)
    ports = targets.deploying(settings)
    aliases = ports.registry.aliases(reference)
    chosen = f"{reference}@{STAGING}" if STAGING in aliases else reference
    version = find_version(ports.registry.models(), chosen)
    recipe = targets.recipe_of(settings, version)
    run = releases.deploy(ports, version, recipe, stop_at_percent=canary or 0)
    return print_outcome(ctx, run, recipe.inference_service, output)


def main(argv: list[str] | None = None) -> None:
    """Run mlship and exit with the code that platform-ctl would."""
    run_command(completing("mlship", cli), argv, prog="mlship")
