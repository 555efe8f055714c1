"""``platform-ctl recipe``: list recipes, check one, make a new one."""

from __future__ import annotations

from pathlib import Path
from shlex import quote

import click

from platform_ctl.cli import render
from platform_ctl.cli.context import load_settings
from platform_ctl.cli.group import Group
from platform_ctl.cli.printing import print_line


@click.group(cls=Group, help="List recipes, check one, make a new one from a file.")
def command() -> None:
    pass


@command.command("list")
@render.output_option
@click.pass_context
def list_(ctx: click.Context, output: str) -> None:
    """List the project's recipes, with the names of their tables and models."""
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
    """List what is missing or wrong in recipe NAME, with file and line.

    Imports its modules, and looks at the values of recipe.py, at experiment.yaml and at the
    compiled pipeline. Exit code 1 when there is something.

    \b
    platform-ctl recipe check train-deploy
    """
    from platform_ctl import targets

    checked, problems = targets.check_recipe(load_settings(ctx), name)
    if output == "json":
        render.print_json(problems)
    else:
        for p in problems:
            where = f"{p.file}:{p.line}" if p.line else p.file
            print_line(f"{where}: {p.what}")
        number = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        summary = number if problems else "keeps the contract"
        print_line(f"recipe {checked}: {summary}", err=bool(problems))
    if problems:
        ctx.exit(1)


def _checked(ctx: click.Context, param: click.Parameter, name: str) -> str:
    """The name, before anything is asked for. Raises BadParameter, UnknownName."""
    from platform_ctl import targets

    if not ctx.resilient_parsing:
        targets.check_recipe_name(load_settings(ctx), name)
    return name


@command.command()
@click.argument("name", callback=_checked, is_eager=True)
@click.option(
    "--kind",
    type=click.Choice(["classification", "regression", "forecast"]),
    prompt="Is the label a class of two, a number, or a series to forecast",
    help="What the label is: a class of two, a number, or a series to forecast.",
)
@click.option(
    "--csv",
    "file",
    type=click.Path(path_type=Path),
    prompt="CSV or Parquet file",
    help="CSV or Parquet file whose rows it learns from.",
)
@click.option("--label", default="", help="Column to predict (default: the last one).")
@click.option("--time", default="", help="Column of times: splits and golden set follow it.")
@click.option("--entity", default="", help="Column that says which series a row belongs to.")
@render.output_option
@click.pass_context
def new(
    ctx: click.Context,
    name: str,
    kind: str,
    file: Path,
    label: str,
    time: str,
    entity: str,
    output: str,
) -> None:
    """Make a recipe that runs, from a CSV or Parquet file, with a scikit-learn model.

    Less than 400 lines with its tests; everything else is the platform's. Whole or not at all;
    no file that exists is touched.

    \b
    platform-ctl recipe new tumours --kind classification --csv tumours.csv
    """
    from platform_ctl import targets

    recipe, paths, notes = targets.new_recipe(
        load_settings(ctx), name, kind=kind, file=file, label=label, time=time, entity=entity
    )
    following = [
        f"platform-ctl data ingest --recipe {recipe.word} --csv {quote(str(file))}",
        f"platform-ctl pipeline run {recipe.word}",
        'platform-ctl approval approve latest --reason "better than the baseline" --wait',
        f"python -m pytest tests/recipes/{recipe.module}",
    ]
    if output == "json":
        document = {"recipe": recipe.module, "created": paths, "notes": notes, "next": following}
        render.print_json(document)
        return
    for path in paths:
        print_line(f"created {path}")
    for note in notes:
        print_line(note)
    print_line()
    print_line("From here to Production:")
    for line in following:
        print_line(f"  {line}")
