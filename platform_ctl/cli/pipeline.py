"""``platform-ctl pipeline``: list, compile and run pipelines."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from platform_ctl import errors
from platform_ctl.cli import render
from platform_ctl.cli.context import load_settings
from platform_ctl.cli.group import Group
from platform_ctl.cli.interrupt import how_to_follow
from platform_ctl.cli.pipeline_upload import upload
from platform_ctl.cli.printing import print_line
from platform_ctl.runs.task_name import shown
from platform_ctl.text import duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from platform_ctl.ir.pipeline import Pipeline
    from platform_ctl.ir.support import UnsupportedUse
    from platform_ctl.runs.record import Run, Task
    from platform_ctl.settings import Settings


@click.group(cls=Group, help="List, compile and run pipelines.")
def command() -> None:
    pass


command.add_command(upload)


@command.command("list")
@render.output_option
@click.pass_context
def list_(ctx: click.Context, output: str) -> None:
    """List the project's pipelines and their parameters."""
    from platform_ctl import targets

    pipelines = targets.pipelines(load_settings(ctx)).list()
    if output == "json":
        render.print_json(pipelines)
        return
    rows = [[p.name, ", ".join(p.parameters) or "-", p.problem or p.compiled] for p in pipelines]
    render.print_table(
        ["pipeline", "parameters …", "compiled …"],
        rows,
        empty="no pipelines: write pipelines/NAME_pipeline.py, then pipeline compile",
    )


@command.command("compile")
@click.option("--check", is_flag=True, help="Write nothing; fail when stale or not portable.")
@click.option("--release", is_flag=True, help="With --check: also refuse mutable image tags.")
@render.output_option
@click.pass_context
def compile_(ctx: click.Context, check: bool, release: bool, output: str) -> None:
    """Compile the pipelines to IR that is committed (pipelines/compiled/NAME.yaml)."""
    from platform_ctl import targets

    pipelines = targets.pipelines(load_settings(ctx))
    results = pipelines.check(release=release) if check else pipelines.compile()
    if check and not results:
        raise errors.NothingYet(
            "there is no pipeline here to check",
            where=str(Path.cwd()),
            fix="cd to the project's folder, and the same command again",
        )
    if output == "json":
        render.print_json(results)
        return
    for result in results:
        print_line(f"{result.state:<9} {result.path}")


@command.command()
@click.argument("pipeline")
@click.option("-p", "--param", "params", multiple=True, metavar="NAME=VALUE", help="Repeatable.")
@click.option(
    "--params-file", type=click.Path(path_type=Path), help="YAML or JSON mapping; -p wins."
)
@click.option("--no-cache", is_flag=True, help="Execute every step.")
@click.option("--name", default="", help="A name for the run.")
@click.option(
    "--explain", is_flag=True, help="Print what the target would ignore or refuse, and end."
)
@click.option("--detach", is_flag=True, help="Start it and return.")
@render.output_option
@click.pass_context
def run(
    ctx: click.Context,
    pipeline: str,
    params: tuple[str, ...],
    params_file: Path | None,
    no_cache: bool,
    name: str,
    explain: bool,
    detach: bool,
    output: str,
) -> None:
    """Run PIPELINE: a name from `pipeline list`, or a compiled FILE.yaml."""
    from platform_ctl import targets
    from platform_ctl.runs.record import RunRequest

    settings = load_settings(ctx)
    file = targets.pipelines(settings).find(pipeline)
    ir = targets.read_pipeline(file)
    orchestrator = targets.orchestrator(settings)
    if explain:
        _explain(orchestrator.explain(ir), output)
        return
    values = _parameters(settings, ir, pipeline, params, params_file)
    request = RunRequest(file, values, name=name, use_cache=not no_cache)
    if detach:
        started = orchestrator.submit(request)
        _submitted(started, output)
        return
    from platform_ctl.cli.progress import ProgressDisplay
    from platform_ctl.ir.pipeline import planned_leaves

    planned = planned_leaves(ir) if sys.stderr.isatty() else []
    with ProgressDisplay(planned, orchestrator) as progress:
        finished = orchestrator.run(request, progress)
    finish(ctx, finished, output)


@command.command()
@click.argument("pipeline")
@click.option("-p", "--param", "params", multiple=True, metavar="NAME=VALUE", help="Repeatable.")
@render.output_option
@click.pass_context
def impact(ctx: click.Context, pipeline: str, params: tuple[str, ...], output: str) -> None:
    """Predict which steps of PIPELINE would run or hit the cache, and the cost."""
    from platform_ctl import targets

    settings = load_settings(ctx)
    file = targets.pipelines(settings).find(pipeline)
    values = _parameters(settings, targets.read_pipeline(file), pipeline, params, None)
    expected = targets.impact(settings, file, values)
    if output == "json":
        totals = {name: getattr(expected, name) for name in ("at_least", "at_most", "saved")}
        render.print_json({**vars(expected), **totals})
        return
    rows = [
        [shown(s.task), s.fate, duration(s.wall_s) if s.wall_s else "-", s.why]
        for s in expected.steps
    ]
    render.print_table(["step", "fate", "took #", "why …"], rows)
    against = f"run {expected.against[:8]}" if expected.against else "no earlier run"
    print_line()
    print_line(
        f"compared with {against}, one step after the other, with the times and costs of then:"
    )
    for words, spent in (
        ("at least", expected.at_least),
        ("at most", expected.at_most),
        ("saved", expected.saved),
    ):
        cost = f"{spent.cpu_s:.1f} cpu-s, {spent.money:.4f} money"
        print_line(f"  {words:<9}{duration(spent.wall_s)}, {cost}")


def finish(ctx: click.Context, run: Run, output: str) -> None:
    """Print a run that ended, and leave with its exit code (0, 1, 5 or 130)."""
    from platform_ctl.cli.progress import result_lines
    from platform_ctl.runs.record import RunState, TaskState

    if output == "json":
        render.print_json(run)
    else:
        for line in result_lines(run):
            render.print_hanging(line)
    if run.state is RunState.CANCELED:
        print_line(f"cancelled; continue with: platform-ctl run resume {run.id[:8]}", err=True)
        ctx.exit(130)
    if run.state is RunState.FAILED:
        broken = next((t for t in run.tasks if t.state is TaskState.FAILED), None)
        task = shown(broken.path) if broken else "-"
        where = f"run {run.id}, task {task}"
        logs = f"platform-ctl run logs {run.id[:8]}{f' {task}' if broken and broken.log else ''}"
        if failure := _failure(run, broken):
            own = {"where": f"{where}; {failure['where']}".rstrip("; "), "fix": failure["fix"]}
            error = errors.from_dict({**failure, **own})
            # What was away comes back, and then the run goes on from where it stopped.
            away = isinstance(error, errors.TargetUnavailable)
            error.fix = error.fix or (f"platform-ctl run resume {run.id[:8]}" if away else logs)
            raise error
        raise errors.StepFailed(
            f"{task}: {broken.error if broken else run.error}", where=where, fix=logs
        )
    if any(v.verdict in ("failed", "inconclusive") for v in run.verdicts):
        ctx.exit(1)


def _failure(run: Run, task: Task | None) -> dict[str, str] | None:
    """What the step itself said of its failure, when it was an error of the platform's."""
    from platform_ctl.runs.record import ERROR_FILE

    if task is not None and task.failure:
        return dict(task.failure)
    if task is None or not task.log or not run.directory:
        return None
    error_file = (Path(run.directory) / task.log).with_name(ERROR_FILE)
    return json.loads(error_file.read_bytes()) if error_file.is_file() else None


def _submitted(run: Run, output: str) -> None:
    if output == "json":
        render.print_json(run)
        return
    for line in (f"run {run.id} started", *how_to_follow(run.id)):
        print_line(line)


def _explain(findings: Sequence[UnsupportedUse], output: str) -> None:
    if output == "json":
        render.print_json(findings)
        return
    rows = [[f.action, f.where, f.what] for f in findings]
    render.print_table(
        ["", "where …", "what …"], rows, empty="this target supports everything in this pipeline"
    )


def _parameters(
    settings: Settings, ir: Pipeline, called: str, params: tuple[str, ...], file: Path | None
) -> dict[str, Any]:
    """What was given, checked: by the pipeline's types, and by what its recipe allows."""
    from platform_ctl import targets
    from platform_ctl.ir import parameters
    from platform_ctl.ir.values import read_values

    allowed = targets.allowed_parameters(settings, ir.name)
    text = parameters.split(ir, params, allowed=allowed, called=called)
    from_file = read_values(file) if file else {}
    parameters.check_secrets({**from_file, **text}, allowed, called=called)
    values = {**from_file, **parameters.parse(ir, text, allowed=allowed, called=called)}
    resolved = parameters.resolve(ir, values, allowed=allowed, called=called)
    targets.check_promotion(settings, ir, resolved)
    return values
