"""``platform-ctl recipe``: list recipes, check one, make a new one."""

from __future__ import annotations

import click

from platform_ctl.cli import render
from platform_ctl.cli.context import load_settings


@click.group(help="List recipes, and make a new one from one that works.")
def command() -> None:
    pass


@command.command("list")
@render.output_option
@click.pass_context
def list_(ctx: click.Context, output: str) -> None:
    """The project's recipes, and under which names each keeps what it makes."""
    from platform_ctl import targets

    recipes = targets.recipes(load_settings(ctx)).values()
    columns = ("recipe", "pipeline", "model", "table", "title")
    rows = [(r.name, r.pipeline, r.model_name, r.table, r.title) for r in recipes]
    if output == "json":
        render.print_json([dict(zip(columns, row, strict=True)) for row in rows])
        return
    render.print_table(columns, rows, empty="no recipes: write recipes/NAME/recipe.py")


@command.command()
@click.argument("name")
@render.output_option
@click.pass_context
def check(ctx: click.Context, name: str, output: str) -> None:
    """Say what recipe NAME lacks or has wrong, with file and line. Exit code 1 when there is
    something.

    \b
    platform-ctl recipe check train-deploy
    """
    from pathlib import Path

    from platform_ctl import targets
    from platform_ctl.recipe.check import check as problems_of

    settings = load_settings(ctx)
    chosen = targets.recipe(settings, name, command="platform-ctl recipe check")
    problems = problems_of(chosen, Path(settings.project_root))
    if output == "json":
        render.print_json(problems)
    else:
        for p in problems:
            where = f"{p.file}:{p.line}" if p.line else p.file
            click.echo(f"{where}: {p.what}")
        told = f"{len(problems)} problems" if problems else "keeps the contract"
        click.echo(f"recipe {chosen.name}: {told}", err=bool(problems))
    if problems:
        ctx.exit(1)


@command.command()
@click.argument("name")
@click.option(
    "--from",
    "source",
    metavar="RECIPE",
    help="Which recipe to copy (setting default_recipe says which when none is named).",
)
@render.output_option
@click.pass_context
def new(ctx: click.Context, name: str, source: str | None, output: str) -> None:
    """Make a second recipe that runs and passes its tests: a copy under another name.

    It has its own tables, features, golden set, model and service, and shares the
    steps of the pipeline. Whole or not at all; no file that exists is touched.

    \b
    platform-ctl recipe new energy-load
    """
    from platform_ctl import targets

    made, paths = targets.new_recipe(load_settings(ctx), name, source)
    module = made.module
    following = [
        f"platform-ctl data ingest --sample --recipe {module}",
        f"platform-ctl pipeline run {made.word}",
        'platform-ctl approval approve latest --reason "the copy works" --wait',
        f"python -m pytest tests/recipes/{module}",
    ]
    if output == "json":
        render.print_json({"recipe": module, "created": paths, "next": following})
        return
    for path in paths:
        click.echo(f"created {path}")
    click.echo("\nIt runs as it is:")
    for line in following:
        click.echo(f"  {line}")
    click.echo(f"\nWhat to change, in which order: recipes/{module}/README.md")
