"""``platform-ctl data``: ingest, show, audit, golden set, remove. Knows no recipe by name."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from platform_ctl.cli import render
from platform_ctl.cli.context import load_settings


@click.group(help="Ingest, show and audit a recipe's data.")
def command() -> None:
    pass


def recipe_option(function: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--recipe",
        metavar="NAME",
        help="Whose data (setting default_recipe says whose when none is named).",
    )(function)


@command.command()
@click.option("--git", "git", is_flag=True, help="Read the histories of the git clones at PATH….")
@click.argument("paths", nargs=-1, metavar="[PATH]...", type=click.Path(path_type=Path))
@click.option("--sample", is_flag=True, help="Write the deterministic sample.")
@click.option("--seed", type=int, help="Another sample than the usual one.")
@recipe_option
@render.output_option
@click.pass_context
def ingest(
    ctx: click.Context,
    git: bool,
    paths: tuple[Path, ...],
    sample: bool,
    seed: int | None,
    recipe: str | None,
    output: str,
) -> None:
    """Bring in commits: of local git clones, or the sample.

    Only what is new is added; the same ingest twice changes nothing.

    \b
    platform-ctl data ingest --git ~/src/flask ~/src/click
    platform-ctl data ingest --sample
    """
    from datetime import UTC, datetime

    if git == sample:
        raise click.UsageError("Say either --git PATH… or --sample.", ctx)
    if git and not paths:
        raise click.UsageError("--git needs at least one PATH.", ctx)
    if sample and paths:
        raise click.UsageError(f"--sample takes no PATH (got {paths[0]}).", ctx)
    if git and seed is not None:
        raise click.UsageError("--seed belongs to --sample.", ctx)
    chosen, data = _recipe_and_data(ctx, recipe)
    source = _source(chosen, "git" if git else "sample")
    arguments: dict[str, Any] = {"paths": list(paths)} if git else {}
    if seed is not None:
        arguments["seed"] = seed
    with _progress() as progress:
        report = source(data, now=datetime.now(UTC), progress=progress, **arguments)
    if output == "json":
        render.print_json(report)
    else:
        _print_report(report)
    _golden_hint(chosen, data, report)


def _print_report(report: Any) -> None:
    render.print_table(
        ["repository", "new #", "known #", "first ingest", "observed until"],
        [
            (
                r.repo,
                r.new_commits,
                r.known_commits,
                "yes" if r.backfill else "no",
                render.minute(r.observed_until),
            )
            for r in report.repos
        ],
    )
    for repo in report.repos:
        for note in repo.notes:
            click.echo(f"note: {repo.repo}: {note}", err=True)
    if report.snapshot_id is None:
        click.echo(f"nothing new in {report.table}")
    else:
        click.echo(f"{report.new_commits} commits -> {report.table} @ {report.snapshot_id}")


def _golden_hint(recipe: Any, data: Any, report: Any) -> None:
    """Repositories that came after the golden set was frozen are not judged on; say so."""
    newcomers = [r.repo for r in report.repos if r.backfill and r.new_commits]
    if newcomers and _data_module(recipe).golden_show(data) is not None:
        click.echo(
            f"note: the golden set is older than {len(newcomers)} of these repositories; to judge "
            "models on them too: platform-ctl data golden refresh",
            err=True,
        )


@command.command()
@recipe_option
@render.output_option
@click.pass_context
def show(ctx: click.Context, recipe: str | None, output: str) -> None:
    """Show repositories with their range, and tables with their snapshots."""
    chosen, data = _recipe_and_data(ctx, recipe)
    summary = _data_module(chosen).show(data)
    if output == "json":
        render.print_json(summary)
        return
    render.print_table(
        ["repository", "commits #", "first commit", "last commit", "observed until", "state"],
        [
            (
                r.repo,
                r.commits,
                render.day(r.first_commit_at),
                render.day(r.last_commit_at),
                render.minute(r.observed_until),
                r.state,
            )
            for r in summary.repos
        ],
        empty="no repositories",
    )
    click.echo()
    render.print_table(
        ["table", "snapshot ?", "written", "operation ?", "added #", "rows #"],
        [
            (s.table, s.snapshot_id, s.committed_at, s.operation, s.added_rows, s.total_rows)
            for s in summary.snapshots
        ],
    )
    click.echo(f"\nas of {summary.as_of or 'never'}")


@command.command()
@click.option(
    "--rows", "count", default=200, show_default=True, type=click.IntRange(1), help="How many."
)
@click.option(
    "--file",
    "rows_path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Rows of a run to check; without it, rows are extracted afresh.",
)
@recipe_option
@render.output_option
@click.pass_context
def audit(
    ctx: click.Context, count: int, rows_path: Path | None, recipe: str | None, output: str
) -> None:
    """Recompute training rows by brute force and compare: did any see the future?

    Exit code 1 when one did.
    """
    from platform_ctl import targets

    chosen, data = _recipe_and_data(ctx, recipe)
    began = datetime.now(UTC)
    with _progress() as progress:
        progress("auditing", 0, 0)
        report = _data_module(chosen).audit(data, rows_path, count)
    targets.record_audit(load_settings(ctx), chosen, report, (began, datetime.now(UTC)))
    if output == "json":
        render.print_json(report)
    else:
        _print_audit(report)
    if not report.ok:
        ctx.exit(1)


def _print_audit(report: Any) -> None:
    if report.mismatches:
        render.print_table(
            ["repository", "event time", "column", "in the row #", "recomputed #", "why …"],
            [
                (m.repo, m.event_timestamp, m.column, m.in_row, m.recomputed, m.reason)
                for m in report.mismatches
            ],
        )
    verdict = "no row saw the future" if report.ok else f"{len(report.mismatches)} mismatches"
    click.echo(
        f"{verdict}: {report.rows_checked} rows, {report.values_checked} values recomputed "
        f"from commits @ {report.snapshot_id}"
    )


@command.group(help="Show or renew the frozen rows that judge every model.")
def golden() -> None:
    pass


@golden.command("show")
@recipe_option
@render.output_option
@click.pass_context
def golden_show(ctx: click.Context, recipe: str | None, output: str) -> None:
    """Show the golden set in force and its history."""
    chosen, data = _recipe_and_data(ctx, recipe)
    _print_golden(_data_module(chosen).golden_show(data), output)


@golden.command("refresh")
@click.option("--reason", default="renewed by hand", show_default=True, help="Kept in its history.")
@recipe_option
@render.output_option
@click.pass_context
def golden_refresh(ctx: click.Context, reason: str, recipe: str | None, output: str) -> None:
    """Freeze the newest weeks as the golden set.

    Models are comparable on one golden set only: the next run evaluates the
    champion on it anew.
    """
    chosen, data = _recipe_and_data(ctx, recipe)
    _print_golden(_data_module(chosen).golden_refresh(data, reason), output)


def _print_golden(found: Any, output: str) -> None:
    if output == "json":
        render.print_json(found)
        return
    if found is None:
        click.echo("no golden set yet: the first run makes it")
        return
    render.print_table(
        ["digest", "rows #", "repositories #", "weeks from", "until", "pinned"],
        [
            (
                found.digest[:12],
                found.rows,
                found.repos,
                render.day(found.starts_at),
                render.day(found.ends_at),
                render.minute(found.created_at),
            )
        ],
    )
    click.echo(f"\nfile {found.file}\n")
    render.print_table(
        ["pinned", "digest", "snapshot ?", "reason …"],
        [
            (render.minute(e["created_at"]), e["digest"][:12], e["snapshot_id"], e["reason"])
            for e in found.history
        ],
    )


@command.command()
@click.argument("repo")
@recipe_option
@render.output_option
@click.pass_context
def remove(ctx: click.Context, repo: str, recipe: str | None, output: str) -> None:
    """Delete a repository's commits; a later ingest of it is a backfill again."""
    chosen, data = _recipe_and_data(ctx, recipe)
    count = _data_module(chosen).remove(data, repo)
    if output == "json":
        render.print_json({"repo": repo, "removed_commits": count})
    else:
        click.echo(f"removed {count} commits of {repo}")


def _recipe_and_data(ctx: click.Context, name: str | None) -> tuple[Any, Any]:
    """The recipe that is meant, and where its data lives. Raises UnknownName, BadParameter."""
    from platform_ctl import targets

    settings = load_settings(ctx)
    chosen = targets.recipe(settings, name, command=f"{ctx.command_path} --recipe")
    return chosen, targets.data_access(settings)


def _source(recipe: Any, name: str) -> Callable[..., Any]:
    from platform_ctl.errors import BadParameter
    from platform_ctl.recipe.recipe import resolve

    if name not in recipe.sources:
        raise BadParameter(
            f"the recipe {recipe.name} has no source {name!r}; it has: {', '.join(recipe.sources)}",
            where=f"recipe {recipe.name}",
            fix="platform-ctl data ingest --help",
        )
    return resolve(recipe.sources[name])


def _data_module(recipe: Any) -> Any:
    from platform_ctl.recipe.recipe import resolve

    return resolve(recipe.data)


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """A transient bar on a terminal, nothing in a pipe."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with bar:
        task = bar.add_task("", total=None)

        def update(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total or None)

        yield update
