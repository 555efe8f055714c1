"""``platform-ctl data``: ingest, show, audit, golden set, remove. Knows no recipe by name."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from platform_ctl.cli import render
from platform_ctl.cli.context import load_settings
from platform_ctl.cli.group import Group
from platform_ctl.cli.printing import print_line
from platform_ctl.text import visible

if TYPE_CHECKING:
    from platform_ctl.recipe.datasets import AuditReport, IngestReport
    from platform_ctl.recipe.recipe import DataAccess, DataSource, Recipe


@click.group(cls=Group, help="Ingest, show and audit a recipe's data.")
def command() -> None:
    pass


def recipe_option(function: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--recipe",
        metavar="NAME",
        help="The recipe (default: the setting default_recipe).",
    )(function)


class _Ingest(click.Command):
    """``data ingest``, whose options are the sources of the recipe that is meant.

    They are read from the project when the command is called, so that ``--help`` and completion
    show them. Outside a project, and where the recipe cannot be told, there are none.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[_NAMED] = _named_recipe(args)
        return super().parse_args(ctx, args)

    def make_parser(self, ctx: click.Context) -> Any:
        """Unknown options are refused by the command, which first says when it is the recipe that
        is not there."""
        parser = super().make_parser(ctx)
        parser.ignore_unknown_options = True
        return parser

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        return [*_options(_sources(ctx)), *super().get_params(ctx)]


_NAMED = f"{__name__}.recipe"
"""Key of what ``--recipe`` names, before the command line is parsed."""


@dataclass(frozen=True)
class _SourceOptions:
    """A declared source, and its options as click takes them."""

    takes_paths: bool
    flag: click.Option
    options: tuple[click.Option, ...]

    @property
    def names(self) -> list[str | None]:
        return [option.name for option in self.options]


def _options(sources: Mapping[str, _SourceOptions]) -> list[click.Option]:
    """Flags and options of all sources; an option that two of them have stands once."""
    every = {o.name: o for s in sources.values() for o in (s.flag, *s.options)}
    return list(every.values())


def _sources(ctx: click.Context) -> dict[str, _SourceOptions]:
    from platform_ctl import targets
    from platform_ctl.errors import PlatformError

    ctx.find_root().ensure_object(dict)  # whoever only prints the help has made none
    try:
        named = ctx.meta.get(_NAMED)
        chosen = targets.recipe(load_settings(ctx), named, command=f"{ctx.command_path} --recipe")
    except PlatformError:  # the command itself says it, in four lines
        return {}
    return {name: _source_options(name, source) for name, source in chosen.sources.items()}


def _source_options(name: str, source: DataSource) -> _SourceOptions:
    flag = click.Option([f"--{name}", f"source_{name}"], is_flag=True, help=source.help)
    options = (
        click.Option([f"--{o.replace('_', '-')}", f"option_{o}"], type=d.type, help=d.help)
        for o, d in source.options.items()
    )
    return _SourceOptions(source.takes_paths, flag, tuple(options))


def _named_recipe(args: Sequence[str]) -> str | None:
    """The value of ``--recipe`` on a command line that is not parsed yet."""
    for i, word in enumerate(args):
        if word.startswith("--recipe="):
            return word.partition("=")[2]
        if word == "--recipe" and i + 1 < len(args):
            return args[i + 1]
    return None


@command.command(cls=_Ingest)
@click.argument("paths", nargs=-1, metavar="[PATH]...", type=click.Path(path_type=Path))
@recipe_option
@render.output_option
@click.pass_context
def ingest(
    ctx: click.Context, paths: tuple[Path, ...], recipe: str | None, output: str, **options: Any
) -> None:
    """Ingest data from one of the recipe's sources, the first options below.

    Only what is new is added; the same ingest twice changes nothing.

    \b
    platform-ctl data ingest --git ~/src/flask ~/src/click
    platform-ctl data ingest --sample
    """
    chosen, data = _recipe_and_data(ctx, recipe)
    name, arguments = _asked(ctx, _sources(ctx), paths, options)
    source = getattr(_data_module(chosen), f"ingest_{name}")
    with _progress() as progress:
        report = source(data, now=datetime.now(UTC), progress=progress, **arguments)
    if output == "json":
        render.print_json(report)
    else:
        _print_report(chosen, report)
    _golden_hint(chosen, data, report)


def _asked(
    ctx: click.Context,
    sources: Mapping[str, _SourceOptions],
    paths: tuple[Path, ...],
    values: Mapping[str, Any],
) -> tuple[str, dict[str, Any]]:
    """The source that was named, and the arguments of its function. Raises UsageError."""
    if unknown := next((str(p) for p in paths if str(p).startswith("--")), ""):
        option = unknown.partition("=")[0]
        known = [option for s in sources.values() for option in s.flag.opts]
        raise click.NoSuchOption(option, possibilities=known, ctx=ctx)
    named = [name for name in sources if values.get(f"source_{name}")]
    if len(named) != 1:
        ways = [f"--{n} PATH…" if s.takes_paths else f"--{n}" for n, s in sources.items()]
        raise click.UsageError(f"Say either {' or '.join(ways)}.", ctx)
    name, source = named[0], sources[named[0]]
    if source.takes_paths and not paths:
        raise click.UsageError(f"--{name} needs at least one PATH.", ctx)
    if paths and not source.takes_paths:
        raise click.UsageError(f"--{name} takes no PATH (got {paths[0]}).", ctx)
    options = {k: v for k, v in values.items() if k.startswith("option_") and v is not None}
    for option in options:
        if option not in source.names:
            flag = option.removeprefix("option_").replace("_", "-")
            owner = next(n for n, s in sources.items() if option in s.names)
            raise click.UsageError(f"--{flag} belongs to --{owner}.", ctx)
    arguments: dict[str, Any] = {k.removeprefix("option_"): v for k, v in options.items()}
    return name, arguments | ({"paths": list(paths)} if source.takes_paths else {})


def _print_report(recipe: Recipe, report: IngestReport) -> None:
    render.print_table(
        [recipe.entity_title, "new #", "known #", "first ingest", "observed until"],
        [
            (
                part.name,
                part.new_rows,
                part.known_rows,
                "yes" if part.backfill else "no",
                render.minute(part.observed_until),
            )
            for part in report.parts
        ],
    )
    for part in report.parts:
        for note in part.notes:
            print_line(f"note: {part.name}: {note}", err=True)
    if report.snapshot_id is None:
        print_line(f"nothing new in {report.table}")
    else:
        records = recipe.records_title
        print_line(f"{report.new_rows} {records} -> {report.table} @ {report.snapshot_id}")


def _golden_hint(recipe: Recipe, data: DataAccess, report: IngestReport) -> None:
    """What came after a frozen golden set was made is not judged on; say so."""
    if recipe.golden != "frozen":
        return
    newcomers = [p.name for p in report.parts if p.backfill and p.new_rows]
    if newcomers and _data_module(recipe).golden_show(data) is not None:
        print_line(
            f"note: the golden set is older than {len(newcomers)} of these; to judge "
            "models on them too: platform-ctl data golden refresh",
            err=True,
        )


@command.command()
@recipe_option
@render.output_option
@click.pass_context
def show(ctx: click.Context, recipe: str | None, output: str) -> None:
    """Show the entities with their time range, and the tables with their snapshots."""
    chosen, data = _recipe_and_data(ctx, recipe)
    summary = _data_module(chosen).show(data)
    if output == "json":
        render.print_json(summary)
        return
    render.print_table(
        [
            chosen.entity_title,
            f"{chosen.records_title} #",
            "first",
            "last",
            "observed until",
            "state",
        ],
        [
            (
                e.name,
                e.rows,
                render.day(e.first_at),
                render.day(e.last_at),
                render.minute(e.observed_until),
                e.state,
            )
            for e in summary.entities
        ],
        empty=f"no {chosen.records_title}",
    )
    print_line()
    render.print_table(
        ["table", "snapshot ?", "written", "operation ?", "added #", "rows #"],
        [
            (s.table, s.snapshot_id, s.committed_at, s.operation, s.added_rows, s.total_rows)
            for s in summary.snapshots
        ],
    )
    print_line()
    print_line(f"as of {render.moment(summary.as_of) if summary.as_of else 'never'}")


@command.command()
@click.option(
    "--rows",
    "count",
    default=200,
    show_default=True,
    type=click.IntRange(1),
    help="Number of rows.",
)
@click.option(
    "--file",
    "rows_path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Check the rows of this run; without it, extract rows now.",
)
@recipe_option
@render.output_option
@click.pass_context
def audit(
    ctx: click.Context, count: int, rows_path: Path | None, recipe: str | None, output: str
) -> None:
    """Recompute training rows by brute force and compare them with the stored rows.

    Exit code 1 when one did.
    """
    from platform_ctl import targets

    chosen, data = _recipe_and_data(ctx, recipe)
    began = datetime.now(UTC)
    with _progress() as progress:
        progress("auditing", 0, 0)
        report = _of_data(chosen, "audit")(data, rows_path, count)
    targets.record_audit(load_settings(ctx), chosen, report, (began, datetime.now(UTC)))
    if output == "json":
        render.print_json(report)
    else:
        _print_audit(chosen, report)
    if not report.ok:
        ctx.exit(1)


def _print_audit(recipe: Recipe, report: AuditReport) -> None:
    if report.mismatches:
        render.print_table(
            [recipe.entity_title, "event time", "column", "in the row #", "recomputed #", "why …"],
            [
                (m.entity, m.event_timestamp, m.column, m.in_row, m.recomputed, m.reason)
                for m in report.mismatches
            ],
        )
    verdict = "no row used later data" if report.ok else f"{len(report.mismatches)} mismatches"
    print_line(
        f"{verdict}: {report.rows_checked} rows, {report.values_checked} values recomputed "
        f"from {recipe.table or recipe.records_title} @ {report.snapshot_id}"
    )


@command.group(help="Show or renew the golden set.")
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
@click.option(
    "--reason", default="renewed by a user", show_default=True, help="Reason, kept in the history."
)
@recipe_option
@render.output_option
@click.pass_context
def golden_refresh(ctx: click.Context, reason: str, recipe: str | None, output: str) -> None:
    """Pin the newest rows as the golden set.

    A rolling set needs this only when its file is damaged. Models are comparable on one golden
    set only: each run evaluates the champion on its own.
    """
    chosen, data = _recipe_and_data(ctx, recipe)
    _print_golden(_of_data(chosen, "golden_refresh")(data, reason), output)


def _print_golden(golden_set: Any, output: str) -> None:
    if output == "json":
        render.print_json(golden_set)
        return
    if golden_set is None:
        print_line("no golden set yet: the first run makes it")
        return
    render.print_table(
        ["digest", "rows #", "entities #", "from", "until", "pinned"],
        [
            (
                golden_set.digest[:12],
                golden_set.rows,
                golden_set.entities,
                render.day(golden_set.starts_at),
                render.day(golden_set.ends_at),
                render.minute(golden_set.created_at),
            )
        ],
    )
    print_line()
    print_line(f"file {golden_set.file}")
    print_line()
    render.print_table(
        ["pinned", "digest", "snapshot ?", "reason …"],
        [
            (render.minute(e["created_at"]), e["digest"][:12], e["snapshot_id"], e["reason"])
            for e in golden_set.history
        ],
    )


@command.command()
@click.argument("entity")
@recipe_option
@render.output_option
@click.pass_context
def remove(ctx: click.Context, entity: str, recipe: str | None, output: str) -> None:
    """Delete all data of an entity. A later ingest of it is a backfill again."""
    chosen, data = _recipe_and_data(ctx, recipe)
    count = _of_data(chosen, "remove")(data, entity)
    if output == "json":
        render.print_json({"entity": entity, "removed_rows": count})
    else:
        print_line(f"removed {count} {chosen.records_title} of {entity}")


def _recipe_and_data(ctx: click.Context, name: str | None) -> tuple[Recipe, DataAccess]:
    """The recipe that is meant, and where its data lives. Raises UnknownName, BadParameter."""
    from platform_ctl import targets

    settings = load_settings(ctx)
    chosen = targets.recipe(settings, name, command=f"{ctx.command_path} --recipe")
    return chosen, targets.data_access(settings)


def _of_data(recipe: Recipe, function: str) -> Callable[..., Any]:
    """A function that a recipe's ``data.py`` may lack. Raises Unsupported."""
    from platform_ctl.errors import Unsupported

    module = _data_module(recipe)
    if not hasattr(module, function):
        raise Unsupported(
            f"the recipe {recipe.name} does not have this: its data.py has no {function}()",
            where=f"{recipe.package.replace('.', '/')}/data.py",
            fix=f"platform-ctl recipe check {recipe.name}",
        )
    declared: Callable[..., Any] = getattr(module, function)
    return declared


def _data_module(recipe: Recipe) -> Any:
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
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with bar:
        task = bar.add_task("", total=None)

        def update(what: str, done: int, total: int) -> None:
            bar.update(task, description=visible(what), completed=done, total=total or None)

        yield update
