"""``platform-ctl run``: list, show, follow, explain, report, resume, cancel and prune runs."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from platform_ctl.cli import render
from platform_ctl.cli.context import load_settings
from platform_ctl.cli.group import Group
from platform_ctl.cli.interrupt import goes_on
from platform_ctl.cli.printing import print_line, print_log
from platform_ctl.cli.run_report import report
from platform_ctl.cli.units import Count, Duration
from platform_ctl.runs.record import TaskState, elapsed_s
from platform_ctl.runs.step_log import readable
from platform_ctl.runs.task_name import find_task, in_flow, shown, to_come
from platform_ctl.text import duration

if TYPE_CHECKING:
    from platform_ctl.explain.compared import RunDifference
    from platform_ctl.recipe.recipe import NamedLoss
    from platform_ctl.runs.budget import Cost
    from platform_ctl.runs.port import RunReader
    from platform_ctl.runs.record import Run, Task
    from platform_ctl.runs.select import Selection
    from platform_ctl.settings import Settings

_POLL_S = 0.2
_LOGS = ("platform-ctl", "run", "logs")
_NAMELESS = "unknown: the version of the pipeline that it ran was deleted"


@click.group(cls=Group, help="List, show, follow, explain, report, resume, cancel and prune runs.")
def command() -> None:
    pass


@command.command("list")
@click.option(
    "--limit",
    type=Count(),
    default=20,
    show_default=True,
    help="Maximum number of runs, newest first.",
)
@click.option("--pipeline", default="", metavar="NAME", help="Only runs of this pipeline.")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice(["pending", "running", "succeeded", "failed", "canceled"]),
    help="Only runs in this state. Repeatable.",
)
@click.option(
    "--verdict",
    type=click.Choice(["successful", "failed", "inconclusive"]),
    help="Only runs with this verdict of a gate, a registration or a canary.",
)
@click.option(
    "--since", type=Duration(), metavar="AGE", help="Only runs created in the last 12h, 30d …"
)
@click.option("-q", "--quiet", is_flag=True, help="Print ids only, one per line.")
@render.output_option
@click.pass_context
def list_(
    ctx: click.Context,
    limit: int,
    pipeline: str,
    states: tuple[str, ...],
    verdict: str | None,
    since: timedelta | None,
    quiet: bool,
    output: str,
) -> None:
    """List the newest runs, with the loss of the model that each one made."""
    from platform_ctl import targets
    from platform_ctl.runs.select import Selection, newest

    settings = load_settings(ctx)
    reader = targets.run_reader(settings)
    after = datetime.now(UTC) - since if since else None
    wanted = Selection(pipeline, frozenset(s.upper() for s in states), verdict or "", after)
    runs = newest(reader, wanted, limit)
    if quiet:
        for run in runs:
            print_line(run.id)
        return
    runs = reader.outcomes(runs)
    losses = _losses(settings, runs)
    if output == "json":
        render.print_json([_summary(run, losses.get(run.id)) for run in runs])
        return
    _print_list(runs, losses, empty="" if runs else _none(settings, reader, wanted))


def _print_list(runs: Sequence[Run], losses: Mapping[str, NamedLoss], empty: str) -> None:
    rows = [
        [
            r.id[:8],
            r.pipeline or "unknown",
            "" if r.name == f"{r.pipeline}-{r.id[:8]}" else r.name,
            r.state,
            render.minute(r.created_at),
            _took(r),
            str(losses.get(r.id, "-")),
            _verdicts(r),
        ]
        for r in runs
    ]
    columns = ["run", "pipeline", "name ~", "state", "created (UTC)", "took #", "loss ?"]
    render.print_table([*columns, "verdicts ?"], rows, empty=empty)


def _losses(settings: Settings, runs: Sequence[Run]) -> dict[str, NamedLoss]:
    """Run id -> what its model's loss is on the golden set, of the runs that evaluated one."""
    from platform_ctl import targets
    from platform_ctl.recipe.recipe import NamedLoss

    declared = {recipe.pipeline: recipe.loss for recipe in targets.recipes(settings).values()}
    losses = {}
    for run in runs:
        loss = declared.get(run.pipeline)
        metrics = dict(m for task in run.tasks for m in task.metrics)
        if loss and loss.name in metrics:
            losses[run.id] = NamedLoss(loss, metrics[loss.name])
    return losses


def _summary(run: Run, loss: NamedLoss | None) -> dict[str, Any]:
    """A run as JSON, without the tasks, which a list does not read."""
    import msgspec

    document = msgspec.to_builtins(run)
    del document["tasks"]
    return {**document, "loss": loss.as_dict() if loss else None}


def _none(settings: Settings, reader: RunReader, wanted: Selection) -> str:
    from platform_ctl.errors import did_you_mean
    from platform_ctl.runs.select import Selection, newest

    if wanted.pipeline and not newest(reader, Selection(wanted.pipeline), 1):
        known = sorted({run.pipeline for run in newest(reader, Selection(), 500)})
        near = f"; {did_you_mean(wanted.pipeline, known)}" if known else ""
        return f"no run is of a pipeline {wanted.pipeline!r}{near}"
    if not wanted.everything:
        return "no run matches; platform-ctl run list shows all"
    where = settings.home if settings.target == "local" else settings.kubernetes.namespace
    if (
        settings.target == "local"
        and not Path(settings.project_root, settings.pipelines_package).is_dir()
    ):
        return f"no runs yet in {where}; this folder is not in a project: cd to yours"
    return f"no runs yet in {where}: platform-ctl pipeline run NAME"


@command.command()
@click.argument("run", default="latest")
@render.output_option
@click.pass_context
def show(ctx: click.Context, run: str, output: str) -> None:
    """Show one run (an id, a unique prefix, or latest) and its tasks."""
    import msgspec

    from platform_ctl import targets
    from platform_ctl.runs.budget import cost
    from platform_ctl.runs.planned import planned_steps

    settings = load_settings(ctx)
    reader = targets.run_reader(settings)
    record = reader.get(run)
    spent = cost(targets.costs(settings).entries(record.id))
    scheduled = targets.schedule_of_run(settings, record.id)
    if output == "json":
        render.print_json(
            {
                **msgspec.to_builtins(record),
                "cost": spent if record.pipeline else None,
                "schedule": scheduled or None,
            }
        )
        return
    _print_facts(record, scheduled)
    if not record.pipeline:
        print_line(f"tasks      {_NAMELESS}")
        return
    for line in _cost(spent, _took(record)):
        print_line(line)
    if record.directory:
        print_line(f"files      {record.directory}")
    planned = planned_steps(reader, record)
    later = [] if record.state.final else to_come(record.tasks, planned)
    _print_tasks(in_flow([*record.tasks, *later], planned))
    for held in record.stuck:
        if held.blocker and held.blocker.fix:
            print_line(f"look at    {shown(held.path)}: {held.blocker.fix}")


def _print_facts(run: Run, scheduled: str) -> None:
    print_line(f"run        {run.id}")
    print_line(f"pipeline   {run.pipeline or 'unknown'} ({run.name})")
    print_line(f"state      {_state(run)}")
    print_line(f"created    {render.moment(run.created_at)}, took {_took(run)}")
    if scheduled:
        print_line(f"schedule   {scheduled}")
    for name, value in run.parameters.items():
        print_line(f"parameter  {name} = {render.shortened(repr(value), 100)}")
    for verdict in run.verdicts:
        print_line(f"verdict    {shown(verdict.task)}: {verdict.verdict}")
        for reason in verdict.reasons:
            render.print_indented(reason, 11)


def _print_tasks(tasks: Sequence[Task]) -> None:
    rows = [
        [
            shown(t.path),
            t.state,
            duration(t.usage.wall_s) if t.usage.wall_s else "-",
            duration(t.usage.cpu_s) if t.usage.cpu_s else "-",
            f"{t.usage.peak_memory_bytes / 1e6:.0f} MB" if t.usage.peak_memory_bytes else "-",
            t.attempts,
            t.error or str(t.blocker or t.cache),
        ]
        for t in tasks
    ]
    columns = ["task", "state", "wall #", "cpu #", "memory # ?", "tries # ?", "note …"]
    render.print_table(columns, rows)


def _state(run: Run) -> str:
    if run.stuck:
        return f"{run.state}, stuck: {len(run.stuck)} tasks cannot proceed by themselves"
    return f"{run.state}{f': {run.error}' if run.error else ''}"


@command.command()
@click.argument("run", default="latest")
@render.output_option
@click.pass_context
def watch(ctx: click.Context, run: str, output: str) -> None:
    """Follow a run to its end, whichever process started it."""
    from platform_ctl import targets
    from platform_ctl.cli.pipeline import finish
    from platform_ctl.cli.progress import ProgressDisplay
    from platform_ctl.runs.planned import planned_steps

    runs = targets.run_reader(load_settings(ctx))
    record = runs.get(run)
    with goes_on(record.id), ProgressDisplay(planned_steps(runs, record), runs) as progress:
        for event in runs.watch(record.id):
            progress(event)
    finish(ctx, runs.get(record.id), output)


@command.command()
@click.argument("run", default="latest")
@click.argument("task", default="")
@click.option("-f", "--follow", is_flag=True, help="Continue until the run has ended.")
@click.option("--raw", is_flag=True, help="Lines exactly as written; progress stays JSON.")
@click.pass_context
def logs(ctx: click.Context, run: str, task: str, follow: bool, raw: bool) -> None:
    """Print the logs of RUN's steps, or of one TASK: trials, epochs, figures."""
    from platform_ctl import targets

    runs = targets.run_reader(load_settings(ctx))
    record, wrote = runs.get(run), False
    with contextlib.nullcontext() if record.state.final else goes_on(record.id):
        for path, line in _lines(runs, record, task, follow):
            prefix = b"" if task else f"[{shown(path)}] ".encode()
            print_log(prefix + (line if raw else readable(line)), raw=raw)
            wrote = True
    if not wrote:
        print_line(_silence(runs.get(record.id), task), err=True)


def _silence(run: Run, task: str) -> str:
    """Why there is nothing to print: no log, and no error."""
    if not run.pipeline:
        return f"the steps of the run are {_NAMELESS}"
    only = find_task(run, task, command=_LOGS) if task else None
    if only is not None and only.state is TaskState.CACHED:
        return f"{task} was not executed: its outputs are from the cache"
    who = f"{task or 'the run'}"
    return f"{who} wrote nothing" if run.state.final else f"{who} has written nothing yet"


def _lines(runs: RunReader, run: Run, task: str, follow: bool) -> Iterator[tuple[str, bytes]]:
    """What the tasks of a run, or one of them, have written; until its end if followed."""
    seen: dict[str, int] = {}
    while True:
        only = find_task(run, task, command=_LOGS) if task else None
        chosen = run.tasks if not task else [only] if only else []
        for path, data in _new_output(runs, run, chosen, seen):
            yield from ((path, line) for line in data.splitlines(keepends=True))
        if not follow or run.state.final:
            return
        time.sleep(_POLL_S)
        run = runs.get(run.id)


def _new_output(
    runs: RunReader, run: Run, tasks: Sequence[Task], seen: dict[str, int]
) -> Iterator[tuple[str, bytes]]:
    """Whole lines written since the last call, by task."""
    for task in tasks:
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
    """Continue a failed, cancelled or killed run with the steps that did not finish."""
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

    orchestrator = targets.orchestrator(load_settings(ctx))
    ended_before = orchestrator.get(run).state.final
    stopped = orchestrator.cancel(run)
    if output == "json":
        render.print_json(stopped)
        return
    already = "had ended already: " if ended_before else ""
    print_line(f"run {stopped.id[:8]} {already}{stopped.state}")


@command.command()
@click.option(
    "--older-than",
    type=Duration(),
    default="30d",
    show_default=True,
    metavar="AGE",
    help="12h, 30d …",
)
@click.option(
    "--keep", default=10, show_default=True, help="Number of newest runs to keep in any case."
)
@click.option("--dry-run", is_flag=True, help="Print what would be deleted, and end.")
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
    print_line(f"{'would delete' if dry_run else 'deleted'} {len(old)} runs")


@command.command()
@click.argument("a", metavar="A", default="latest")
@click.argument("b", metavar="[B]", default="")
@render.output_option
@click.pass_context
def diff(ctx: click.Context, a: str, b: str, output: str) -> None:
    """List what changed from run A to B, or from the run before A to A, likeliest cause first."""
    from platform_ctl import targets
    from platform_ctl.explain.diff_facts import two_runs
    from platform_ctl.explain.run_diff import compare

    settings = load_settings(ctx)
    older, newer = two_runs(targets.run_reader(settings), a, b)
    sides = (targets.compared_run(settings, run) for run in (older, newer))
    differences = compare(*sides)
    if output == "json":
        render.print_json([{**vars(d), "kind": d.kind.name.lower()} for d in differences])
        return
    ends = (f"{r.id[:8]} ({render.moment(r.created_at)})" for r in (older, newer))
    print_line("from {} to {}".format(*ends))
    _print_likeliest(differences)
    for title, cause in (("causes", True), ("effects", False)):
        shown_here = [d for d in differences if d.kind.is_cause is cause]
        print_line()
        print_line(f"{title}" + ("" if shown_here else ": none"))
        for difference in shown_here:
            render.print_entry(difference.kind.name.lower(), _changed(difference))


def _changed(difference: RunDifference) -> str:
    """``lr: 0.1 -> 0.2, in train``: one difference as a sentence."""
    ends = f": {difference.old or '-'} -> {difference.new or '-'}"
    named = "" if difference.what == difference.kind.name.lower() else shown(difference.what)
    words = named + (ends if difference.old or difference.new else "")
    words = words.removeprefix(": ")
    steps = [shown(path) for path in difference.tasks if path not in difference.what]
    if difference.detail:
        words += f" ({difference.detail})"
    return words + (f", in {', '.join(steps)}" if steps else "")


def _print_likeliest(differences: Sequence[RunDifference]) -> None:
    if not differences or not differences[0].kind.is_cause:
        print_line("no input of a result changed; the remaining differences are noise")
        return
    first = differences[0]
    steps = ", ".join(map(shown, first.tasks))
    change = f"{first.old or '-'} -> {first.new or '-'}"
    words = f"{first.kind.name.lower()} {first.what}: {change}"
    render.print_entry("likeliest cause:", words + (f", which bears on {steps}" if steps else ""))


@command.command()
@click.argument("run", default="latest")
@render.output_option
@click.pass_context
def why(ctx: click.Context, run: str, output: str) -> None:
    """Check the links of RUN from its data to the service; name the first broken one.

    Exit code 1 when a link is broken.
    """
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

    targets.execute_run(load_settings(ctx), run)


def _cost(cost: Cost, took: str) -> Iterator[str]:
    """What the run spent, by kind, and what the cache saved it."""
    kinds = ", ".join(f"{kind} {s:.1f}" for kind, s in cost.cpu_s_by_kind.items())
    trials = f", {cost.trials} trials" if cost.trials else ""
    yield f"cost       {took} wall, {cost.cpu_s:.1f} cpu-s, {cost.money:.4f} money{trials}"
    yield f"cpu-s      {kinds or '-'}"
    if cost.saved_cpu_s:
        saved = f"{duration(cost.saved_wall_s)} wall, {cost.saved_cpu_s:.1f} cpu-s"
        yield f"saved      {saved}, {cost.saved_money:.4f} money by the cache"
    yield from (f"cut short  {note}" for note in cost.notes)


def _took(run: Run) -> str:
    """How long it took, or is taking."""
    seconds = elapsed_s(run.started_at, run.ended_at or datetime.now(UTC).isoformat())
    return "-" if seconds is None else duration(seconds)


def _verdicts(run: Run) -> str:
    return ", ".join(sorted({v.verdict for v in run.verdicts})) or "-"
