"""``platform-ctl experiment``: run and show Katib Experiments."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from platform_ctl.cli.context import load_settings
from platform_ctl.cli.group import Group
from platform_ctl.cli.printing import print_line
from platform_ctl.cli.render import output_option, print_json, print_table

if TYPE_CHECKING:
    from platform_ctl.settings import Settings
    from platform_ctl.tuning.experiment import Experiment, Trial
    from platform_ctl.tuning.port import SearchRecord, Tuner

RUNS, RUNS_OF_ALL = 50, 500
"""How many runs are looked through for a trial's rows; more where one pipeline's are wanted."""


@click.group(cls=Group)
def command() -> None:
    """Run and show Katib Experiments."""


def _parse_values(ctx: click.Context, option: click.Parameter, texts: tuple[str, ...]) -> dict:
    pairs = [text.partition("=") for text in texts]
    for name, equals, _ in pairs:
        if not name or not equals:
            raise click.BadParameter("write NAME=VALUE", ctx, option)
    return {name: value for name, _, value in pairs}


@command.command("run")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--name", help="Name of the search (default: the Experiment's).")
@click.option("--seed", type=click.IntRange(min=0), help="Default: the Experiment's random_state.")
@click.option("--max-trials", type=click.IntRange(min=1), help="Instead of maxTrialCount.")
@click.option("--parallel", type=click.IntRange(min=1), help="Instead of parallelTrialCount.")
@click.option(
    "-p",
    "values",
    metavar="NAME=VALUE",
    multiple=True,
    callback=_parse_values,
    help="Another value for an environment variable of the trial's container. One that names a"
    " missing path (ROWS) is taken from the newest run's output of that name (rows).",
)
@click.option(
    "--warm-start", metavar="NAME|RUN", help="Start from the trials of an earlier search."
)
@click.option("--wall-s", type=float, help="Budget: seconds of wall time.")
@click.option("--cpu-s", type=float, help="Budget: cpu-seconds of all trials.")
@click.option("--money", type=float, help="Budget: money, at money_per_cpu_hour.")
@output_option
@click.pass_context
def run(ctx: click.Context, file: Path, output: str, **options: Any) -> None:
    """Run the Experiment in FILE, each trial as a process, or continue it.

    Finished trials are never repeated: after an interrupt or a crash the same
    command continues. With -o json, prints Katib's status.
    """
    from platform_ctl import targets
    from platform_ctl.recipe.recipe import Budget

    settings = load_settings(ctx)
    tuner = targets.tuner(settings)
    experiment = _adapt(tuner.load(file), options)
    own = _recipe_of(file)
    if settings.target == "local":
        experiment = _with_newest_outputs(settings, experiment, own)
    budget = Budget(wall_s=options["wall_s"], cpu_s=options["cpu_s"], money=options["money"])
    _warn_of_endless_trials(experiment, budget)
    try:
        status = tuner.run(
            experiment,
            search=experiment.name,
            budget=budget,
            seed=options["seed"],
            on_trial=_sayer(experiment, tuner),
            warm_start=_trials_of(tuner, options["warm_start"]),
        )
    except KeyboardInterrupt:
        print_line(err=True)
        print_line(
            "the trials that have ended are kept; type the same command to continue", err=True
        )
        raise
    record = tuner.read(experiment.name)
    if output == "json":
        print_json(status.to_json())
    else:
        _print_search(record)
    targets.log_search(settings, record, experiment=own)
    status.best_parameters()


@command.command("show")
@click.argument("name", metavar="NAME|RUN", default="latest")
@click.option(
    "--plot",
    metavar="FILE.html",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a page with best-so-far, each parameter and its importance.",
)
@output_option
@click.pass_context
def show(ctx: click.Context, name: str, plot: Path | None, output: str) -> None:
    """Show a search by the Experiment's name or by its run (default: the latest).

    With -o json, prints Katib's status and the trials.
    """
    from platform_ctl import targets

    tuner = targets.tuner(load_settings(ctx))
    record = tuner.read(tuner.find(name))
    if plot is not None:
        targets.draw_search(record, plot)
        print_line(f"drawn: {plot}", err=True)
    if output == "json":
        print_json({"status": record.status.to_json(), "trials": list(record.trials)})
    else:
        _print_search(record)


def _trials_of(tuner: Tuner, search: str | None) -> tuple[Trial, ...]:
    return tuple(tuner.read(tuner.find(search)).trials) if search else ()


def _adapt(experiment: Experiment, options: dict[str, Any]) -> Experiment:
    """The Experiment with what the command line changes."""
    from msgspec.structs import replace

    from platform_ctl.tuning.template import with_environment

    spec = experiment.spec
    if options["max_trials"] is not None:
        spec = spec.with_max_trials(options["max_trials"])
    if options["parallel"] is not None:
        spec = replace(spec, parallel_trial_count=options["parallel"])
    metadata = dict(experiment.metadata)
    if options["name"]:
        metadata["name"] = options["name"]
    adapted = replace(experiment, spec=spec, metadata=metadata)
    return with_environment(adapted, options["values"])


def _recipe_of(file: Path) -> str:
    """The recipe in whose folder an Experiment lies; "" for any other file."""
    folder = file.resolve().parent
    return folder.name if (folder / "recipe.py").is_file() else ""


def _with_newest_outputs(settings: Settings, experiment: Experiment, recipe: str) -> Experiment:
    """What a trial reads and is not there is taken from the newest run that made it.

    A recipe's own Experiment reads what a run of its pipeline has made, and no other recipe's.
    """
    from platform_ctl import targets
    from platform_ctl.errors import NothingYet
    from platform_ctl.tuning.inputs import missing_paths, newest_outputs
    from platform_ctl.tuning.template import with_environment

    missing = missing_paths(experiment)
    if not missing:
        return experiment
    runs = targets.run_reader(settings)
    known = targets.recipes(settings).get(recipe)
    pipeline, newest = (known.pipeline, RUNS_OF_ALL) if known else ("", RUNS)
    newest_of = newest_outputs(
        missing, runs.list(newest), runs.get, targets.artifacts(settings).fetch, pipeline
    )
    for name in missing:
        if name not in newest_of:
            raise NothingYet(
                f"the trial reads {name}={missing[name]}, which is not there, and no run "
                f"{f'of recipe {recipe} ' if recipe else ''}has made {name.lower()!r}",
                where=f"{experiment.name}: spec.trialTemplate",
                fix=f"platform-ctl experiment run FILE -p {name}=PATH",
            )
        print_line(f"note: {name} is of run {newest_of[name][1]}", err=True)
    return with_environment(experiment, {name: path for name, (path, _) in newest_of.items()})


def _warn_of_endless_trials(experiment: Experiment, budget: Any) -> None:
    from platform_ctl.tuning.template import deadline_s

    if deadline_s(experiment) is None and budget.wall_s is None:
        print_line(
            "note: no activeDeadlineSeconds and no --wall-s: a stuck trial would never be ended",
            err=True,
        )


def _sayer(experiment: Experiment, tuner: Tuner) -> Callable[[Trial], None]:
    """Prints each trial that ends, how many there are, and the best so far, on stderr."""
    from platform_ctl.progress import Progress, describe
    from platform_ctl.tuning.progress import TrialLines, finished_trials

    counted: list[Progress] = []
    lines = TrialLines(
        experiment, counted.append, finished_trials(lambda: tuner.read(experiment.name).trials)
    )

    def say(trial: Trial) -> None:
        lines(trial)
        for progress in counted:
            detail = f": {trial.message}" if trial.message else ""
            print_line(
                f"{trial.name}  {trial.state.value}{detail}  ({describe(progress)})", err=True
            )
        counted.clear()

    return say


def _print_search(record: SearchRecord) -> None:
    from platform_ctl.tuning.progress import scored

    experiment, status = record.experiment, record.status
    metric = experiment.spec.objective.objective_metric_name
    scores = {t.name: value for t, value in scored(experiment, record.trials)}
    names = [p.name for p in experiment.spec.parameters]
    headings = [f"{n.replace('_', ' ')} #" for n in (*names, metric)]
    columns = ["trial", *headings, "state", "wall s # ?", "cpu s # ?", "why …"]
    rows = [
        (
            t.name.removeprefix(f"{experiment.name}-"),
            *(_short(t.parameters[n]) for n in names),
            scores.get(t.name),
            t.state.value,
            None if t.wall_s is None else f"{t.wall_s:.1f}",
            f"{t.cpu_s:.1f}",
            t.message or None,
        )
        for t in record.trials
    ]
    print_table(columns, rows, empty="no trial yet")
    outcome = status.outcome
    last = outcome or status.conditions[-1]
    print_line()
    print_line(f"{experiment.name}: {last.type} ({last.reason}): {last.message}")
    best = status.current_optimal_trial
    if best.best_trial_name:
        chosen = ", ".join(f"{a.name}={_short(a.value)}" for a in best.parameter_assignments)
        print_line(
            f"best: {best.best_trial_name} {metric}={scores[best.best_trial_name]:.6g} {chosen}"
        )
    print_line(f"records: {record.location}")


def _short(value: str) -> str:
    """A number in six digits; the journal keeps all of them."""
    try:
        return f"{float(value):.6g}"
    except ValueError:
        return value
