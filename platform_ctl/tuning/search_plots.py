"""Two pictures of a search: the best score so far, and which parameter mattered."""

from __future__ import annotations

import html
import io
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import optuna
from matplotlib.figure import Figure

from platform_ctl.errors import UsageError
from platform_ctl.tuning.experiment import Experiment, Trial
from platform_ctl.tuning.progress import scored

MIN_TRIALS = 4
"""Fewer scored trials say nothing about importance."""


def importance(experiment: Experiment, trials: Sequence[Trial]) -> dict[str, float]:
    """Share of the score's variance that each parameter explains (fANOVA, Hutter et al. 2014).

    Empty with fewer than MIN_TRIALS scored trials, or when all scores are equal.
    """
    pairs = scored(experiment, trials)
    if len(pairs) < MIN_TRIALS or len({value for _, value in pairs}) == 1:
        return {}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    numbers = {p.name for p in experiment.spec.parameters if p.is_number}
    study = optuna.create_study(direction=experiment.spec.objective.type)
    space = _seen_space([t for t, _ in pairs], numbers)
    for trial, value in pairs:
        params = {k: float(v) if k in numbers else v for k, v in trial.parameters.items()}
        params = {k: v for k, v in params.items() if k in space}
        study.add_trial(optuna.trial.create_trial(value=value, params=params, distributions=space))
    found = optuna.importance.get_param_importances(
        study, evaluator=optuna.importance.FanovaImportanceEvaluator(seed=0)
    )
    return {name: float(share) for name, share in found.items()}


def _seen_space(
    trials: Sequence[Trial], numbers: set[str]
) -> dict[str, optuna.distributions.BaseDistribution]:
    """The box of the trials that were seen; a parameter that never varied explains nothing."""
    space: dict[str, optuna.distributions.BaseDistribution] = {}
    for name in trials[0].parameters:
        values = [t.parameters[name] for t in trials]
        if len(set(values)) == 1:
            continue
        if name in numbers:
            seen = [float(v) for v in values]
            log = min(seen) > 0 and max(seen) / min(seen) >= 10
            space[name] = optuna.distributions.FloatDistribution(min(seen), max(seen), log=log)
        else:
            space[name] = optuna.distributions.CategoricalDistribution(sorted(set(values)))
    return space


def draw(experiment: Experiment, trials: Sequence[Trial], path: Path) -> None:
    """Write ``path`` (.png or .html). Raises UsageError for another ending or an empty search."""
    if path.suffix not in (".png", ".html"):
        raise UsageError(
            f"cannot draw {path.suffix or 'a file without ending'}",
            where=str(path),
            fix="use a name that ends in .png or .html",
        )
    if not scored(experiment, trials):
        raise UsageError(
            "the search has no scored trial to draw",
            where=experiment.name,
            fix=f"platform-ctl experiment show {experiment.name}",
        )
    figure = _figure(experiment, trials)
    if path.suffix == ".png":
        figure.savefig(path, dpi=120)
        return
    picture = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": experiment.name}):
        figure.savefig(picture, format="svg", metadata={"Date": None})
    svg = picture.getvalue()
    path.write_text(_page(experiment, trials, svg[svg.index("<svg") :]), encoding="utf-8")


def _figure(experiment: Experiment, trials: Sequence[Trial]) -> Figure:
    objective = experiment.spec.objective
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    pairs = sorted(scored(experiment, trials), key=lambda pair: pair[0].number)
    numbers, values = [t.number for t, _ in pairs], [v for _, v in pairs]
    best, so_far = values[0], []
    for value in values:
        best = value if objective.better(value, best) else best
        so_far.append(best)
    left.plot(numbers, values, "o", color="0.6", label="trial")
    left.step(numbers, so_far, where="post", color="tab:blue", label="best so far")
    left.set(xlabel="trial", ylabel=objective.objective_metric_name, title=experiment.name)
    left.legend()
    shares = importance(experiment, trials)
    names = list(reversed(shares))
    right.barh(names, [shares[n] for n in names], color="tab:blue")
    right.set(xlabel="share of the variance explained", title="parameter importance", xlim=(0, 1))
    return figure


def _page(experiment: Experiment, trials: Sequence[Trial], svg: str) -> str:
    names = [p.name for p in experiment.spec.parameters]
    metric = experiment.spec.objective.objective_metric_name
    scores = {t.name: v for t, v in scored(experiment, trials)}
    head = "".join(f"<th>{html.escape(c)}</th>" for c in ("trial", *names, metric, "state"))
    rows = "".join(
        "<tr>"
        + "".join(
            f"<td>{html.escape(str(cell))}</td>"
            for cell in (
                t.name,
                *(t.parameters.get(n, "") for n in names),
                scores.get(t.name, ""),
                t.state.value,
            )
        )
        + "</tr>"
        for t in sorted(trials, key=lambda t: t.number)
    )
    title = html.escape(experiment.name)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        "<style>body{font:14px sans-serif;margin:2em}svg{max-width:100%;height:auto}"
        "td,th{padding:.2em .8em;text-align:left}tr:nth-child(even){background:#f4f4f4}</style>"
        f"<h1>{title}</h1>{svg}<table><tr>{head}</tr>{rows}</table></html>\n"
    )
