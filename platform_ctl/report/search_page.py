"""A search as a page of its own: what the report of a run shows of it, by the same code."""

from __future__ import annotations

from collections.abc import Mapping

from platform_ctl.report import html, parts
from platform_ctl.report.value import SearchSummary, SearchTrial
from platform_ctl.tuning.port import SearchRecord
from platform_ctl.tuning.progress import best, scored


def summary(
    record: SearchRecord, importance: Mapping[str, float], of_run: str = ""
) -> SearchSummary:
    """The search as the report shows it; ``of_run``: the run that made it, when that is another."""
    experiment = record.experiment
    scores = {t.name: value for t, value in scored(experiment, record.trials)}
    top, ended = best(experiment, record.trials), record.status.outcome
    spec = experiment.spec
    return SearchSummary(
        name=experiment.name,
        metric=spec.objective.objective_metric_name,
        minimize=spec.objective.type == "minimize",
        algorithm=spec.algorithm.algorithm_name,
        numeric=tuple(p.name for p in spec.parameters if p.is_number),
        trials=tuple(
            SearchTrial(
                t.name,
                t.number,
                t.state.value,
                scores.get(t.name),
                t.parameters,
                t.wall_s,
                t.cpu_s,
                t.message,
            )
            for t in record.trials
        ),
        best=top[0].name if top else "",
        outcome=ended.message if ended else "",
        importance=importance,
        of_run=of_run,
    )


def render(search: SearchSummary) -> str:
    """One HTML file that needs nothing else."""
    sheet = html.style("tokens.css", "style.css")
    return (
        html.environment()
        .get_template("search.html")
        .render(
            title=search.name,
            search=parts.search(search),
            style=sheet,
            policy=html.policy(sheet, "img-src data:", "form-action 'none'"),
        )
    )
