"""``platform-ctl run``: list, show, follow, explain, report, resume, cancel and prune runs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from platform_ctl.cli import render
from platform_ctl.cli.context import load_settings
from platform_ctl.cli.run_report import report
from platform_ctl.cli.units import Duration
from platform_ctl.text import visible

if TYPE_CHECKING:
    from platform_ctl.explain.compared import RunDifference
    from platform_ctl.runs.budget import Cost
    from platform_ctl.runs.port import RunReader
    from platform_ctl.runs.record import Run

_POLL_S = 0.2


@click.group(help="List, show, follow, explain, report, resume, cancel and prune runs.")
def command() -> None:
    pass


@command.command("list")
@click.option("--limit", default=20, show_default=True, help="Newest first.")
@render.output_option
@click.pass_context
def list_(ctx: click.Context, limit: int, output: str) -> None:
    """The newest runs."""
    from platform_ctl import targets

    runs = targets.orchestrator(load_settings(ctx)).list(limit)
    if output == "json":
        render.print_json(runs)
        return
    rows = [
        [
            r.id[:8],
            r.pipeline,
            r.name,
            r.state,
            render.minute(r.created_at),
            _duration(r),
            _verdicts(r),
        ]
        for r in runs
    ]
    columns = ["run", "pipeline", "name ?", "state", "created (UTC)", "took #", "verdicts"]
    render.print_table(columns, rows, empty="no runs yet: platform-ctl pipeline run NAME")


@command.command()
@click.argument("run", default="latest")
@render.output_option
@click.pass_context
def show(ctx: click.Context, run: str, output: str) -> None:
    """One run (an id, a unique prefix, or latest) and its tasks."""
    import msgspec

    from platform_ctl import targets
    from platform_ctl.runs.budget import cost

    settings = load_settings(ctx)
    found = targets.orchestrator(settings).get(run)
    spent = cost(targets.ledger(settings).entries(found.id))
    scheduled = targets.schedule_of_run(settings, found.id)
    if output == "json":
        render.print_json(
            {**msgspec.to_builtins(found), "cost": spent, "schedule": scheduled or None}
        )
        return
    click.echo(f"run        {found.id}")
    click.echo(f"pipeline   {found.pipeline} ({visible(found.name)})")
    click.echo(f"state      {_state(found)}")
    click.echo(f"created    {found.created_at}, took {_duration(found)}")
    if scheduled:
        click.echo(f"schedule   {scheduled}")
    for name, value in found.parameters.items():
        click.echo(f"parameter  {name} = {value!r:.100}")
    for verdict in found.verdicts:
        click.echo(f"verdict    {verdict.task}: {verdict.verdict}")
        for reason in verdict.reasons:
            render.print_indented(reason, 11)
    for line in _cost(spent, _duration(found)):
        click.echo(line)
    if found.directory:
        click.echo(f"files      {found.directory}")
    rows = [
        [
            t.path,
            t.state,
            f"{t.usage.wall_s:.2f} s",
            f"{t.usage.cpu_s:.2f} s",
            f"{t.usage.peak_memory_bytes / 1e6:.0f} MB",
            t.attempts,
            t.error or str(t.blocker or t.cache),
        ]
        for t in found.tasks
    ]
    render.print_table(
        ["task", "state", "wall #", "cpu #", "memory # ?", "tries # ?", "note …"], rows
    )
    for held in found.stuck:
        if held.blocker and held.blocker.fix:
            click.echo(f"look at    {held.path}: {held.blocker.fix}")


def _state(run: Run) -> str:
    if run.stuck:
        return f"{run.state}, stuck: {len(run.stuck)} tasks cannot proceed by themselves"
    return f"{run.state}{f': {run.error}' if run.error else ''}"


@command.command()
@click.argument("run", default="latest")
@render.output_option
@click.pass_context
def watch(ctx: click.Context, run: str, output: str) -> None:
    """Follow a run to its end, whoever started it."""
    from platform_ctl import targets
    from platform_ctl.cli.pipeline import finish
    from platform_ctl.cli.progress import ProgressDisplay

    runs = targets.orchestrator(load_settings(ctx))
    found = runs.get(run).id
    with ProgressDisplay(runs=runs) as progress:
        for event in runs.watch(found):
            progress(event)
    finish(ctx, runs.get(found), output)


@command.command()
@click.argument("run", default="latest")
@click.argument("task", default="")
@click.option("-f", "--follow", is_flag=True, help="Go on until the run has ended.")
@click.pass_context
def logs(ctx: click.Context, run: str, task: str, follow: bool) -> None:
    """What the steps of RUN wrote; of one TASK, exactly as written."""
    from platform_ctl import targets

    orchestrator = targets.orchestrator(load_settings(ctx))
    seen: dict[str, int] = {}
    while True:
        found = orchestrator.get(run)
        if task:
            _check_task(found, task)
        for path, data in _new_output(orchestrator, found, task, seen):
            prefix = b"" if task else f"[{path}] ".encode()
            for line in data.splitlines(keepends=True):
                click.echo(prefix + line, nl=False)
        if not follow or found.state.final:
            return
        run = found.id
        time.sleep(_POLL_S)


def _check_task(run: Run, task: str) -> None:
    from platform_ctl.errors import unknown

    paths = [t.path for t in run.tasks]
    if task in paths or not run.state.final:
        return
    raise unknown(
        f"the run has no task {task!r}",
        task,
        paths,
        where=f"run {run.id}",
        fix=f"platform-ctl run logs {run.id[:8]} {{}}",
        otherwise=f"platform-ctl run logs {run.id[:8]}",
    )


def _new_output(
    runs: RunReader, run: Run, only: str, seen: dict[str, int]
) -> Iterator[tuple[str, bytes]]:
    """Whole lines written since the last call, by task."""
    for task in run.tasks:
        if only and task.path != only:
            continue
        data = runs.log(run, task, seen.get(task.path, 0))
        if not task.state.final:
            data = data[: data.rfind(b"\n") + 1]
        if data:
            seen[task.path] = seen.get(task.path, 0) + len(data)
            yield task.path, data


@command.command()
@click.argument("run", default="latest")
@render.output_option
@click.pass_context
def resume(ctx: click.Context, run: str, output: str) -> None:
    """Continue a failed, cancelled or killed run: only what did not finish is executed."""
    from platform_ctl import targets
    from platform_ctl.cli.pipeline import finish
    from platform_ctl.cli.progress import ProgressDisplay

    orchestrator = targets.orchestrator(load_settings(ctx))
    with ProgressDisplay(runs=orchestrator) as progress:
        finished = orchestrator.resume(run, progress)
    finish(ctx, finished, output)


@command.command()
@click.argument("run", default="latest")
@render.output_option
@click.pass_context
def cancel(ctx: click.Context, run: str, output: str) -> None:
    """Stop a run and its steps."""
    from platform_ctl import targets

    stopped = targets.orchestrator(load_settings(ctx)).cancel(run)
    if output == "json":
        render.print_json(stopped)
        return
    click.echo(f"run {stopped.id[:8]} {stopped.state}")


@command.command()
@click.option(
    "--older-than",
    type=Duration(),
    default="30d",
    show_default=True,
    metavar="AGE",
    help="12h, 30d …",
)
@click.option("--keep", default=10, show_default=True, help="Newest runs that stay in any case.")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@render.output_option
@click.pass_context
def prune(ctx: click.Context, older_than: timedelta, keep: int, dry_run: bool, output: str) -> None:
    """Delete old runs that have ended, with their files."""
    from platform_ctl import targets

    orchestrator = targets.orchestrator(load_settings(ctx))
    before = (datetime.now(UTC) - older_than).isoformat()
    candidates = orchestrator.list(-1)[keep:]
    old = [r for r in candidates if r.state.final and r.created_at < before]
    for run in old if not dry_run else ():
        orchestrator.delete(run)
    if output == "json":
        render.print_json({"pruned": [r.id for r in old], "dry_run": dry_run})
        return
    click.echo(f"{'would delete' if dry_run else 'deleted'} {len(old)} runs")


@command.command()
@click.argument("a", metavar="A", default="latest")
@click.argument("b", metavar="[B]", default="")
@render.output_option
@click.pass_context
def diff(ctx: click.Context, a: str, b: str, output: str) -> None:
    """What changed from run A to run B, likeliest cause first; of A alone, since the run before."""
    from platform_ctl import targets
    from platform_ctl.explain.diff_facts import two_runs
    from platform_ctl.explain.run_diff import compare

    settings = load_settings(ctx)
    older, newer = two_runs(targets.orchestrator(settings), a, b)
    sides = (targets.compared_run(settings, run) for run in (older, newer))
    found = compare(*sides)
    if output == "json":
        render.print_json([{**vars(d), "kind": d.kind.name.lower()} for d in found])
        return
    click.echo(f"from {older.id[:8]} ({older.created_at[:16]}) to {newer.id[:8]}")
    _print_likeliest(found)
    for title, cause in (("causes", True), ("effects", False)):
        rows = [
            [d.kind.name.lower(), d.what, d.old or "-", d.new or "-", ", ".join(d.tasks), d.detail]
            for d in found
            if d.kind.is_cause is cause
        ]
        click.echo(f"\n{title}")
        render.print_table(["kind", "what …", "then …", "now …", "steps …", ""], rows, empty="none")


def _print_likeliest(found: Sequence[RunDifference]) -> None:
    if not found or not found[0].kind.is_cause:
        click.echo("nothing changed that a result depends on; whatever differs is noise")
        return
    first = found[0]
    bears = f", which bears on {', '.join(first.tasks)}" if first.tasks else ""
    change = f"{first.old or '-'} -> {first.new or '-'}"
    click.echo(f"likeliest cause: {first.kind.name.lower()} {first.what}: {change}{bears}")


@command.command()
@click.argument("run", default="latest")
@render.output_option
@click.pass_context
def why(ctx: click.Context, run: str, output: str) -> None:
    """Walk RUN from its data to what serves; name the first broken link (exit code 1)."""
    from platform_ctl import targets
    from platform_ctl.cli import diagnosis
    from platform_ctl.explain.why_facts import why_run

    diagnosis.finish(ctx, why_run(targets.looking(load_settings(ctx)), run), output)


command.add_command(report)


@command.command(hidden=True)
@click.argument("run")
@click.pass_context
def execute(ctx: click.Context, run: str) -> None:
    """The process of a detached run."""
    from platform_ctl import targets

    targets.local_engine(load_settings(ctx)).execute_submitted(run)


def _cost(cost: Cost, took: str) -> Iterator[str]:
    """What the run spent, by kind, and what the cache saved it."""
    kinds = ", ".join(f"{kind} {s:.1f}" for kind, s in cost.cpu_s_by_kind.items())
    trials = f", {cost.trials} trials" if cost.trials else ""
    yield f"cost       {took} wall, {cost.cpu_s:.1f} cpu-s, {cost.money:.4f} money{trials}"
    yield f"cpu-s      {kinds or '-'}"
    if cost.saved_cpu_s:
        saved = f"{cost.saved_wall_s:.1f} s wall, {cost.saved_cpu_s:.1f} cpu-s"
        yield f"saved      {saved}, {cost.saved_money:.4f} money by the cache"
    yield from (f"cut short  {note}" for note in cost.notes)


def _duration(run: Run) -> str:
    if not run.started_at:
        return "-"
    end = datetime.fromisoformat(run.ended_at) if run.ended_at else datetime.now(UTC)
    return f"{(end - datetime.fromisoformat(run.started_at)).total_seconds():.1f} s"


def _verdicts(run: Run) -> str:
    return ", ".join(sorted({v.verdict for v in run.verdicts})) or "-"
